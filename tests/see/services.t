#!/bin/sh
# SPDX-License-Identifier: MIT
# Servers that answer under load while each verb of scripts/osmem looks at them from outside: the answers stay right and complete, what is said is of that
# server, nothing of it is lost, and it ends by its own command. redis (Debian links it to libjemalloc), nginx (a master and a worker), mariadb (threads, and
# workers of io_uring), postgres (a process for each client). All on sockets in the test's folder.
. "$(dirname "$0")/../tap.sh"
needs python3
osmem=$top/scripts/osmem
socket=$tmp/socket
PATH=$PATH:/usr/sbin # for those who are not root

# settles CMD...: until it succeeds.
settles() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }

# ---- the load ----------------------------------------------------------------------------

ROUNDS=4000 # at most; it ends before, with the file `loaded`, or the test's folder

# load ROUND: the function in the background, again and again, an answer in a line each time.
load() {
  rm -f answers
  : >loaded
  (
    number=0
    while [ -e loaded ] && [ $number -lt $ROUNDS ]; do
      "$1" || echo "round $number: status $?"
      number=$((number + 1))
    done
  ) >answers 2>&1 &
  loading=$!
  until [ -s answers ]; do sleep 0.05; done
}

# unload NAME WANTED: every answer was that one, and there were some.
unload() {
  rm loaded
  wait $loading
  is "$1: every answer was right, and there was more than one" "$(sort -u answers) $(($(wc -l <answers) > 1))" "$2 1"
}

# ---- the looks ---------------------------------------------------------------------------

cat >sums.py <<'PY'
import json, sys
look = json.load(sys.stdin)
bytes_, held = look["bytes"], look["counters"]["bytes_held"]
wrong = [name for name, size in bytes_.items() if size < 0]
wrong += ["the sum"] if sum(bytes_.values()) != look["held"] else []
wrong += ["what was asked of the kernel"] if abs(look["held"] - held) > held / 20 else []
wrong += ["resident"] if not 0 < look["resident"] <= look["held"] else []
wrong += ["in use"] if not 100000 < bytes_["in_use"] <= look["active"] else []
print(wrong or "adds up")
PY

# total: bytes asked for in all, in the file `seen`.
total() { sed -n 's/^ *\([0-9,]*\) bytes in [0-9,]* blocks asked for in all.*/\1/p' seen; }

# profiled NAME PID ERE: on for a second, and off. By bytes asked for in all, since a server at work frees what it asks for; the ERE names functions of that server.
profiled() {
  "$osmem" profile --all --seconds 1 --rate 4K --folded folded "$2" >seen 2>said
  is "$1: samples, switched on" "$? $(cat said)" "0 osmem: samples of process $2 for 1 s, or until ^C"
  like "$1: they name who asked" "$(awk '$1 ~ /[1-9]/ && $2 ~ /%$/ { print $6 }' seen)" "^($3)"
  is "$1: their stacks go back to where the thread began" "$(awk '{ all += $NF } /^(_start|[^;]*clone3?);/ { whole += $NF } END { print (whole > 0.99 * all) }' folded)" 1
  "$osmem" profile --all --seconds 0 "$2" >seen
  before=$(total)
  "$osmem" profile --all --seconds 0 "$2" >seen
  is "$1: and off again: nothing more is on record" "$(total)" "${before:-none}"
}

# keeps_all NAME PID: nothing is lost, in the end. Under load that is not so of each server: mariadb's purge passes its THDs from thread to thread by a list whose
# nodes live for microseconds, so that what stays there may look lost in each of three looks.
loses_none() { "$osmem" leaks --every 0.2 "$1" >seen 2>&1 && grep -q ' 0 bytes in 0 blocks indirectly lost' seen; }
keeps_all() { ok "$1: nothing of it is lost" settles loses_none "$2"; }

