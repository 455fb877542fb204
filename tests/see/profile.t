#!/bin/sh
# SPDX-License-Identifier: MIT
# `osmem profile` and `osmem diff`: functions, and how much each asked for, of programs that ask for known sums; and the same in every form it is written in.
. "$(dirname "$0")/../tap.sh"
needs python3
. "$top/tests/see/holds.sh"

# build FIXTURE NAME [FLAG...]
build() {
  fixture=$top/tests/see/$1 name=$2
  shift 2
  case $fixture in *.cc) ${CXX:-c++} "$@" "$fixture" -o "$name" ;; *) ${CC:-cc} -O0 -g -fno-builtin "$@" "$fixture" -o "$name" ;; esac
}
build asks.c asks || { echo 'Bail out! no fixture'; exit 1; }

# row FUNCTION: its bytes, bytes with callees and blocks, of the table in `table`.
row() { awk -v function_="$1" '$6 == function_ && NF > 5 && !found { gsub(",", ""); print $1, $3, $5; found = 1 }' table; }
said() { tr '\n' ' ' <"$1"; }
profile() { "$osmem" profile "$@"; }

# ---- the sums, where each block is counted ----

profile --rate 1 -o table --folded folded --pprof asks.pb.gz --heap asks.heap ./asks says >out 2>err </dev/null
is 'the command says what it says' "$? $(said out)$(said err)" '0 out err '
is 'by a loop' "$(row keeps)" '3000000 3000000 3000'
is 'a mapping' "$(row maps)" '5000000 5000000 1'
is 'a wrapper is not who asked' "$(row asks_by_a_wrapper) $(row xmalloc)" '500000 500000 1000 '
is 'what calls itself counts once' "$(row calls_itself)" '300000 300000 1'
is 'what is freed is not in use' "$(row frees)" ''
is 'with callees' "$(row main)" '0 8800000 0'
like 'totals first, and how they came about' "$(said table)" '^osmem profile: asks, process [0-9]+ +8,800,000 bytes in 4,002 blocks in use at the end +12,800,000 bytes in 6,002 blocks asked for in all .* each block was counted $'
like 'file and line' "$(said table)" 'keeps  asks[.]c:[0-9]+ '
like 'the largest stack' "$(said table)" '5,000,000 bytes in 1 blocks, called from +maps  asks[.]c:[0-9]+ +main '
profile asks.heap >again
is 'the file that was kept says the same' "$(sed -n 2,12p again)" "$(sed -n 2,12p table)"
profile --all asks.heap >table
is 'all that was ever asked for' "$(row frees)" '4000000 4000000 2000'
is 'rows' "$(profile --top 2 asks.heap | grep -c '[0-9]%.*[0-9]%') $(profile --top 2 asks.heap | grep -c 'functions more: --top')" '2 1'

# By samples: a block of 1000 bytes is chosen with probability 1 - exp(-1001 / 4096) = 0.22 and counts 4.6 then, so of 3000 blocks the sum has a standard
# deviation of sqrt(3000 * 0.78 / 0.22) = 104 blocks, 3.5 %. A quarter is seven of these: once in 10^11 runs. A mapping of 5 MB is never missed.
profile --rate 4K -o table ./asks
ok 'by samples, as well as these can say' test "$(row keeps | cut -d ' ' -f 1)" -gt 2250000 -a "$(row keeps | cut -d ' ' -f 1)" -lt 3750000
is 'what is large is exact' "$(row maps)" '5000000 5000000 1'
like 'and that it is an estimate' "$(said table)" 'estimated from .*samples, one for each 4,096 bytes'

# ---- the same in other forms ----

