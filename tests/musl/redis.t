#!/bin/sh
# SPDX-License-Identifier: MIT
# redis built for musl: the same load as the machine's, and its own tests of commands.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"
needs "$programs/redis/src/redis-server" tclsh

export OSMEM_LIB="$lib" PATH="$programs/redis/src:$PATH"
sh "$top/tests/programs/redis.t" >load.out 2>load.err
is "redis under load: ends well" $? 0
relay load.out
diag <load.err

# The tests start src/redis-server from where they are, and nothing else that they start is a program for musl.
mkdir src
ln -s "$programs"/redis/src/redis-* src/
cp -r "$programs/redis/tests" tests
rm src/redis-server
cat >src/redis-server <<SH
#!/bin/sh
LD_PRELOAD='$lib' exec '$programs/redis/src/redis-server' "\$@"
SH
chmod +x src/redis-server
units='type/string type/incr type/hash type/set scan sort multi protocol'
ok "redis's own tests of $units" timeout "$patience" tclsh tests/test_helper.tcl --clients 2 $(for unit in $units; do echo "--single unit/$unit"; done)
like 'they are many' "$(grep -c '\[.*ok.*\]:' ok.out)" '^[2-9][0-9]{2}$'
like 'the library is active in what they start' "$(OSMEM_OPTIONS=stats=1 src/redis-server --version 2>&1)" 'osmem: statistics'
finish
