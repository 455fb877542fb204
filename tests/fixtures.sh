# SPDX-License-Identifier: MIT
# Sourced after tap.sh: the material that programs work on, the same bytes in every run.

# make_text FILE LINES: numbered lines of words and numbers, some 50 bytes each.
make_text() {
  awk -v lines="$2" 'BEGIN {
    split("heap page slab block large thread arena free", word, " ")
    for (i = 1; i <= lines; i++) {
      seed = (seed * 69069 + 12345) % 16777216
      printf "%08d %s %s %d line %d of the text\n", seed, word[1 + seed % 8], word[1 + int(seed / 64) % 8], seed % 1009, i
    }
  }' >"$1"
}

# make_tree DIR: 20 folders with 20 files each.
make_tree() {
  mkdir -p $(seq -f "$1/folder-%g" 20)
  make_text "$1/all" 4000
  awk -v dir="$1" '{
    file = dir "/folder-" 1 + int((NR - 1) / 200) "/file-" int((NR - 1) / 10) % 20
    if (file != last) { close(last); last = file }
    print >file
  }' "$1/all"
}

# make_repo DIR: 300 commits on two branches that touch 40 files in turn.
make_repo() {
  git init -q -b main "$1"
  awk 'BEGIN {
    for (i = 1; i <= 300; i++) {
      body = ""
      for (j = 0; j < 60; j++) body = body "line " j * i % 97 " of commit " i "\n"
      note = "change number " i "\n"
      printf "commit refs/heads/%s\ncommitter a <a@example.org> %d +0000\n", i % 3 ? "main" : "side", 1700000000 + i
      printf "data %d\n%s", length(note), note
      printf "M 100644 inline folder-%d/file-%d.txt\ndata %d\n%s\n", i % 5, i % 40, length(body), body
    }
  }' | git -C "$1" fast-import --quiet
  git -C "$1" reset -q --hard
}

# make_cpp FILE: templates to the depth where a compiler's heap has work.
make_cpp() {
  cat >"$1" <<'CPP'
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <std::size_t N> struct Fibonacci {
  static constexpr unsigned long value = Fibonacci<N - 1>::value + Fibonacci<N - 2>::value;
};
template <> struct Fibonacci<1> { static constexpr unsigned long value = 1; };
template <> struct Fibonacci<0> { static constexpr unsigned long value = 0; };

template <std::size_t N> struct Node {
  using Key = std::variant<int, std::string, std::pair<std::string, double>>;
  std::map<std::string, std::vector<std::tuple<int, std::shared_ptr<Node<N - 1>>, Key>>> children;
  std::unordered_map<int, std::function<int(const Node<N - 1> &)>> visitors;

  int visit() const {
    int sum = N;
    for (const auto &[name, list] : children)
      for (const auto &[weight, child, key] : list)
        sum += weight * child->visit() + std::visit([](const auto &k) { return int(sizeof k); }, key);
    return sum;
  }
};
template <> struct Node<0> {
  int visit() const { return 1; }
};

template <std::size_t... I> std::vector<unsigned long> table(std::index_sequence<I...>) { return {Fibonacci<I>::value...}; }

int main() {
  auto numbers = table(std::make_index_sequence<80>());
  std::sort(numbers.begin(), numbers.end(), std::greater<>());
  Node<12> root;
  root.children["x"].emplace_back(1, std::make_shared<Node<11>>(), std::string("key"));
  std::cout << numbers.front() + root.visit() << '\n';
}
CPP
}

# make_perl FILE: hashes and lists that come and go, a long text, and children; make_lua FILE: tables, strings, coroutines. Both print sums.
make_perl() {
  cat >"$1" <<'PERL'
my (%deep, @lists);
for my $i (1 .. 200_000) {
  $deep{"key" . $i * 7919 % 50021}{$i % 13} .= "value $i ";
  push @{$lists[$i % 97]}, $i if $i % 3;
  delete $deep{"key" . $i * 104729 % 50021} if $i % 5 == 0;
}
my $sum = 0;
for my $key (sort keys %deep) { $sum = ($sum * 31 + length join ",", map { $deep{$key}{$_} } sort keys %{$deep{$key}}) % 1000003 }
print scalar(keys %deep), " $sum ", join(",", map { scalar @$_ } @lists), "\n";
my $text = "abc " x 200_000;
(my $copy = $text) =~ s/b(c)/$1$1/g;
print length $copy, "\n";
for my $n (1 .. 20) { my $pid = fork // die; if (!$pid) { my %mine = map { $_ => 1 } 1 .. 1000; exit $n } waitpid $pid, 0; print $? >> 8, " " }
print "\n";
PERL
}

make_lua() {
  cat >"$1" <<'LUA'
local tree, parts = {}, {}
for i = 1, 200000 do
  tree["k" .. i * 7919 % 30011] = { i, tostring(i):rep(i % 20), tree[i % 100] and {} or nil }
  if i % 100 == 0 then parts[#parts + 1] = string.format("%d:%s", i, ("x"):rep(i % 511)) end
end
local sum, count = 0, 0
for _, node in pairs(tree) do sum, count = sum + node[1] + #node[2], count + 1 end
collectgarbage()
local threads = {}
for i = 1, 2000 do threads[i] = coroutine.wrap(function(n) while true do n = n + coroutine.yield(("y"):rep(n % 90)) end end) end
for i = 1, 2000 do sum = sum + #threads[i](i) + #threads[i](7) end
print(sum, count, #table.concat(parts), #string.rep("long", 3000000))
LUA
}