sum() { awk '{ sum += $NF } END { print sum + 0 }' "$1"; }
is 'folded: the sum' "$(sum folded)" 8800000
like 'folded: a stack' "$(cat folded)" '^[^ ]*;main;calls_itself;calls_itself;calls_itself;calls_itself;calls_itself;calls_itself 300000$'
profile --all --folded all.folded -o /dev/null asks.heap
is 'folded: all that was asked for' "$(sum all.folded)" 12800000
profile --rate 1 -o table --pprof again.pb.gz asks.heap
is 'pprof: from the same profile the same file' "$(profile -o table --pprof once.pb.gz asks.heap; cmp once.pb.gz again.pb.gz)" ''
if can 'what protoc reads' command -v protoc; then
  gzip -dc <asks.pb.gz | protoc -I "$top/tests/see" --decode=Profile pprof.proto >decoded
  "$python" "$top/tests/see/of_pprof.py" inuse_space <decoded >of_pprof 2>head
  is 'pprof: stacks and bytes are those that are folded' "$(cat of_pprof)" "$(cat folded)"
  is 'pprof: its head' "$(cat head)" "[('alloc_objects', 'count'), ('alloc_space', 'bytes'), ('inuse_objects', 'count'), ('inuse_space', 'bytes')] inuse_space [1] asks True True"
  is 'pprof: all that was asked for' "$("$python" "$top/tests/see/of_pprof.py" alloc_space <decoded 2>/dev/null)" "$(cat all.folded)"
  is 'pprof: blocks' "$("$python" "$top/tests/see/of_pprof.py" inuse_objects <decoded 2>/dev/null | awk '{ sum += $NF } END { print sum }')" 4002
fi
if can 'what go tool pprof reads' go tool pprof -h; then
  go tool pprof -sample_index=inuse_space -unit=b -top asks.pb.gz >of_go 2>&1
  like 'go tool pprof: totals' "$(said of_go)" 'Type: inuse_space .*8800000B total'
  like 'go tool pprof: who asked, not by what' "$(said of_go)" ' 500000B +[0-9.]+% +[0-9.]+% +500000B +[0-9.]+%  asks_by_a_wrapper'
  like 'go tool pprof: the raw file' "$(go tool pprof -unit=b -top asks.heap 2>&1 | tr '\n' ' ')" '8800000B total'
fi
if can 'what google-pprof reads' command -v google-pprof; then
  like 'google-pprof: the raw file' "$(google-pprof --text --show_bytes ./asks asks.heap 2>/dev/null | tr '\n' ' ')" '^Total: 8800000 B .* 3000000 +34.1% +[0-9.]+% +3000000 +34.1% keeps '
fi
if can 'a flame graph' test -f "$top/build/report/speedscope.js"; then
  profile --html flame.html -o table asks.heap
  like 'html: the profile is in it' "$(grep -o '"name":"[a-z_]*"' flame.html | tr '\n' ' ')" '"name":"calls_itself" .*"name":"keeps"'
  is 'html: and the sum' "$(grep -o '"endValue":[0-9]*' flame.html)" '"endValue":8800000'
fi

# ---- names ----

names() { sed -n 's/ [0-9]*$//; s/^.*;main;//p' folded | tr '\n' ' '; }
# Only those tools, and an empty folder for who looks for the others.
only() {
  rm -rf tools && mkdir tools
  for tool in "$python" "$@"; do ln -s "$(command -v "$tool")" tools/; done
  ln -sf "$python" tools/python3
}
if can 'C++' build asks.cc boxes -O2 -g; then
  for tool in llvm-symbolizer addr2line; do
    can "$tool" command -v $tool || continue
    only $tool
    PATH=$tmp/tools profile --rate 1 -o table --folded folded "$tmp/boxes"
    case $tool in
      llvm*) is "$tool: inlined, and demangled" "$(names)" 'shop::Box<int>::fill(int);grab ' ;;
      *) like "$tool: inlined, and demangled" "$(names)" '^shop::Box<int>::fill\(int\);[^;]+ $' ;; # whose name binutils 2.40 has wrong
    esac
    is "$tool: no name that only stands before it" "$(grep -c '__throw_ios_failure' folded)" 0
    like "$tool: lines of both" "$(said table)" 'called from .*  asks[.]cc:7 +shop::Box<int>::fill\(int\)  asks[.]cc:1[12] +main  asks[.]cc:18 '
  done
  only
  PATH=$tmp/tools profile --rate 1 -o table --folded folded "$tmp/boxes"
  is 'no tool at all: the symbols of the file' "$(names)" '_ZN4shop3BoxIiE4fillEi '
