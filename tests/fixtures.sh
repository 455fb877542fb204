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
