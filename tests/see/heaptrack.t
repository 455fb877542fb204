#!/bin/sh
# SPDX-License-Identifier: MIT
# `osmem profile --peak` of real programs beside what heaptrack says of the same: it counts every byte of every call, by other means. as_heaptrack.py says what is
# compared, and where the two differ for a reason.
. "$(dirname "$0")/../tap.sh"
needs python3 heaptrack heaptrack_print
osmem=$top/scripts/osmem
# As far as a program lets it be the same in each run.
export PERL_PERTURB_KEYS=0 PYTHONMALLOC=malloc

agrees() { "$python" "$top/tests/see/as_heaptrack.py" "$@" 2>&1; }

# beside NAME CMD...: of the same command, all blocks, then samples.
beside() {
  name=$1
  shift
  can "$name" command -v "$1" || return
  heaptrack -o recorded "$@" >said 2>&1 </dev/null
  heaptrack_print -f recorded.* --flamegraph-cost-type peak -F theirs -a 0 -T 0 -p 0 >/dev/null 2>&1
  rm recorded.*
  "$osmem" profile --rate 1 --peak --folded ours -o table "$@" >said 2>&1 </dev/null
  is "$name: all blocks" "$(agrees theirs ours)" agrees
  "$osmem" profile --rate 4K --peak --folded sampled -o table "$@" >said 2>&1 </dev/null
  is "$name: samples" "$(agrees theirs sampled 4096)" agrees
}

cat >objects.py <<'PY'
class Node:
    def __init__(self, key):
        self.key, self.links, self.text = key, [], str(key) * 3
nodes = {}
for step in range(8000):
    key = step * 7919 % 3001
    node = nodes.get(key) or nodes.setdefault(key, Node(key))
    node.links.append((step, float(step), {step}))
    if step % 3 == 0:
        nodes.pop(step * 31 % 3001, None)
PY
cat >hashes.pl <<'PL'
my (%count, %where);
for my $i (1 .. 20000) {
    my $word = "word" . $i * 7919 % 10007;
    $count{$word}++;
    push @{$where{$word}}, "at $i";
}
print scalar(keys %count), " ", scalar(keys %where), "\n";
PL
cat >trees.lua <<'LUA'
local function tree(depth)
    if depth == 0 then return {} end
    return {tree(depth - 1), tree(depth - 1)}
end
local long = tree(14)
for i = 1, 30 do tree(6 + i % 7) end
print(#long)
LUA
cat >tables.sql <<'SQL'
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INT, name TEXT, price REAL);
WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 20000) INSERT INTO item SELECT n, n * 7919 % 1000, 'item number ' || n * 31 % 65537, n / 7.0 FROM i;
CREATE INDEX by_name ON item(name, price);
SELECT kind, count(*), avg(price) FROM item GROUP BY kind ORDER BY 2, 1 LIMIT 10;
SQL
"$python" - <<'PY'
import json
all_ = [{"id": i, "name": f"user {i * 7919 % 1007}", "at": [i / 2, -i], "tags": [f"tag {i % k}" for k in range(1, 8)]} for i in range(3000)]
json.dump(all_, open("all.json", "w"))
with open("all.xml", "w") as xml:
    users = (f'<user id="{each["id"]}"><name>{each["name"]}</name>{"".join(f"<tag>{tag}</tag>" for tag in each["tags"])}</user>' for each in all_)
    xml.write(f"<all>{''.join(users)}</all>")
with open("words", "w") as words:
    words.writelines(f"{i * 7919 % 20011} {'abcdefgh'[i % 8] * (i % 29 + 1)}\n" for i in range(30000))
PY

beside python "$python" objects.py
beside perl perl hashes.pl
beside lua lua5.4 trees.lua
beside sqlite sqlite3 :memory: '.read tables.sql'
beside jq jq 'group_by(.name) | map({k: .[0].name, n: length}) | length' all.json
beside xmllint xmllint --noout all.xml
beside gawk gawk '{ c[$2]++; s[$1] = s[$1] $2 } END { print length(s), length(c) }' words

# And who disagrees is found: the largest stack missing, or half of it with another; another program's.
if [ -s ours ]; then
  sort -t ' ' -k 2n ours | awk '{ print $NF, $0 }' | sort -n | cut -d ' ' -f 2- >sorted
  sed '$d' sorted >less
  like 'the largest stack is missing' "$(agrees theirs less)" '^the sum: '
  awk '{ line[NR] = $0 } END { for (i = 1; i < NR - 1; i++) print line[i]; n = split(line[NR - 1], a, " "); m = split(line[NR], b, " ")
    half = int(b[m] / 2); sub(/ [0-9]+$/, "", line[NR - 1]); sub(/ [0-9]+$/, "", line[NR]); print line[NR - 1], a[n] + half; print line[NR], b[m] - half }' sorted >moved
  like 'half of it is with another' "$(agrees theirs moved)" '^bytes that are at other sites, .* osmem [0-9]{6,}, '
  awk '{ bytes = $NF; sub(/ [0-9]+$/, ""); print $0, int(bytes * 1.5) }' ours >more
  like 'half as much again, by samples' "$(agrees theirs more 4096)" '^the sum: '
fi
finish