fi

if can 'a separate file of debug information' command -v objcopy; then
  build asks.c whole
  objcopy --only-keep-debug whole whole.debug
  strip --strip-all -o stripped whole
  profile --rate 1 -o table --folded folded ./stripped
  like 'stripped: where it was' "$(sed -n 's/^[^;]*;.*;\(stripped+0x[0-9a-f]*\) 5000000$/\1/p' folded)" '^stripped[+]0x[0-9a-f]+$'
  objcopy --add-gnu-debuglink=whole.debug stripped linked
  profile --rate 1 -o table ./linked
  is 'a separate file, by its link' "$(row keeps)" '3000000 3000000 3000'
  only
  PATH=$tmp/tools profile --rate 1 -o table "$tmp/linked"
  is 'and without any tool' "$(row keeps)" '3000000 3000000 3000'
  build asks.c other -DOTHER -O1
  objcopy --only-keep-debug other whole.debug
  profile --rate 1 -o table ./linked
  is 'one that belongs to another program is not taken' "$(row keeps)" ''
  # With a folder of the test's own for /usr/lib/debug.
  id=$(readelf -n whole | sed -n 's/.*Build ID: //p')
  build asks.c whole
  mkdir -p "debug/.build-id/$(echo "$id" | cut -c 1-2)"
  objcopy --only-keep-debug whole "debug/.build-id/$(echo "$id" | cut -c 1-2)/$(echo "$id" | cut -c 3-).debug"
  profile --rate 1 --heap stripped.heap -o table ./stripped
  "$python" - "$top/scripts" stripped.heap >by_id 2>&1 <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import osmem_profile, osmem_symbols
osmem_symbols.DEBUG_FOLDER = "debug"
print(osmem_profile.folded([osmem_profile.read(sys.argv[2])], osmem_profile.LIVE))
PY
  like 'a separate file, by its build-id' "$(said by_id)" ';main;keeps 3000000 '
  # From a server, of who names one.
  only
  printf '#!/bin/sh\necho "$DEBUGINFOD_URLS $*" >>%s/asked\necho %s/whole.debug\n' "$tmp" "$tmp" >tools/debuginfod-find && chmod +x tools/debuginfod-find
  objcopy --only-keep-debug whole whole.debug
  PATH=$tmp/tools profile -o table stripped.heap
  is 'no server is named: nobody is asked' "$(row keeps)$(cat asked 2>&1)" 'cat: asked: No such file or directory'
  PATH=$tmp/tools DEBUGINFOD_URLS=here profile -o table stripped.heap
  is 'one is named: by its build-id' "$(row keeps) $(grep -c "^here debuginfo $id$" asked)" '3000000 3000000 3000 1'
fi
if can 'a program that is not position independent' build asks.c fixed -no-pie; then
  profile --rate 1 -o table ./fixed
  is 'one that is not position independent' "$(row keeps) $(row main)" '3000000 3000000 3000 0 8800000 0'
fi

# Of a process: where it sees its files, and the very file, whatever has its name now.
cat >outside.py <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import osmem_heap, osmem_profile, osmem_symbols
process = osmem_heap.Process(int(sys.argv[2]))
start = next(area.start for area in process.maps if "/moved" in area.name)
vdso = next((area for area in process.maps if area.name == "[vdso]"), None)
symbols = osmem_symbols.Symbols(process.maps, process.pid, process.read)
addresses = [start + int(sys.argv[3], 16), vdso.start + int(sys.argv[4], 16), 0x10]
print(*(each[0].function for each in map(symbols.frames_of(addresses, exact=set(addresses)).get, addresses)))
# And what is read there becomes a profile without a file.
profile = osmem_profile.Profile("made", process.maps, process.pid, read=process.read)
profile.add([addresses[0] + 1], osmem_profile.Numbers(2, 200, 3, 300))
print(osmem_profile.folded([profile], osmem_profile.LIVE))
PY
at() { readelf -sW "$1" | awk -v name="$2" '$8 ~ "^" name "(@|$)" { print $2; exit }'; }
if can 'symbols of a process' command -v readelf; then
  cp asks moved
  ./moved waits &
  pid=$!
  until [ -e ready ]; do sleep 0.05; done
  "$python" - <<'PY' >vdso 2>/dev/null
