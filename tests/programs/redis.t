#!/bin/sh
# SPDX-License-Identifier: MIT
# A server that Debian links to libjemalloc: loaded from a script, put under load from 20 clients, stopped by its own command.
. "$(dirname "$0")/../tap.sh"

if ! can 'redis' sh -c 'command -v redis-server redis-cli redis-benchmark'; then finish; fi

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cli() { redis-cli -p "$port" "$@" 2>&1; }

awk 'BEGIN { for (i = 1; i <= 30000; i++) {
  print "SET key:" i % 9973, "value" i * 7919
  print "RPUSH list:" i % 97, i
  print "HSET hash:" i % 211, "field" i % 89, i * i
  print "ZADD set:" i % 53, i * 31 % 1009, "member" i
  if (i % 7 == 0) print "DEL key:" i * 3 % 9973
} }' >commands

# The script, a thousand commands in flight; then what the server holds.
fill() {
  redis-cli -p "$port" --pipe <commands | tail -n 1
  cli debug digest
  cli dbsize
}

# serve PRELOAD: a fresh server on the port, left running.
serve() {
  start env ${1:+"LD_PRELOAD=$1"} redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$tmp" \
    --enable-debug-command local >server.log 2>&1
  server=$!
  settles ping PONG
}

# settles INFO-COMMAND ERE: asks until the answer is there, and gives up in the end.
settles() {
  for _ in $(seq 400); do
    cli $1 | grep -Eq "$2" && return
    sleep 0.05
  done
  return 1
}

stop() {
  cli shutdown nosave
  ended "$server"
}

serve ''
wanted=$(fill)
ok 'the plain server stops well' stop
like 'it held thousands of keys' "$(echo "$wanted" | tail -n 1)" '^[0-9]{4}'

ok 'the server starts' serve "$lib"
like 'the library is active in it' "$(cat "/proc/$(cli info server | sed -n 's/process_id:\([0-9]*\).*/\1/p')/maps")" "$lib"
is 'the same data set after 120,000 commands' "$(fill)" "$wanted"
ok 'redis-benchmark, preloaded too' \
  timeout "$patience" env LD_PRELOAD="$lib" redis-benchmark -p "$port" -n 20000 -c 20 -P 4 -q -t set,get,lpush,lrange_100,zadd,mset
like 'a forked child is asked to save' "$(cli bgsave)" 'Background saving started'
ok 'it ends' settles 'info persistence' 'rdb_bgsave_in_progress:0'
like 'its status' "$(cli info persistence)" 'rdb_last_bgsave_status:ok'
ok 'its file is whole' redis-check-rdb dump.rdb
is 'emptied' "$(cli flushall)" OK
is 'and filled again: the same' "$(fill)" "$wanted"
ok 'stops by its own command, with status 0' stop
finish
