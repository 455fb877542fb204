#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare allocators: time, memory and page faults of real programs, of
allocation patterns, of recorded traces, and of single calls.

Allocators take turns within each run (A B C A B C ...), so that a slow minute
of the machine hits all of them alike. Every figure is a median over the runs;
ratios are to glibc (or to the first allocator named, where glibc is not among
them), below 1 is better. Units: seconds, KiB, ns.

  cpu     user + system time of the process and its descendants
  wall    elapsed time
  rss     the largest peak of resident memory of a single process
  faults  minor page faults of the whole tree
  rest    what is still resident after everything was freed (patterns, traces),
          or nearly everything (memory, lives)
  over    resident over live bytes: traces at the peak, memory after a burst,
          lives after ten days
  slope   set lives: by how many per cent that grew in the last three days. To
          osmem they are days where make hasty built it; name that by
          --allocators glibc,hasty=build/hasty/libosmem.so
  giving  time in calls that give back, % of the CPU time: of osmem where make
          timed built it
  dirty, growth   set memory: of a trivial process, by idle threads
  calls   memory system calls (--syscalls)
  requests  set looks: answered in a second; here more is better. Not allocators take
          turns there, but ways to look at a server on osmem from outside, beside
          nobody: stats each 100 ms, samples (512K), leaks once
  set musl is for programs that musl's loader runs: its own malloc, mallocng, comes first
  malloc, free, realloc, trim, waits   set pauses: the longest single call, ms
          (waits: of another thread), by the size of the heap; malloc.9999:
          one call in ten thousand took longer

A trace is a user's program as a benchmark: scripts/record.sh CMD makes one.

Geometric means are over the rows that all allocators have. ^C (SIGTERM, SIGHUP) ends
the measuring; what was measured up to then is shown. The set real takes some ten
minutes with five allocators, patterns twenty, others more; --quick a tenth of that. The exit status is 1 when a
measured command failed under some allocator, 130 after ^C.
"""

import argparse
import contextlib
import glob
import html
import json
import math
import os
import platform
import random
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
OSMEM = os.path.join(TOP, "scripts", "osmem")
SOURCES = os.path.join(TOP, "tests", "bench")
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
LIMIT_S = 60  # of one run
QUICK_SCALE, QUICK_RUNS, FULL_RUNS = 0.25, 2, 5

PAUSES = ("malloc", "malloc.9999", "free", "free.9999", "realloc", "realloc.9999", "trim",
          "waits", "waits.9999")
METRICS = ("cpu", "wall", "rss", "faults", "rest", "over", "slope", "dirty", "growth", "calls", "giving", "ns",
           "requests", *PAUSES)
MEMORY_CALLS = ("brk", "mmap", "munmap", "mremap", "madvise", "mprotect")

PEERS = {
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2*",
    "tcmalloc": "libtcmalloc_minimal.so.4",
}


# ---- inputs of the real programs: fixed text, or lines made from a size ----

def cpp_templates(n):
    yield "#include <algorithm>\n#include <map>\n#include <string>\n#include <vector>"
    for i in range(n):
        yield f"""struct key{i} {{ int v; bool operator<(key{i} o) const {{ return v < o.v; }} }};
std::string use{i}(int x) {{
    std::map<key{i}, std::vector<std::string>> m;
    m[{{x}}].push_back("{i}");
    std::vector<key{i}> v;
    for (auto &e : m) v.push_back(e.first);
    std::sort(v.begin(), v.end());
    return m.begin()->second[v.size() - 1];
}}"""


def sql_tables(n):
    yield f"""CREATE TABLE item(id INTEGER PRIMARY KEY, kind INT, name TEXT, price REAL);
WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < {n})
INSERT INTO item SELECT n, n * 7919 % 1000, 'item number ' || (n * 31 % 65537), n / 7.0 FROM i;
CREATE INDEX by_name ON item(name, price);
SELECT kind, count(*), avg(price), length(group_concat(name)) FROM item GROUP BY kind;
SELECT a.kind, max(b.name) FROM item a JOIN item b ON a.name = b.name GROUP BY a.kind LIMIT 10;
DELETE FROM item WHERE kind % 3 = 0;
SELECT name, sum(price) FROM item GROUP BY name ORDER BY 2 DESC LIMIT 10;"""


def git_history(n):
    dice = random.Random(1)
    files = [[f"line {i} of file {name}" for i in range(400)] for name in range(20)]
    for commit in range(n):
        yield f"commit refs/heads/main\ncommitter A <a@b> {1000000000 + commit} +0000"
        yield f"data <<END\ncommit {commit}\nEND"
        for name in dice.sample(range(len(files)), 3):
            for _ in range(10):
                files[name][dice.randrange(400)] = f"changed in {commit} to {dice.random()}"
            yield f"M 644 inline dir{name % 4}/file{name}.txt\ndata <<END"
            yield "\n".join(files[name]) + "\nEND"


def smt_formula(n):
    dice = random.Random(7)
    yield "(set-logic QF_BV)"
    for i in range(n):
        yield f"(declare-const x{i} (_ BitVec 16))"
    for _ in range(n):
        a, b, c = dice.sample(range(n), 3)
        yield (f"(assert (bvult (bvadd (bvmul x{a} #x{dice.randint(1, 65535):04x}) x{b})"
               f" (bvor x{c} #x{dice.randint(4096, 65535):04x})))")
        yield f"(assert (distinct x{a} x{b}))"
    yield "(check-sat)"


def random_lines(n):
    dice = random.Random(3)
    for i in range(n):
        yield f"{dice.getrandbits(64):016x} {i} a line to sort"


def documents(n):
    for i in range(n):
        yield {"id": i, "name": f"user {i * 7919 % 10007}", "at": [i / 2, -i],
               "tags": [f"tag {i % k}" for k in range(1, 8)]}


def json_documents(n):
    yield json.dumps(list(documents(n)))


def xml_documents(n):
    yield "<all>"
    for d in documents(n):
        tags = "".join(f"<tag>{tag}</tag>" for tag in d["tags"])
        yield f'<user id="{d["id"]}"><name>{d["name"]}</name>{tags}<at x="{d["at"][0]}"/></user>'
    yield "</all>"


def random_words(n):
    dice = random.Random(5)
    for _ in range(n):
        yield f"{dice.randint(0, 200000)} {dice.choice('abcdefgh') * dice.randint(1, 30)}"


PY_OBJECTS = """
import random, sys
class Node:
    def __init__(self, key):
        self.key, self.links, self.text = key, [], str(key) * 3