area = next(line.split()[0].split("-") for line in open("/proc/self/maps") if line.endswith("[vdso]\n"))
memory = open("/proc/self/mem", "rb", 0)
memory.seek(int(area[0], 16))
open("vdso.so", "wb").write(memory.read(int(area[1], 16) - int(area[0], 16)))
PY
  name=$(readelf -sW vdso.so | awk '$8 ~ /^__.*clock_gettime/ { sub("@.*", "", $8); print $8; exit }')
  outside() { "$python" outside.py "$top/scripts" "$pid" "$(at asks keeps)" "$(at vdso.so "$name")" 2>&1 | tr '\n' ' '; }
  is 'of a process, and of the vdso' "$(outside)" "keeps $name 0x10 keeps 200  "
  cp boxes other 2>/dev/null || cp /bin/true other
  mv other moved
  like 'its file is another now' "$(outside)" "^osmem: $tmp/moved: it is not there any more: .* moved[+]0x[0-9a-f]+ $name 0x10 |^keeps $name 0x10 "
  kill -s TERM $pid
  wait $pid
  rm -f ready
fi

# Who has no answer, and files that are none.
cp asks gone && profile --rate 1 --heap gone.heap -o table ./gone
rm gone
like 'a file that is gone' "$(answer "$osmem" profile gone.heap)" "^0 osmem: $tmp/gone: it is not there any more: its names are unknown .* gone[+]0x[0-9a-f]+ "
sed "s|^\(.*\)/gone$|\1/gone (deleted)|" gone.heap >deleted.heap
cp /bin/true gone
like 'and that of another in its place are not taken' "$(answer "$osmem" profile deleted.heap)" "^0 osmem: $tmp/gone: it is not there any more: .* gone[+]0x[0-9a-f]+ "
for broken in 'head -c 3000 asks' 'printf text' 'head -c 64 asks' 'dd if=/dev/zero bs=4096 count=9' 'eval head -c 64 asks; head -c 90000 /dev/urandom'; do
  $broken >gone 2>/dev/null
  like "a broken file: $broken" "$(answer "$osmem" profile gone.heap)" '^0 .* 5,000,000 +56[.]8% .*gone[+]0x[0-9a-f]+ '
done
only
printf '#!/bin/sh\nexec /bin/sleep 60\n' >tools/llvm-symbolizer && chmod +x tools/llvm-symbolizer
PATH=$tmp/tools "$python" - "$top/scripts" asks.heap >patient 2>&1 <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import osmem_profile, osmem_symbols
osmem_symbols.PATIENCE_S = 0.5
print(osmem_profile.folded([osmem_profile.read(sys.argv[2])], osmem_profile.LIVE))
PY
like 'a tool that has no answer' "$(said patient)" '^osmem: .*: llvm-symbolizer has no answer in time.*;main;keeps 3000000 '

# ---- lifetimes, and the highest moment ----

cat >made.heap <<'HEAP'
heap profile: 3: 300 [103: 20300] @ heapprofile
1: 100 [51: 10100] @ 0x1001 0x2001
# freed 6000 3000 500 400 50 50 elsewhere 2500
2: 200 [52: 10200] @ 0x3001 0x2001
# freed 0 0 0 1000 4000 5000 elsewhere 0

