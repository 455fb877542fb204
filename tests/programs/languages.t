#!/bin/sh
# SPDX-License-Identifier: MIT
# Interpreters and virtual machines: threads, processes, containers, plugins.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/fixtures.sh"
needs python3 perl

cat >work.py <<'PY'
import json, queue, random, subprocess, sys, threading, zlib

random.seed(7)
done = queue.Queue()

def work(number):
    rows = [{"id": i, "text": "x" * (i * number % 300), "list": list(range(i % 50))} for i in range(2000)]
    done.put((number, zlib.crc32(json.dumps(json.loads(json.dumps(rows))).encode())))

threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(done.queue))

for n in range(20):
    print(subprocess.run(["sh", "-c", f"echo child {n}"], capture_output=True, text=True).stdout.strip())

blocks = []
for step in range(200_000):
    blocks.append(bytearray(random.randrange(1, 4000)))
    if len(blocks) > 2000: blocks[random.randrange(2000)] = blocks.pop()
print(sum(map(len, blocks)))
big = bytearray(b"grow") * 1_000_000
for _ in range(50): big += b"more" * 100_000
print(zlib.crc32(big))
PY
cat >pool.py <<'PY'
import concurrent.futures, multiprocessing, sys

def square_sum(n):
    return sum(i * i for i in [*range(n)])

with concurrent.futures.ThreadPoolExecutor(4) as threads, multiprocessing.get_context("fork").Pool(4) as processes:
    print(list(threads.map(square_sum, range(0, 20000, 500))))
    print(processes.map(square_sum, range(0, 20000, 500)))
PY
active python3 "$python" -c 'print(open("/proc/self/maps").read())'
same 'python3: threads, json, subprocesses' "$python work.py"
same 'python3: a pool of threads and a pool of forks' "$python pool.py"
same 'python3: an exit status of its own' "$python -c 'raise SystemExit(3)'; echo \$?"

make_perl work.pl
active perl perl -e 'open F, "/proc/self/maps"; print <F>'
same 'perl: hashes, regular expressions, forks' 'perl -Mstrict work.pl'

make_lua work.lua
if can 'lua' command -v lua; then
  active lua lua -e 'print(io.open("/proc/self/maps"):read("a"))'
  same 'lua: tables and strings' 'lua work.lua'
fi

cat >work.js <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib'), crypto = require('crypto');
const digest = data => crypto.createHash('sha256').update(data).digest('hex');

function work(n) {
  const map = new Map();
  for (let i = 0; i < 50000; i++) map.set('key' + i * n % 20011, { i, list: new Array(i % 30).fill(n) });
  const packed = zlib.deflateSync(Buffer.from(JSON.stringify([...map])));
  return digest(zlib.inflateSync(packed));
}
if (isMainThread) {
  const results = [];
  console.log(work(1));
  let left = 4;
  for (let n = 2; n < 6; n++)
    new Worker(__filename, { workerData: n }).on('message', sum => results.push(`${n} ${sum}`)).on('exit', () => {
      if (--left == 0) console.log(results.sort().join('\n'));
    });
} else parentPort.postMessage(work(workerData));
JS
if can 'node' command -v node; then
  active node node -e 'console.log(require("fs").readFileSync("/proc/self/maps", "utf8"))'
  same 'node: workers, zlib, crypto, json' 'node work.js'
fi

cat >Work.java <<'JAVA'
import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import java.util.zip.*;

class Work {
  static long work(int n) {
    var map = new TreeMap<String, List<Integer>>();
    for (int i = 0; i < 50000; i++) map.computeIfAbsent("key" + i * n % 1009, k -> new ArrayList<>()).add(i);
    byte[] bytes = map.toString().getBytes();
    var deflater = new Deflater();
    deflater.setInput(bytes);
    deflater.finish();
    byte[] packed = new byte[bytes.length + 100];
    int length = deflater.deflate(packed);
    deflater.end();
    ByteBuffer direct = ByteBuffer.allocateDirect(length).put(packed, 0, length);
    direct.flip();
    var crc = new CRC32();
    crc.update(direct);
    return crc.getValue();
  }
  public static void main(String[] args) {
    System.out.println("hello");
    System.out.println(IntStream.range(1, 33).parallel().mapToObj(n -> n + ":" + work(n)).collect(Collectors.joining(" ")));
  }
}
JAVA
if can 'java' sh -c 'java --list-modules | grep -q jdk.compiler'; then
  cat >Maps.java <<'JAVA'
class Maps { public static void main(String[] a) throws Exception { System.out.print(java.nio.file.Files.readString(java.nio.file.Path.of("/proc/self/maps"))); } }
JAVA
  active java java Maps.java
  same 'java: compiler, collections, parallel streams, direct buffers' 'java Work.java'
fi

cat >work.php <<'PHP'
<?php
$rows = [];
for ($i = 0; $i < 100000; $i++) $rows['key' . $i * 7919 % 30011] = ['i' => $i, 'text' => str_repeat('x', $i % 200)];
ksort($rows);
echo count($rows), ' ', md5(json_encode($rows)), ' ', md5(serialize(unserialize(serialize($rows)))), "\n";
echo preg_replace_callback('/b+/', fn($m) => strlen($m[0]), str_repeat('abbb', 1000)) === str_repeat('a3', 1000) ? "preg\n" : "?\n";
if (extension_loaded('zlib')) echo md5(gzuncompress(gzcompress(str_repeat('text', 100000)))), "\n";
if (extension_loaded('sodium')) echo bin2hex(sodium_crypto_generichash('text')), "\n";
if (extension_loaded('iconv')) echo md5(iconv('UTF-8', 'UTF-16LE', str_repeat('grün', 1000))), "\n";
if (extension_loaded('openssl')) echo openssl_digest('text', 'sha256'), "\n";
if (extension_loaded('FFI')) { $c = FFI::cdef('size_t strlen(const char *);'); echo $c->strlen('text'), "\n"; }
if (extension_loaded('pcntl')) for ($n = 0; $n < 5; $n++) { if (!($pid = pcntl_fork())) exit($n); pcntl_waitpid($pid, $s); echo pcntl_wexitstatus($s), "\n"; }
echo implode(' ', get_loaded_extensions()), "\n";
PHP
# Its extensions are opened with RTLD_DEEPBIND and hand our memory to libc's free unless we see to it.
if can 'php' command -v php; then
  active php php -r 'echo file_get_contents("/proc/self/maps");'
  same 'php: extensions opened with RTLD_DEEPBIND' 'php work.php'
  same 'php: opcode cache and its own heap switched off' 'USE_ZEND_ALLOC=0 php -d opcache.enable_cli=1 work.php'
  same 'php -m, -i: every extension starts and stops' 'php -m && php -i >info && grep -vc LD_PRELOAD info'
fi
finish