random.seed(1)
nodes = {}
for step in range(int(sys.argv[1])):
    key = random.randrange(50000)
    node = nodes.get(key) or nodes.setdefault(key, Node(key))
    node.links.append((step, float(step), {step}))
    if step % 3 == 0:
        nodes.pop(random.randrange(50000), None)
"""

PY_JSON = """
import json, sys
docs = [{"id": i, "name": "name %d" % i, "tags": ["a%d" % i, "b"] * 3,
         "at": {"x": i / 7, "y": -i, "on": None}} for i in range(10000)]
for _ in range(int(sys.argv[1])):
    docs = json.loads(json.dumps(docs))
"""

PERL_HASHES = """
my ($n, $seed, %count, %where) = (shift, 1);
for my $i (1 .. $n) {
    $seed = ($seed * 1103515245 + 12345) % 2147483648;
    my $word = "word" . ($seed >> 8) % 50000;
    $count{$word}++;
    push @{$where{$word}}, "at $i";
    delete $where{"word" . ($seed >> 12) % 50000} if $i % 4 == 0;
}
print join(" ", map { "$_=$count{$_}" } sort keys %count), "\\n";
"""

LUA_TREES = """
local function tree(depth)
    if depth == 0 then return {} end
    return {tree(depth - 1), tree(depth - 1)}
end
local function count(t) return t[1] and 1 + count(t[1]) + count(t[2]) or 1 end
local long, total = tree(15), 0
for i = 1, tonumber(arg[1]) do total = total + count(tree(6 + i % 7)) end
print(total + count(long))
"""

NODE_MAPS = """
const map = new Map();
const buffers = [];
for (let i = 0; i < +process.argv[2]; i++) {
    map.set('key' + i * 7919 % 50021, {i, text: 'value ' + i, list: [i, i + 1]});
    if (i % 3 == 0) map.delete('key' + i * 31 % 50021);
    if (i % 100 == 0) buffers[i / 100 % 200] = Buffer.alloc(10000 + i % 5000, i);
    if (i % 5000 == 0) JSON.parse(JSON.stringify([...map.values()]));
}
console.log(map.size);
"""

PS_PAGES = """%!PS
/Times-Roman findfont 9 scalefont setfont
1 1 N {
    /page exch def
    0 1 60 {
        /row exch def
        30 row 12 mul 30 add moveto
        page 1000 mul row add 40 string cvs show
        ( the quick brown fox jumps over the lazy dog, again and again) show
        newpath 400 row 12 mul 40 add row 3 mod 4 add 0 360 arc
        row 60 div page N div 0.5 setrgbcolor fill 0 setgray
        /table 50 dict def
        0 1 40 { table exch dup 20 string cvs put } for
    } for
    showpage
} for
"""

REDIS_CLIENT = """
cli() { redis-cli -s {dir}/redis.sock "$@"; }
for try in $(seq 100); do [ "$(cli ping 2>&1)" = PONG ] && break; sleep 0.02; done
redis-benchmark -s {dir}/redis.sock -t set,get,lpush,sadd,hset -P 16 -r 50000 -d 100 -n {n} -q
cli flushall
redis-benchmark -s {dir}/redis.sock -t set -P 16 -r 20000 -d 700 -n {n} -q
cli shutdown nosave
"""

# Drivers of servers that are looked at: the number of the process, a look at it beside the load, and how many requests a second were answered.
LOOKED_AT = """
osmem() { {python} {osmem} "$@"; }
beside() { if [ -n "$LOOK" ]; then eval "$LOOK" >/dev/null 2>&1 & fi; }
"""

REDIS_LOOKED_AT = LOOKED_AT + """
cli() { redis-cli -s {dir}/redis.sock "$@"; }
for try in $(seq 100); do [ "$(cli ping 2>&1)" = PONG ] && break; sleep 0.02; done
pid=$(cli info server | tr -d '\\r' | sed -n 's/^process_id://p')
beside
redis-benchmark -s {dir}/redis.sock -t set,get,lpush,sadd,hset -P 16 -r 50000 -d 100 -n {n} --csv |
  awk -F '"' '$4 + 0 > 0 { s += {n} / $4; n += {n} } END { print "requests", n / s }' >{dir}/said