MAPPED_LIBRARIES:
HEAP
sed 's/^1: 100/1: 5000/; s/^heap profile: 3: 300/heap profile: 3: 5200/' made.heap >made.peak.heap
profile --churn made.heap >table
sed '1a# rate 4096 missed 3' made.heap >missed.heap
like 'what was missed is told' "$(profile missed.heap | tail -n 1)" '^estimated from samples, one for each 4,096 bytes asked for, on average; 3 samples are missing'
like 'churn: in all' "$(said table)" ' 9,000 bytes freed after less than 100 ms, 45.0% of 20,000 that were freed +2,500 bytes freed by another thread than the one that asked, 12.5% '
like 'churn: by lifetime' "$(said table)" ' 9,000 +60.0% +30.0% +5.0% +4.0% +0.5% +0.5% +25.0%  0x1001 '
profile --churn --folded folded --pprof churn.pb.gz -o table made.heap
is 'churn: folded' "$(said folded)" '0x2001;0x1001 9000 '
like 'the highest moment' "$(profile --peak made.heap | tr '\n' ' ')" '5,200 bytes in 3 blocks in use at the highest moment'
like 'and so of its file, by its name' "$(profile made.peak.heap | tr '\n' ' ')" '5,200 bytes in 3 blocks in use at the highest moment'
like 'no file of it' "$(answer "$osmem" profile --peak asks.heap)" '^2 osmem: asks[.]peak[.]heap: No such file'
like 'no lifetimes: what was freed' "$(sed '/^# freed/d' made.heap >no.heap; answer "$osmem" profile --churn no.heap)" '^0 osmem: the profile tells no lifetimes.* 10,000 +50.0% '

if can 'lifetimes and the highest moment of a program' grep -q '^# freed' asks.heap; then
  profile --churn asks.heap >table
  like 'what a program freed' "$(said table)" '% of 4,000,000 that were freed +0 bytes freed by another thread .* frees  asks[.]c:[0-9]+ '
  like 'its highest moment' "$(profile --rate 1 --peak ./asks 2>&1 | tr '\n' ' ')" ' 8,800,000 bytes in 4,002 blocks in use at the highest moment '
fi

# ---- two of them ----

profile --rate 1 --heap more.heap -o table ./asks more
"$osmem" diff more.heap asks.heap >change
like 'diff: by functions, whatever their addresses' "$(said change)" '^from more[.]heap to asks[.]heap: .* change +3,100,000 +3,000,000 +-100,000  keeps +main .* 8,900,000 +8,800,000 +-100,000  = all $'
is 'diff: what did not change is not there' "$(grep -c 'maps\|calls_itself' change)" 0
profile --diff-base more.heap asks.heap >other
is 'diff-base says the same' "$(cat other)" "$(cat change)"
like 'diff of a profile and something else' "$(answer "$osmem" diff asks.heap table)" '^2 osmem: asks[.]heap and table: one is a heap profile'

# ---- commands ----

profile --rate 1 -o table ./asks child
is 'its own process' "$(row keeps) $(grep -c '^osmem profile' table)" '3000000 3000000 3000 1'
profile --rate 1 --children --folded folded -o table ./asks child
is 'each process, the largest first' "$(row keeps) $(grep -c '^osmem profile' table)" '23000000 23000000 8000 2'
is 'folded: both' "$(sum folded)" $((8800000 + 28800000))
like 'a program of many' "$(profile --children sh -c './asks; ./asks' 2>&1 | grep -c '^osmem profile: asks, process')" '^2$'
is 'the status is passed on' "$(answer "$osmem" profile -o table ./asks seven)" '7 '
is 'options are passed on' "$(OSMEM_OPTIONS=stats=1 "$osmem" profile -o table ./asks 2>&1 | grep -c mapped)" "$(OSMEM_OPTIONS=stats=1 "$osmem" run ./asks 2>&1 | grep -c mapped)"
like 'the table goes to standard error' "$("$osmem" profile ./asks says 2>&1 >out)" '^err'
is 'and nothing else to its output' "$(said out)" 'out '
like 'ended by _exit' "$(answer "$osmem" profile ./asks leaves)" '^5 osmem: ./asks wrote no profile: it may have ended by _exit; '
like 'ended by a signal' "$(answer "$osmem" profile ./asks killed)" '^137 osmem: ./asks wrote no profile: it was ended by signal 9; '
if can 'a static program' build asks.c static -static; then
  like 'a static program' "$(answer "$osmem" profile ./static)" '^2 osmem: ./static wrote no profile: .* static'