# looked_at NAME PID ERE: while it is under load.
looked_at() {
  is "$1: the library is active" "$("$osmem" verify "$2" >/dev/null; echo $?)" 0
  like "$1: stats" "$("$osmem" stats "$2" 2>&1)" '^ +[1-9][0-9,]+  in use by the program$'
  for number in 1 2 3; do is "$1: stats --json, look $number" "$("$osmem" stats --json "$2" | "$python" sums.py 2>&1)" 'adds up'; done
  profiled "$@"
  "$osmem" leaks --looks 2 --every 0.2 "$2" >seen 2>&1
  like "$1: leaks" "$? $(cat seen)" "^[01] osmem leaks: process $2: [0-9,]+ bytes in "
  like "$1: map" "$("$osmem" map "$2" 2>&1)" '= all chunks$'
  [ ! -e "$top/build/report" ] || ok "$1: map --html" "$osmem" map --html map.html "$2"
  like "$1: top" "$("$osmem" top --rounds 1 "$2" 2>&1)" "^ *$2 +[1-9][0-9,]+ +[1-9][0-9,]+ "
  "$osmem" watch --every 0.2 --for 1 "$2" >watched 2>&1
  looks=$(sed -n 's/^osmem in .*: \([2-9]\) samples in [0-9.]* s; the time is over$/\1/p' watched) # 6, but for those that a busy machine is late for
  is "$1: watch" "$(awk '$1 ~ /^[0-9.]+$/ && $3 ~ /^[1-9][0-9,]+$/' watched | wc -l | tr -d ' ')" "${looks:-2 at least}"
}

# ends NAME LOG CMD...: by its own command, with status 0, and the log has no complaint.
ends() {
  name=$1 log=$2
  shift 2
  "$@" >stopped 2>&1
  said=$?
  ended "$server"
  is "$name: its own command ends it" "$said $?" '0 0'
  is "$name: its log has no complaint" "$(grep -Ei 'osmem|crash|signal (6|7|8|11)[^0-9]|segfault|assert|alert|emerg|panic|fatal|corrupt' "$log" | grep -v 'FATAL:  the database system is starting up')" ''
}

on_osmem() { start env LD_PRELOAD="$lib" "$@"; server=$!; }

# ---- redis -------------------------------------------------------------------------------

cli() { redis-cli -s "$socket" "$@"; }
redis_starts() {
  start env "$@" redis-server --port 0 --unixsocket "$socket" --save '' --dir "$tmp" --enable-debug-command local >redis.log 2>&1
  server=$!
  settles cli ping
}
redis_round() {
  cli flushall >/dev/null
  redis-benchmark -s "$socket" -n 20000 -c 20 -P 8 -r 5000 -q -t set,lpush,hset >/dev/null
  cli flushall >/dev/null
  echo "$(cli --pipe <commands | tail -n 1) $(cli debug digest)"
}
if can 'redis' sh -c 'command -v redis-server redis-cli redis-benchmark'; then
  awk 'BEGIN { for (i = 1; i <= 20000; i++) {
    print "SET key:" i % 9973, "value" i * 7919
    print "RPUSH list:" i % 97, i
    print "HSET hash:" i % 211, "field" i % 89, i * i
    print "ZADD set:" i % 53, i * 31 % 1009, "member" i
  } }' >commands
  redis_starts OSMEM_OPTIONS=
  wanted=$(redis_round)
  like 'redis: all commands were answered' "$wanted" '^errors: 0, replies: 80000 [0-9a-f]{40}$'
  cli shutdown nosave
  ended "$server"
  redis_starts LD_PRELOAD="$lib"
  load redis_round
  pid=$(cli info server | tr -d '\r' | sed -n 's/^process_id://p')
  looked_at redis "$pid" '_?sds|create[A-Z]|dict|zsl|lp|quicklist|activeExpire|tryObject'
  unload redis "$wanted"
  keeps_all redis "$pid"
  ends redis redis.log cli shutdown nosave
fi

# ---- nginx -------------------------------------------------------------------------------