cli shutdown nosave
"""

NGINX_CONF = """
user=
[ "$(id -u)" != 0 ] || user='user root;'
cat >{dir}/nginx.conf <<CONF
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log; $user
events { worker_connections 64; }
http { access_log off; keepalive_requests 1000000000; server { listen unix:{dir}/nginx.sock; root {dir}; }
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; }
CONF
"""

# Sixteen in flight, so that the client is not what is measured.
NGINX_CLIENT = """
import socket, sys, time
where, count, each = sys.argv[1], int(sys.argv[2]), 16
request = b"GET /page.html HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n"
server = socket.socket(socket.AF_UNIX)
server.connect(where)
server.sendall(request)
time.sleep(0.1)
size = len(server.recv(1 << 20))  # of each answer
start = time.monotonic()
for _ in range(count // each):
    server.sendall(request * each)
    left = size * each
    while left:
        left -= len(server.recv(left)) or sys.exit("it hung up")
print("requests", count // each * each / (time.monotonic() - start))
"""

NGINX_LOOKED_AT = LOOKED_AT + """
for try in $(seq 100); do [ -S {dir}/nginx.sock ] && pid=$(ps -o pid= --ppid "$(cat {dir}/nginx.pid)") && break; sleep 0.02; done
beside
{python} {dir}/get.py {dir}/nginx.sock {n} >{dir}/said
kill -QUIT $(cat {dir}/nginx.pid)
"""


# ---- workloads ----

@dataclass(frozen=True)
class Work:
    """A command to measure. {dir}, {n} and {python} are filled into command,
    prepare and driver; n is size times the scale."""
    name: str
    command: str
    size: int = 0
    files: dict = field(default_factory=dict)  # name: text, or function of n
    prepare: str = ""       # shell text, run once
    driver: str = ""        # shell text, run beside the command, unmeasured
    needs: tuple = ()       # programs, besides the command's first word
    lines: bool = False     # the command prints `name value` lines
    bound: bool = False     # 5 % or more of its time is in glibc's malloc (perf record)
    figures: tuple = ()     # the metrics that are its point; (): all


REAL = (
    Work("g++ templates", "g++ -O1 -c {dir}/t.cpp -o {dir}/t.o", 10, {"t.cpp": cpp_templates}),
    Work("python objects", "{python} {dir}/objects.py {n}", 200000, {"objects.py": PY_OBJECTS},
         bound=True),
    Work("python json", "{python} {dir}/json_.py {n}", 20, {"json_.py": PY_JSON}, bound=True),
    Work("perl hashes", "perl {dir}/hashes.pl {n}", 1000000, {"hashes.pl": PERL_HASHES},
         bound=True),
    Work("lua trees", "lua5.4 {dir}/trees.lua {n}", 3000, {"trees.lua": LUA_TREES}, bound=True),
    Work("jq", "jq '[.[] | select(.id % 3 == 0) | .tags | map(. + \"x\")] | length' {dir}/d.json",
         60000, {"d.json": json_documents}, bound=True),
    Work("jq group", "jq 'group_by(.name) | map({k: .[0].name, n: length}) | length' {dir}/d.json",
         60000, {"d.json": json_documents}, bound=True),
    Work("xmllint", "xmllint --xpath 'count(//tag)' {dir}/d.xml", 100000,
         {"d.xml": xml_documents}, bound=True),
    Work("gawk", "gawk '{ c[$2]++; s[$1] = s[$1] $2 } END { for (k in s) n += length(s[k]);"
         " print n, length(c) }' {dir}/words", 600000, {"words": random_words}, bound=True),
    Work("sqlite", 'sqlite3 :memory: ".read {dir}/t.sql"', 200000, {"t.sql": sql_tables}),
    # The server is the measured process; its client only drives it.
    Work("redis", "redis-server --port 0 --unixsocket {dir}/redis.sock --save '' --dir {dir}",
         150000, driver=REDIS_CLIENT, needs=("redis-cli", "redis-benchmark")),
    Work("git log -p", "git --no-pager -C {dir}/repo log -p", 2000, {"history": git_history},
         prepare="git init -q --bare {dir}/repo && git -C {dir}/repo symbolic-ref HEAD"
                 " refs/heads/main && git -C {dir}/repo fast-import --quiet <{dir}/history"),
    Work("z3", "z3 {dir}/f.smt2", 200, {"f.smt2": smt_formula}, bound=True),
    Work("ghostscript", "gs -q -dBATCH -dNOPAUSE -sDEVICE=ppmraw -r100 -o /dev/null"
         " -dN={n} {dir}/pages.ps", 400, {"pages.ps": PS_PAGES}),
    Work("node", "node {dir}/maps.js {n}", 200000, {"maps.js": NODE_MAPS}),
    Work("sort", "sort --parallel=1 -S 50M -T {dir} -o {dir}/sorted {dir}/lines", 1500000,
         {"lines": random_lines}),
    Work("short commands", "sh -c 'for i in $(seq {n}); do /bin/true; done'", 500),
)


def pattern_works(bench, patterns=None):
    """The patterns binary knows its patterns and their thread counts."""
    patterns = patterns or bench.path("patterns")
    listing = subprocess.run([patterns, "list"], text=True, check=True,
                             capture_output=True).stdout
    for line in listing.splitlines():
        name, *threads = line.split()
        for count in threads:
            yield Work(f"{name} {count}", f"{patterns} {name} {count} {bench.scale}",
                       lines=True)


SCALING = ("buffers", "heirs", "medium", "mixed", "producer", "random", "ring", "server", "stealing", "strings")


def scaling_works(bench):
    """As much work for each thread, however many there are: the time on the wall
    would stay the same on as many processors, if nothing but they were shared."""
    for name in SCALING:
        for threads in (2, 4, 8, 16, 32, 64):
            if threads <= os.cpu_count():
                yield Work(f"{name} {threads}",
                           f"{bench.path('patterns')} {name} {threads} {threads * bench.scale / 4}",
                           lines=True, figures=("wall", "cpu", "rss"))


def micro_works(bench):
    """Once in a program of one thread, once beside a sleeping thread."""
    for name, threads in (("alone", 1), ("threaded", 2)):
        yield Work(name, f"{bench.path('micro')} {threads} {bench.scale}", lines=True)


PY_DOCUMENTS = """
import sys
from xml.dom.minidom import parse
for _ in range(int(sys.argv[1])):
    parse(sys.argv[2]).unlink()
"""

PY_POOL = """
import multiprocessing, sys
def work(n):
    return len({i: [str(i)] * (i % 9) for i in range(n)})
with multiprocessing.Pool(4) as pool:
    pool.map(work, [20000 + i % 7 * 3000 for i in range(int(sys.argv[1]))], 1)
"""

# What is taken, freed, and taken again: how often does it come from the kernel?
IN_TURN = (
    Work("documents in turn", "{python} {dir}/documents.py {n} {dir}/few.xml", 12,
         {"documents.py": PY_DOCUMENTS, "few.xml": "\n".join(xml_documents(2500))},
         figures=("cpu", "rss", "faults")),
    Work("a pool of processes", "{python} {dir}/pool.py {n}", 120, {"pool.py": PY_POOL},
         figures=("cpu", "rss", "faults")),
)


def memory_works(bench):
    """What is held, by a process, by idle threads, and after a burst; and what
    it costs to hand it back, when the same comes again and again."""
    command = bench.path("footprint")
    yield Work("trivial process", f"{command} trivial", lines=True, figures=("dirty",))
    yield Work("200 idle threads", f"{command} idle 200", lines=True, figures=("growth",))
    for kind in ("small", "medium", "large", "mixed"):
        yield Work(f"after a burst, {kind}", f"{command} burst {kind} {{n}} 1", 1024,
                   lines=True, figures=("over", "rest"))
    for kind in ("small", "medium", "large", "mixed"):
        yield Work(f"100 bursts, {kind}", f"{command} burst {kind} {{n}} 100", 64,
                   figures=("cpu", "wall"))
    for kind in ("small", "medium", "large"):
        for calls in (100, 5000):
            yield Work(f"5 s after bursts, {kind}, {calls} calls a second",
                       f"{command} quiet {kind} {{n}} {calls}", 512, lines=True, figures=("rest",))
    yield from IN_TURN


def lives_works(bench):
    """Days of a process that runs for long."""
    for kind in ("cache", "trough", "threads", "sessions"):
        yield Work(kind, f"{bench.path('lives')} {kind} {bench.scale}", lines=True,
                   figures=("over", "slope", "rest", "cpu"))


def pause_works(bench):
    """No call should take longer because the heap is large."""
    for kind in ("small", "medium", "large", "mixed", "aligned", "foreign", "grow"):
        for mib in (64, 512, 4096):
            yield Work(f"{kind}, {mib} MiB", f"{bench.path('pauses')} {kind} {{n}}", mib, lines=True,
                       figures=PAUSES)


# The turns of the set looks: what is done beside the load, of the server whose number is $pid.
LOOKS = {
    "nobody": "",
    "stats": "osmem watch --every 0.1 $pid",
    "profile": "osmem profile --on --rate 512K $pid",
    "leaks": "osmem leaks $pid",
}


def look_works(bench):
    """Servers on osmem, which somebody looks at from outside."""
    yield Work("redis", "redis-server --port 0 --unixsocket {dir}/redis.sock --save '' --dir {dir}",
               400000, driver=REDIS_LOOKED_AT, needs=("redis-cli", "redis-benchmark"), figures=("requests", "cpu"))
    yield Work("nginx", "nginx -p {dir} -c {dir}/nginx.conf", 200000, {"get.py": NGINX_CLIENT, "page.html": "a line\n" * 150},
               prepare=NGINX_CONF, driver=NGINX_LOOKED_AT, figures=("requests", "cpu"))


# The set musl: allocators and programs for another loader, which make musl-programs built.
MUSL = os.path.join(TOP, "build", "musl")
ON_MUSL = {"mallocng": "/lib/ld-musl-*.so.1", "osmem": os.path.join(MUSL, "libosmem.so"),
           "mimalloc": os.path.join(MUSL, "programs", "libmimalloc.so")}
MUSL_PROGRAMS = {"lua trees": "lua", "sqlite": "sqlite3", "redis": "redis/src/redis-server"}
MUSL_PATTERNS = ("random 1", "random 2", "mixed 2", "strings 2", "producer 2", "server 2")


def musl_program(name):
    return os.path.join(MUSL, "programs", name)


def musl_allocators():
    """As --allocators names them. musl's own is in its loader."""
    found = [f"{name}={path}" for name, place in ON_MUSL.items() for path in glob.glob(place)]
    if len(found) < len(ON_MUSL):
        say("set musl: not all is there; make musl-programs builds it")
    return ",".join(found)


def musl_works(bench):
    """Some of the others, built for musl."""
    for work in REAL:
        if work.name in MUSL_PROGRAMS:
            _, arguments = work.command.split(" ", 1)
            yield replace(work, command=f"{musl_program(MUSL_PROGRAMS[work.name])} {arguments}")
    for work in pattern_works(bench, musl_program("patterns")):
        if work.name in MUSL_PATTERNS:
            yield work


def trace_works(bench):
    """The replay prints its own time and memory, without the reading."""
    for path in bench.traces:
        yield Work(os.path.basename(path), shlex.join([bench.path("replay"), path]), lines=True)


SETS = {"real": lambda bench: REAL, "patterns": pattern_works, "scaling": scaling_works,
        "memory": memory_works,
        "lives": lives_works, "pauses": pause_works, "traces": trace_works, "micro": micro_works,
        "looks": look_works, "musl": musl_works}
NOT_IN_ALL = ("looks", "musl")  # whose turns are not those allocators'
FIGURE_BY_FIGURE = ("scaling", "memory", "lives", "pauses")  # a line each; the others: a workload's time and peak


# ---- running ----

def say(text):
    print(text, file=sys.stderr, flush=True)


def kill_session(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Bench:
    """A scratch directory with compiled tools and inputs, and how to run in it."""

    def __init__(self, scratch, scale, traces):
        self.dir, self.scale = scratch, scale
        self.traces = [os.path.abspath(path) for path in traces]
        self.failures, self.interrupted = 0, False
        self.variables = {}  # of single allocators, see --env
        self.env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        # Python's own pool would hide the allocator; the rest is for sameness.
        self.env |= {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "LC_ALL": "C",
                     "HOME": scratch, "OSMEM_TIMED": self.path("giving")}
        compiler = os.environ.get("CC", "cc")
        if not shutil.which(shlex.split(compiler)[0]):
            sys.exit(f"CC={compiler}: no such compiler")
        for name in ("launch", "patterns", "footprint", "lives", "pauses", "replay", "micro"):
            source = os.path.join(SOURCES, name + ".c")
            done = subprocess.run([*shlex.split(compiler), "-O2", "-gdwarf-4", "-pthread", "-o", self.path(name), source, "-lm"])
            if done.returncode:
                sys.exit(f"{compiler} does not compile {source} in {scratch}")
        for path in self.traces:
            if subprocess.run([self.path("replay"), "--stats", path], stdout=subprocess.DEVNULL).returncode:
                sys.exit("no trace, nothing to compare on")

    def path(self, name):
        """Path of a file of that name in the scratch directory."""
        return os.path.join(self.dir, name)

    def fill(self, text, work):
        n = max(1, round(work.size * self.scale))
        for key, value in (("{dir}", self.dir), ("{n}", str(n)), ("{python}", PYTHON), ("{osmem}", shlex.quote(OSMEM))):
            text = text.replace(key, value)
        return text

    def prepare(self, work):
        """Write the inputs; False names what is missing."""
        programs = [shlex.split(self.fill(work.command, work))[0], *work.needs]
        missing = [p for p in programs if not shutil.which(p)]
        if missing:
            say(f"{work.name}: left out, no {', '.join(missing)} here")
            return False
        for name, content in work.files.items():
            with open(self.path(name), "w") as out:
                if callable(content):
                    out.writelines(line + "\n" for line in
                                   content(max(1, round(work.size * self.scale))))
                else:
                    out.write(content)
        if work.prepare:
            subprocess.run(["sh", "-c", self.fill(work.prepare, work)], env=self.env, check=True)
        return True

    def start(self, argv, stdout=subprocess.DEVNULL, variables=None):
        """In a session of its own, so that it can be ended with its children."""
        return subprocess.Popen(argv, env=self.env | (variables or {}), cwd=self.dir, start_new_session=True, text=True,
                                stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL)

    def drive(self, work, before, variables=None):
        """Run the workload's command behind the words `before`, its driver
        beside it; what it printed, or None if it took too long."""
        process = self.start([*before, *shlex.split(self.fill(work.command, work))],
                             subprocess.PIPE if work.lines else subprocess.DEVNULL, variables)
        started = [process]
        if work.driver:
            started.append(self.start(["sh", "-c", self.fill(work.driver, work)], variables=variables))
        try:
            return process.communicate(timeout=LIMIT_S)[0] or ""
        except subprocess.TimeoutExpired:
            return None
        finally:
            for each in started:
                kill_session(each)

    def run(self, work, name, library):
        """One measured run: a dict of metrics, or None if it failed."""
        usage, giving, said = self.path("usage"), self.path("giving"), self.path("said")
        for path in (giving, said):
            open(path, "w").close()
        printed = self.drive(work, [self.path("launch"), library, usage],
                             self.variables.get(name))
        if printed is None:
            return self.failed(work.name, name, f"ran longer than {LIMIT_S} s")
        with open(usage) as report:
            status, user, system, wall, peak, faults = map(int, report.read().split())
        if status:
            return self.failed(work.name, name, f"ended with status {status}")
        sample = {"cpu": (user + system) / 1e6, "wall": wall / 1e6, "rss": peak, "faults": faults}
        with open(giving) as lines:
            spent = [int(line) for line in lines]
        if spent:
            sample["giving"] = sum(spent) / (user + system) / 10  # ns over us: per cent
        with open(said) as by_driver:
            printed += by_driver.read()
        for line in printed.splitlines():
            key, value = line.rsplit(" ", 1)
            sample[key] = float(value)
        return sample

    def failed(self, what, name, why):
        self.failures += 1
        say(f"{what} under {name}: {why}")

    def memory_calls(self, work, library):
        """Memory system calls of one run, the loader's included, by name."""
        counts = self.path("counts")
        open(counts, "w").close()
        if self.drive(work, ["strace", "-f", "-qq", "-c", "--seccomp-bpf", "-E",
                             "LD_PRELOAD=" + library, "-e", "trace=" + ",".join(MEMORY_CALLS),
                             "-o", counts]) is None:
            return None
        with open(counts) as table:
            rows = [line.split() for line in table]
        return {row[-1]: int(row[3]) for row in rows if row and row[-1] in MEMORY_CALLS} or None

    def hot_instructions(self, library, pairs):
        """Instructions that the calls of hot() took, by source line: malloc's
        comes before free's. The profile names callees by whichever alias the
        library exports first, so the caller's lines are the safer key. Debug
        data newer than valgrind stops it, hence a copy of the library without."""
        profile, bare = self.path("profile"), self.path("bare.so")
        subprocess.run(["strip", "--strip-debug", "-o", bare, library], check=True)
        subprocess.run(["valgrind", "-q", "--tool=callgrind", "--compress-strings=no",
                        "--compress-pos=no", "--callgrind-out-file=" + profile,
                        self.path("micro"), "hot", str(pairs)], check=True, cwd=self.dir,
                       env=self.env | {"LD_PRELOAD": bare, "LD_BIND_NOW": "1"})
        by_line, inside, call = {}, False, False
        with open(profile) as lines:
            for line in lines:
                if line.startswith("fn="):
                    inside = line.strip() == "fn=hot"
                elif inside and call:
                    where, cost = map(int, line.split())
                    by_line[where] = by_line.get(where, 0) + cost
                call = line.startswith("calls=")
        return [by_line[where] for where in sorted(by_line)]

    def row_instructions(self, library, steps):
        """Instructions of a step of each row of micro, its loop included. The
        profile is cut at each mark(): parts come in pairs, warm and counted."""
        profile, bare = self.path("profile"), self.path("bare.so")
        subprocess.run(["strip", "--strip-debug", "-o", bare, library], check=True)
        names = subprocess.run(["valgrind", "-q", "--tool=callgrind", "--dump-before=mark",
                                "--callgrind-out-file=" + profile, self.path("micro"), "count",
                                str(steps)], check=True, cwd=self.dir, text=True,
                               capture_output=True, env=self.env | {
                                   "LD_PRELOAD": bare, "LD_BIND_NOW": "1"}).stdout.split("\n")
        counts = {}
        for i, name in enumerate(filter(None, names)):
            with open(f"{profile}.{2 * i + 2}") as part:
                total = re.search(r"^(?:summary|totals): (\d+)", part.read(), re.M)
            counts[name] = int(total.group(1)) / steps
        return counts


# ---- allocators ----

def own_libc():
    with open("/proc/self/maps") as maps:
        found = re.search(r"(/\S*/libc[.-]\S*so\S*)", maps.read())
    return found and found.group(1)


def library_of(name):
    """Path of a known allocator, or None.

    glibc is preloaded like the others: some programs (redis) are linked with
    an allocator of their own, and only a preloaded libc comes before it."""
    if name == "osmem":
        path = os.path.join(TOP, "libosmem.so")
        return path if os.path.exists(path) else None
    if name == "glibc":
        return own_libc()
    for place in (os.path.dirname(own_libc() or ""), "/usr/lib/*-linux-gnu", "/usr/lib64",
                  "/usr/lib", "/usr/local/lib"):
        found = sorted(glob.glob(os.path.join(place, PEERS[name])))
        if place and found:
            return found[0]
    return None


def choose_allocators(text):
    """From NAME or NAME=PATH words to {name: path}; the baseline comes first."""
    chosen = {}
    for word in text.split(","):
        name, _, path = word.partition("=")
        if path and not os.path.exists(path):
            raise argparse.ArgumentTypeError(f"{name}: no such file: {path}")
        if not path and name not in ("glibc", "osmem", *PEERS):
            raise argparse.ArgumentTypeError(f"{name!r}: not an allocator I know; use NAME=PATH")
        path = path or library_of(name)
        if path:
            chosen[name] = os.path.abspath(path)
        elif name == "osmem":
            say(f"osmem: left out, {os.path.join(TOP, 'libosmem.so')} is not built")
        else:
            say(f"{name}: left out, no {PEERS.get(name, 'libc')} on this machine")
    if not chosen:
        raise argparse.ArgumentTypeError("none of them is here")
    return dict(sorted(chosen.items(), key=lambda item: item[0] != "glibc"))


def active(bench, library, shell):
    """Is it mapped in a process that the launcher starts?"""
    shown = subprocess.run([bench.path("launch"), library, bench.path("usage"),
                            *shell, "cat", "/proc/self/maps"], capture_output=True, text=True,
                           env=bench.env)
    return os.path.realpath(library) in shown.stdout


# ---- measuring ----

@dataclass
class Row:
    """What one workload did under each allocator."""
    set: str
    name: str
    samples: dict                                # allocator: list of metric dicts
    calls: dict = field(default_factory=dict)    # allocator: memory calls by name
    bound: bool = False                          # see Work
    figures: tuple = ()

    def median(self, allocator, metric):
        if self.figures and metric not in self.figures:
            return None
        values = [s[metric] for s in self.samples.get(allocator, ()) if metric in s]
        return statistics.median(values) if values else None

    def ratio(self, allocator, base, metric):
        mine, theirs = self.median(allocator, metric), self.median(base, metric)
        return mine / theirs if mine and theirs else None


def measure(bench, work, allocators, runs, warm):
    samples = {name: [] for name in allocators}
    if warm:  # files into the page cache, so that the first allocator pays nothing extra
        bench.run(work, *next(iter(allocators.items())))
    try:
        for name, library in runs * list(allocators.items()):
            sample = bench.run(work, name, library)
            if sample:
                samples[name].append(sample)
    except KeyboardInterrupt:
        bench.interrupted = True  # what all have done once by then can be compared
    return samples


def micro_rows(work, samples):
    """One row per printed line instead of one per command."""
    names = dict.fromkeys(key for runs in samples.values() for run in runs for key in run
                          if key not in METRICS)
    for name in names:
        yield Row("micro", f"{name} {work.name}",
                  {allocator: [{"ns": run[name]} for run in runs if name in run]
                   for allocator, runs in samples.items()})


def measure_all(bench, options, allocators):
    """{set: rows}; after ^C (bench.interrupted) those of which each allocator has run."""
    results = {}
    try:
        for kind in [each for each in SETS if each not in NOT_IN_ALL] if options.set == "all" else (options.set,):
            for row in measure_set(bench, kind, options, allocators):
                results.setdefault(kind, []).append(row)
    except KeyboardInterrupt:
        bench.interrupted = True
    if bench.interrupted:
        say("interrupted: what follows was measured before")
    return results


def time_to_go(began, done, of):
    """Of this set, by what it took so far."""
    if not done:
        return ""
    spent = time.monotonic() - began
    return f" ({spent / 60:.0f} minutes so far, {spent / done * (of - done) / 60:.0f} to go)"


def measure_set(bench, kind, options, allocators):
    works = [w for w in SETS[kind](bench) if kind == "micro" or options.only.search(w.name)]
    began = time.monotonic()
    for i, work in enumerate(works):
        if bench.interrupted:
            return
        if not bench.prepare(work):
            continue
        say(f"{kind} {i + 1}/{len(works)} {work.name}{time_to_go(began, i, len(works))}")
        samples = measure(bench, work, allocators, options.runs, kind == "real")
        if bench.interrupted and not all(samples.values()):
            return
        if kind == "micro":
            yield from (row for row in micro_rows(work, samples)
                        if options.only.search(row.name))
            continue
        row = Row(kind, work.name, samples, bound=work.bound, figures=work.figures)
        if options.syscalls:
            row.calls = {name: bench.memory_calls(work, lib) for name, lib in allocators.items()}
            for name, counts in row.calls.items():
                for sample in samples[name]:
                    sample["calls"] = sum((counts or {}).values())
        yield row


def count_rows(bench, allocators):
    """{row: {allocator: instructions of a step}}"""
    rows = {}
    for name, library in allocators.items():
        try:
            counts = bench.row_instructions(library, 2000)
        except subprocess.CalledProcessError:
            bench.failed("micro rows", name, "no instruction count")
            continue
        for row, count in counts.items():
            rows.setdefault(row, {})[name] = count
    return rows


def count_instructions(bench, allocators):
    """Per hot malloc and free of 64 bytes: the difference of two run lengths
    leaves start-up out and is exact."""
    pairs = 10000
    for name, library in allocators.items():
        try:
            short, long = (bench.hot_instructions(library, n) for n in (pairs, 2 * pairs))
        except subprocess.CalledProcessError:
            bench.failed("hot pair", name, "no instruction count")
            continue
        yield name, [(b - a) / pairs for a, b in zip(short, long)]


# ---- reports ----

def geomean(values):
    values = [v for v in values if v and v > 0]  # a slope may go down
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def comparable(rows, allocators, metric):
    """The rows in which every allocator has a figure: means over different
    rows would not compare."""
    return [row for row in rows if all(row.median(a, metric) for a in allocators)]


def geomeans(rows, allocators, base):
    """{metric: {allocator: ratio}} of the metrics that these rows have."""
    means = {m: {a: geomean(row.ratio(a, base, m) for row in comparable(rows, allocators, m))
                 for a in allocators}
             for m in METRICS}
    return {m: by for m, by in means.items() if by[base]}


def show(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def grid(lines):
    """Columns as wide as their widest cell, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.rjust(w) if i else cell.ljust(w)
                               for i, (cell, w) in enumerate(zip(line, widths)))
                     for line in lines)


def program_table(rows, allocators, base):
    others = [a for a in allocators if a != base]
    yield ["cpu and rss", f"{base} s", "MiB", *(title for a in others for title in (a, "rss"))]
    for row in rows:
        peak = row.median(base, "rss")
        yield [row.name, show(row.median(base, "cpu")), show(peak and peak / 1024, 1),
               *(show(row.ratio(a, base, m)) for a in others for m in ("cpu", "rss"))]


def memory_table(rows, allocators, base):
    """A line for each figure; KiB, seconds, milliseconds of pauses, or a ratio.
    What a process costs is shown over the baseline too."""
    yield ["KiB, s, ms, or ratio", *allocators]
    for row in rows:
        for metric in row.figures:
            values = [row.median(a, metric) for a in allocators]
            if not any(v is not None for v in values):
                continue
            digits = 0 if metric in ("dirty", "growth", "rest") else 3 if metric in PAUSES else 2
            yield [f"{row.name}, {metric}", *(show(v, digits) for v in values)]
            if metric == "dirty" and values[0]:
                yield [f"{row.name}, {metric} over {base}",
                       *("-" if v is None else f"{v - values[0]:+.0f}" for v in values)]


def look_table(rows, allocators, base):
    """Nobody's figures, and the others' over these."""
    yield ["requests a second, and cpu s", *allocators]
    for row in rows:
        for metric in row.figures:
            yield [f"{row.name}, {metric}", show(row.median(base, metric)),
                   *(show(row.ratio(a, base, metric), 3) for a in allocators if a != base)]


def micro_table(rows, allocators, base):
    yield ["ns", *allocators]
    for row in rows:
        yield [row.name, *(show(row.median(a, "ns"), 1) for a in allocators)]


def mean_table(means, rows, allocators, base):
    yield ["geomean", *allocators]
    for metric, by in means.items():
        has, all_have = (len(comparable(rows, names, metric)) for names in ([base], allocators))
        note = f" (of {all_have} rows; {has - all_have} some lack)" if has > all_have else ""
        yield [metric + note, *(show(by[a], 3) for a in allocators)]


def call_table(rows, allocators):
    yield ["memory calls", *allocators]
    for row in rows:
        yield [row.name, *("-" if row.calls.get(a) is None else str(sum(row.calls[a].values()))
                           for a in allocators)]


def giving_table(rows, timed):
    yield ["% of cpu", *timed]
    for row in rows:
        yield [row.name, *(show(row.median(a, "giving")) for a in timed)]


def row_instruction_table(rows, allocators):
    yield ["instructions of a step", *allocators]
    for name, by in rows.items():
        yield [name, *(show(by.get(a), 1) for a in allocators)]


def instruction_table(instructions):
    yield ["instructions, 64 bytes, hot", "malloc", "free"]
    for name, counts in instructions.items():
        yield [name, *(show(c) for c in (*counts, None, None)[:2])]


def groups(results):
    """What geometric means are taken over, as (title, rows)."""
    for kind, rows in results.items():
        yield kind, rows
        if any(row.bound for row in rows):
            yield f"{kind}, 5 % or more in malloc", [row for row in rows if row.bound]


def tables(results, instructions, allocators, base):
    """All tables of a report, as (title, lines)."""
    for kind, rows in results.items():
        table = (memory_table if kind in FIGURE_BY_FIGURE else look_table if kind == "looks" else
                 micro_table if kind == "micro" else program_table)
        yield kind, list(table(rows, allocators, base))
        for title, group in groups({kind: rows}):
            means = geomeans(group, allocators, base)
            yield f"{title}, geometric means", list(mean_table(means, group, allocators, base))
        timed = [a for a in allocators if any(row.median(a, "giving") is not None for row in rows)]
        if timed:
            yield f"{kind}, giving back", list(giving_table(rows, timed))
        if any(row.calls for row in rows):
            yield f"{kind}, memory system calls", list(call_table(rows, allocators))
    if instructions:
        yield "instructions", list(instruction_table(instructions["hot"]))
        yield "instructions by row", list(row_instruction_table(instructions["rows"], allocators))


def raw_data(results, instructions, allocators, base, options):
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"kernel": platform.release(), "arch": platform.machine(),
                    "cpus": os.cpu_count()},
        "runs": options.runs, "scale": options.scale, "baseline": base, "allocators": allocators,
        "geomeans": {title: geomeans(rows, allocators, base) for title, rows in groups(results)},
        "rows": [vars(row) for rows in results.values() for row in rows],
        "instructions": instructions,
    }


# ---- the page: time against memory, one dot an allocator, one panel a workload ----

WIDTH, HEIGHT, EDGE, FOOT = 240, 190, 38, 26
COLORS = ("#888888", "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b")
TICKS = (1, .5, 2, .8, 1.25, .2, 5, .1, 10, .9, 1.1, .05, 20)  # by importance

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1080px; padding: 0 1em;
       color-scheme: light dark; }
.panels { display: flex; flex-wrap: wrap; gap: 12px; }
svg { border: 1px solid #8884; border-radius: 6px; font-size: 9px; fill: currentColor; max-width: 100%; }
.wide { overflow-x: auto; }
svg line { stroke: #8884; } svg line.one { stroke: #888; } svg .title { font-size: 12px; }
i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin: 0 .3em 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
td, th { padding: 1px 10px; text-align: right; border-bottom: 1px solid #8883; }
td:first-child, th:first-child { text-align: left; }
"""


class Axis:
    """Ratios on a logarithmic axis from pixel `start` to pixel `end`; 1 is
    always inside."""

    def __init__(self, values, start, end):
        self.low = math.log(min([.8, *values]) * .93)
        self.high = math.log(max([1.25, *values]) * 1.07)
        self.start, self.end = start, end

    def at(self, ratio):
        share = (math.log(ratio) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        """As many as find room."""
        placed = []
        for tick in TICKS:
            if self.low <= math.log(tick) <= self.high and all(
                    abs(self.at(tick) - self.at(other)) > 22 for other in placed):
                placed.append(tick)
        return placed


def label_place(left, top, name, taken):
    """Where the name of a dot stands: above, below, right or left of it, where no other name or dot is; in `taken` from then on."""
    width = 4.6 * len(name)
    places = [(left - width / 2, top - 7), (left - width / 2, top + 14), (left + 8, top + 3), (left - width - 8, top + 3)]
    places += [(x, y + shift) for shift in (-10, 10, -20, 20) for x, y in places]
    place = next(((x, y) for x, y in places if EDGE < x < WIDTH - width and 24 < y < HEIGHT - FOOT and all(
        x + width < other or other + size < x or abs(y - height) > 9 for other, height, size in taken)), places[0])
    taken.append((*place, width))
    return place


def panel(title, dots, colors, named=False):
    """dots: (allocator, time ratio, memory ratio, hint)."""
    x = Axis([d[1] for d in dots], EDGE, WIDTH - 8)
    y = Axis([d[2] for d in dots], HEIGHT - FOOT, 24)
    middle = (y.start + y.end) / 2
    taken = [(x.at(across) - 5, y.at(up) + 3, 10) for _, across, up, _ in dots]
    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
           f'<text class="title" x="8" y="15">{html.escape(title)}</text>',
           f'<text x="{(x.start + x.end) / 2}" y="{HEIGHT - 4}" text-anchor="middle">CPU time</text>',
           f'<text transform="translate(10 {middle}) rotate(-90)" text-anchor="middle">peak memory</text>']
    for tick in x.ticks():
        mark = ' class="one"' if tick == 1 else ""
        out.append(f'<line{mark} x1="{x.at(tick):.1f}" x2="{x.at(tick):.1f}" y1="{y.end}"'
                   f' y2="{y.start}"/><text x="{x.at(tick):.1f}" y="{HEIGHT - FOOT + 10}"'
                   f' text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks():
        mark = ' class="one"' if tick == 1 else ""
        out.append(f'<line{mark} y1="{y.at(tick):.1f}" y2="{y.at(tick):.1f}" x1="{x.start}"'
                   f' x2="{x.end}"/><text x="{EDGE - 4}" y="{y.at(tick) + 3:.1f}"'
                   f' text-anchor="end">{tick:g}</text>')
    for name, time_ratio, memory_ratio, hint in dots:
        left, top = x.at(time_ratio), y.at(memory_ratio)
        out.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" fill="{colors[name]}"'
                   f' fill-opacity=".85"><title>{html.escape(hint)}</title></circle>')
        if named:
            at, line = label_place(left, top, name, taken)
            out.append(f'<text x="{at:.1f}" y="{line:.1f}">{html.escape(name)}</text>')
    return "".join(out) + "</svg>"


def row_panel(row, allocators, base, colors):
    dots = []
    for name in allocators:
        time_ratio, memory_ratio = (row.ratio(name, base, m) for m in ("cpu", "rss"))
        if time_ratio and memory_ratio:
            dots.append((name, time_ratio, memory_ratio,
                         f"{name}: {row.median(name, 'cpu'):.3f} s ({time_ratio:.2f}),"
                         f" {row.median(name, 'rss') / 1024:.1f} MiB ({memory_ratio:.2f})"))
    return panel(row.name, dots, colors)


def mean_panel(kind, means, allocators, colors):
    time_of, memory_of = means.get("cpu", {}), means.get("rss", {})
    dots = [(a, time_of[a], memory_of[a], f"{a}: {time_of[a]:.3f} time, {memory_of[a]:.3f} memory")
            for a in allocators if time_of.get(a) and memory_of.get(a)]
    return panel(f"{kind}: geometric mean", dots, colors, named=True)


def html_table(lines):
    head, *body = ([html.escape(cell) for cell in line] for line in lines)
    return ("<div class=wide><table><tr><th>" + "<th>".join(head)
            + "".join("<tr><td>" + "<td>".join(line) for line in body) + "</table></div>")


def circumstances(options):
    """When and where that was measured, and how often."""
    return (f"{time.strftime('%F %T %Z')}, {platform.node()}: {cpu_model()}, {os.cpu_count()} processors, "
            f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}. "
            f"Medians of {options.runs} interleaved runs{' at a quarter of the work' if options.quick else ''}.")


def cpu_model():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def page(results, instructions, allocators, base, options):
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(allocators)}
    drawn = {kind: rows for kind, rows in results.items()
             if rows and kind not in ("micro", "looks", *FIGURE_BY_FIGURE)}
    out = ['<!doctype html><html lang="en"><meta charset="utf-8"><title>Allocators</title>',
           '<meta name="viewport" content="width=device-width, initial-scale=1">',
           f"<style>{STYLE}</style><h1>Allocators compared</h1><p>{html.escape(circumstances(options))}</p>",
           f"<p>Across: CPU time. Up: peak resident memory. Both relative to {base} and"
           " logarithmic: the lower left corner is fast and small.</p><p>",
           *(f'<i style="background:{color}"></i>{html.escape(name)}'
             for name, color in colors.items()),
           '</p><div class="panels">',
           *(mean_panel(kind, geomeans(rows, allocators, base), allocators, colors)
             for kind, rows in drawn.items()), "</div>"]
    for kind, rows in drawn.items():
        out += [f'<h2>{kind}</h2><div class="panels">',
                *(row_panel(row, allocators, base, colors) for row in rows), "</div>"]
    for title, lines in tables(results, instructions, allocators, base):
        out.append(f"<h3>{html.escape(title)}</h3>{html_table(lines)}")
    return "\n".join(out) + "\n"


# ---- command line ----

def number_of_runs(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: wants a number from 1 on")
    return int(text)


def pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def output(path):
    """A file that can be written to, before an hour is spent on what goes there."""
    try:
        open(path, "a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
    return path


def variable(text):
    """(allocator, variable, value)"""
    found = re.fullmatch(r"([^:]+):(\w+)=(.*)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text}: not NAME:VARIABLE=VALUE")
    return found.groups()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help=f"{QUICK_RUNS} runs at {QUICK_SCALE:g} of the work")
    parser.add_argument("--runs", type=number_of_runs, metavar="N", help=f"default {FULL_RUNS}")
    parser.add_argument("--only", default=re.compile(""), type=pattern, metavar="REGEX",
                        help="workloads whose name matches")
    parser.add_argument("--set", choices=(*SETS, "all"), default="all")
    parser.add_argument("--trace", nargs="+", default=[], metavar="FILE",
                        help="what the set traces replays, from scripts/record.sh")
    parser.add_argument("--allocators", default=",".join(("glibc", "osmem", *PEERS)),
                        help="comma-separated: %(default)s, or NAME=PATH")
    parser.add_argument("--env", action="append", default=[], type=variable,
                        metavar="NAME:VARIABLE=VALUE", help="for one of the allocators, e.g."
                        " OSMEM_OPTIONS or MALLOC_CONF; may be repeated")
    parser.add_argument("--syscalls", action="store_true",
                        help="count memory system calls too, in one more run under strace")
    parser.add_argument("--instructions", action="store_true",
                        help="count instructions under valgrind: of a hot malloc and free,"
                        " and of each row of micro")
    parser.add_argument("--json", type=output, metavar="FILE", help="write raw numbers")
    parser.add_argument("--html", type=output, metavar="FILE", help="write a page with charts")
    options = parser.parse_args()
    options.scale = QUICK_SCALE if options.quick else 1.0
    options.runs = options.runs or (QUICK_RUNS if options.quick else FULL_RUNS)
    if options.set == "traces" and not options.trace:
        parser.error("--set traces wants --trace FILE...")
    for path in options.trace:
        if not os.path.isfile(path):
            parser.error(f"{path}: no such trace")
    try:
        options.allocators = choose_allocators("osmem" if options.set == "looks" else musl_allocators()
                                               if options.set == "musl" else options.allocators)
    except argparse.ArgumentTypeError as why:
        parser.error(f"--allocators: {why}")
    for name, _, _ in options.env:
        if name not in options.allocators:
            parser.error(f"--env {name}: no allocator of that name is measured")
    for tool, wanted in (("strace", options.syscalls), ("valgrind", options.instructions)):
        if wanted and not shutil.which(tool):
            parser.error(f"{tool} is not installed")
    return options


def write(path, text):
    if path:
        with open(path, "w") as out:
            out.write(text)


def main():
    options = parse_options()
    allocators = options.allocators
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="osmem-bench-") as scratch:
        bench = Bench(scratch, options.scale, options.trace)
        for name, word, value in options.env:
            bench.variables.setdefault(name, {})[word] = value
        shell = [musl_program("busybox")] if options.set == "musl" else []
        for name, library in allocators.items():
            if not active(bench, library, shell):
                sys.exit(f"{name}: {library} does not get into a process")
        if options.set == "looks":
            allocators = dict.fromkeys(LOOKS, allocators["osmem"])
            bench.variables = {name: {"LOOK": look} for name, look in LOOKS.items()}
        base = next(iter(allocators))
        results = measure_all(bench, options, allocators)
        if not results:
            sys.exit(130 if bench.interrupted else f"of set {options.set} nothing matches"
                     f" {options.only.pattern}, or what does is not to be had here")
        instructions = {"hot": dict(count_instructions(bench, allocators)),
                        "rows": count_rows(bench, allocators)
                        } if options.instructions and not bench.interrupted else {}
    for title, lines in tables(results, instructions, allocators, base):
        print(f"\n{title}\n{grid(lines)}")
    write(options.json, json.dumps(raw_data(results, instructions, allocators, base, options),
                                   indent=1))
    write(options.html, page(results, instructions, allocators, base, options))
    return 130 if bench.interrupted else 1 if bench.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:  # a TMPDIR that is full, or where nothing may be run
        sys.exit(f"bench.py: {error.filename or tempfile.gettempdir()}: {error.strerror}")