fi
# A terminal sends ^C to both; what ends the tool is handed on.
cat >both.py <<'PY'
import os, signal, subprocess, sys, time
number, to_group, command = int(sys.argv[1]), sys.argv[2] == "group", sys.argv[3:]
signal.signal(signal.SIGINT, signal.default_int_handler)
tool = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
while not os.path.exists("ready"):
    time.sleep(0.02)
(os.killpg if to_group else os.kill)(tool.pid, number)
print(tool.communicate()[1].decode().split("\n")[0].split(",")[0], tool.returncode)
PY
is '^C is the command'"'s" "$("$python" both.py 2 group "$osmem" profile ./asks waits)" 'osmem profile: asks 2'
rm ready
is 'the tool is told to end: so is the command' "$("$python" both.py 15 tool "$osmem" profile ./asks waits)" 'osmem profile: asks 15'
rm ready
is 'into a pipe that ends' "$(profile asks.heap 2>&1 | sed -n 1p)" 'osmem profile: asks.heap'
{ until [ -e closed ]; do sleep 0.05; done; profile ./asks seven 2>&1; echo $? >status; } | { exec <&-; : >closed; until [ -s status ]; do sleep 0.05; done; }
is 'nobody reads the table: the status is the same' "$(cat status)" 7
mkdir temporary
TMPDIR=$tmp/temporary profile -o table ./asks
TMPDIR=$tmp/temporary "$python" both.py 2 group "$osmem" profile ./asks waits >out
TMPDIR=$tmp/temporary profile no-such-command 2>out
is 'nothing is left behind' "$(ls temporary)" ''

# ---- what cannot be ----

like '--help' "$(answer "$osmem" profile --help)" '^0 usage: osmem profile .*--rate.*--churn.*--html'
like 'profile what?' "$(answer "$osmem" profile)" '^2 .*which command'
is 'no such command' "$(answer "$osmem" profile no-such-command)" '127 osmem: no-such-command: no such command '
is 'what is no program' "$(answer "$osmem" profile -- /etc/passwd)" '126 osmem: /etc/passwd: Permission denied '
like 'no library' "$(OSMEM_LIB=$tmp/none.so answer "$osmem" profile ./asks)" "^125 osmem: no library at $tmp/none.so"
like 'what is no profile' "$(answer "$osmem" profile /etc/passwd)" '^2 osmem: /etc/passwd: not a heap profile'
like 'no such file' "$(answer "$osmem" profile none.heap)" '^2 osmem: none.heap: No such file or directory $'
like 'options behind the file' "$(answer "$osmem" profile asks.heap --all)" '^2 osmem: asks.heap is a profile: options stand before it'
sed '1s/heapprofile/heap_v2\/524288/' asks.heap >others.heap
like 'a profile of another kind' "$(answer "$osmem" profile others.heap)" '^2 osmem: others.heap: a heap profile of another kind'
sed '3s/.*/nonsense/' asks.heap >spoilt.heap
like 'a spoilt line' "$(answer "$osmem" profile spoilt.heap)" "^2 osmem: spoilt.heap: line 3 is not of a heap profile: 'nonsense'"
sed '/^MAPPED/,$d' asks.heap >short.heap
like 'one that ends too early' "$(answer "$osmem" profile short.heap)" '^0 osmem: short.heap: what is mapped where is missing'
for rate in 0 x -1 1.5; do like "--rate $rate" "$(answer "$osmem" profile --rate=$rate ./asks)" '^2 usage: .*--rate: '; done
for form in folded pprof heap o; do
  rm -f ready
  dash=--; [ $form = o ] && dash=-
  like "$dash$form into a folder that is not there: the command is not begun" "$(answer "$osmem" profile $dash$form none/file sh -c ': >ready')$(ls ready 2>&1)" \
    '^2 osmem: none/file: No such file or directory ls: '
  like "$dash$form onto a full disk" "$(answer "$osmem" profile $dash$form /dev/full asks.heap)" '^2 osmem: /dev/full: No space left on device $'
done
like '--heap of many' "$(answer "$osmem" profile --heap file --children ./asks)" '^2 osmem: --heap keeps the profile of one process'
finish