# Pages of 130 KB through itself as a proxy, compressed or not, and small ones; on connections that are kept, and new ones.
cat >get.py <<'PY'
import gzip, http.client, socket, sys
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
pages = {name: open(f"www/{name}", "rb").read() for name in ("large.txt", "small.txt")}
right = 0
for coding in ("identity", "gzip"):
    kept = Connection("localhost")
    for number in range(40):
        name = "large.txt" if number % 4 else "small.txt"
        connection = kept if number % 5 else Connection("localhost")
        connection.request("GET", ("/back/" if number % 2 else "/") + name, headers={"Accept-Encoding": coding})
        answer = connection.getresponse()
        body = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        right += answer.status == 200 and body == pages[name]
print(right, "of 80 right")
PY
nginx_round() { "$python" get.py "$socket"; }
if can 'nginx' command -v nginx; then
  mkdir www
  seq 25000 >www/large.txt
  seq 10 >www/small.txt
  # Who is root stays it: the worker would have no way into the test's folder.
  cat >nginx.conf <<CONF
daemon off; worker_processes 1; pid $tmp/nginx.pid; error_log $tmp/nginx.log info;
$([ "$(id -u)" != 0 ] || echo 'user root;')
events { worker_connections 64; }
http {
  access_log off; gzip on; gzip_types text/plain; gzip_proxied any;
  client_body_temp_path $tmp/body; proxy_temp_path $tmp/proxy; fastcgi_temp_path $tmp/fastcgi; uwsgi_temp_path $tmp/uwsgi; scgi_temp_path $tmp/scgi;
  server { listen unix:$socket; root $tmp/www; default_type text/plain; location /back/ { proxy_pass http://unix:$socket:/; } }
}
CONF
  # The master's file of its number is there after its socket, and its worker after that.
  on_osmem nginx -p "$tmp" -c "$tmp/nginx.conf" >nginx.out 2>&1
  settles "$python" get.py "$socket"
  load nginx_round
  pid=$(ps -o pid= --ppid "$(cat nginx.pid)" | tr -d ' ')
  looked_at nginx "$pid" 'ngx_'
  unload nginx '80 of 80 right'
  keeps_all nginx "$pid"
  keeps_all 'nginx, its master' "$(cat nginx.pid)"
  ends nginx nginx.log nginx -p "$tmp" -c "$tmp/nginx.conf" -s quit
  rm -f "$socket"
fi

# ---- SQL ---------------------------------------------------------------------------------

# What the table has at both moments of a round, as python counts it.
cat >wanted.py <<'PY'
import hashlib, sys, zlib
rows = [(number * 7919 % 1000, b"item %d" % (number * 31 % 65537)) for number in range(1, 5001)]
for left in (rows, [row for row in rows if row[0] % 3]):
    names, sums = [name for _, name in left], [len(left), sum(kind for kind, _ in left)]
    if sys.argv[1] == "mariadb":
        print(*sums, sum(map(zlib.crc32, names)), end="; ")
    else:
        print(*sums, sum(map(len, names)), hashlib.md5(b",".join(names)).hexdigest(), sep="|")
PY

maria() { mariadb --no-defaults -u root -S "$socket" -N "$@"; }
maria_round() { maria works <round.sql | tr '\t\n' ' ;' | sed 's/;/; /g'; echo; }
if can 'mariadb' sh -c 'command -v mariadbd mariadb mariadb-install-db'; then
  cat >round.sql <<'SQL'
CREATE OR REPLACE TABLE item(id INT PRIMARY KEY, kind INT, name VARCHAR(60), KEY(kind)) ENGINE=InnoDB;
INSERT INTO item SELECT seq, seq * 7919 % 1000, CONCAT('item ', seq * 31 % 65537) FROM seq_1_to_5000;
SELECT COUNT(*), SUM(kind), SUM(CRC32(name)) FROM item;
DELETE FROM item WHERE kind IN (SELECT kind FROM (SELECT kind, GROUP_CONCAT(name) names FROM item GROUP BY kind HAVING kind % 3 = 0) thirds);
SELECT COUNT(*), SUM(kind), SUM(CRC32(name)) FROM item;
SQL
  mariadb-install-db --no-defaults --datadir="$tmp/maria" --auth-root-authentication-method=normal --skip-test-db --user="$(id -un)" >maria.install 2>&1
  on_osmem mariadbd --no-defaults --user="$(id -un)" --datadir="$tmp/maria" --socket="$socket" --skip-networking --pid-file="$tmp/maria.pid" \
    --innodb-buffer-pool-size=16M --innodb-log-file-size=4M >maria.log 2>&1
  settles maria -e 'SELECT 1'
  maria -e 'CREATE DATABASE works'
  load maria_round
  looked_at mariadb "$(cat maria.pid)" 'mariadbd[+]0x|alloc_root|init_alloc_root|Binary_string|String'
  unload mariadb "$("$python" wanted.py mariadb)"
  keeps_all mariadb "$(cat maria.pid)"
  ends mariadb maria.log maria -e SHUTDOWN
fi

# A session that goes on, in a process that the server forked for it. postgres will not run as root.
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
user=
[ "$(id -u)" != 0 ] || user='setpriv --reuid=nobody --regid=nogroup --clear-groups'
postgres_starts() {
  chmod 711 "$tmp"
  mkdir postgres
  [ -z "$user" ] || chown nobody:nogroup postgres
  $user "$postgres_bin/initdb" -D postgres/data -A trust -U postgres --no-locale --encoding=UTF8 --no-sync >postgres.install 2>&1
  start $user env LD_PRELOAD="$lib" "$postgres_bin/postgres" -D "$tmp/postgres/data" -k "$tmp/postgres" -c listen_addresses= -c shared_buffers=8MB >postgres.log 2>&1
  server=$!
  settles pg -c 'SELECT 1'
}
pg() { "$postgres_bin/psql" -X -q -At -h "$tmp/postgres" -U postgres -d postgres "$@"; }
pg_load() {
  rm -f answers
  : >loaded
  {
    echo 'SELECT pg_backend_pid(); CREATE TEMPORARY TABLE item(id INT PRIMARY KEY, kind INT, name TEXT);'
    number=0
    while [ -e loaded ] && [ $number -lt $ROUNDS ] && cat round.sql; do number=$((number + 1)); done
  } | pg >answers 2>&1 &
  loading=$!
  until [ -e answers ] && [ "$(wc -l <answers)" -gt 9 ]; do sleep 0.05; done
}
if can 'postgres' test -x "$postgres_bin/initdb" && can 'postgres by another user' $user cat "$lib"; then
  cat >round.sql <<'SQL'
TRUNCATE item;
INSERT INTO item SELECT n, n * 7919 % 1000, 'item ' || n * 31 % 65537 FROM generate_series(1, 5000) AS s(n);
SELECT count(*), sum(kind), sum(length(name)), md5(string_agg(name, ',' ORDER BY id)) FROM item;
DELETE FROM item WHERE kind IN (SELECT kind FROM item GROUP BY kind HAVING kind % 3 = 0);
SELECT count(*), sum(kind), sum(length(name)), md5(string_agg(name, ',' ORDER BY id)) FROM item;
SQL
  postgres_starts
  pg_load
  pid=$(head -n 1 answers)
  looked_at postgres "$pid" 'palloc|repalloc|MemoryContext|GenerationContextCreate|PathNameOpenFilePerm|postgres[+]0x'
  # That is so, if one reads its source: the list of its environment, which libc's setenv() replaced, with LC_ALL=C, which is not in the new one; and the name of
  # its folder (save_ps_display_args(), PostmasterMain()).
  like 'postgres: nothing is lost but by its start' "$("$osmem" leaks --every 0.2 "$pid" | grep ' lost$' | tr -s ' \n' ' ')" \
    '^ [1-9][0-9]{0,3} bytes in 2 blocks definitely lost 16 bytes in 1 blocks indirectly lost $'
  sed -i 1d answers
  unload postgres "$("$python" wanted.py postgres | sort)"
  ends postgres postgres.log $user "$postgres_bin/pg_ctl" -D "$tmp/postgres/data" stop -m fast
fi

finish
