#!/bin/sh
# SPDX-License-Identifier: MIT
# distros.sh [RELEASE...]: the library built and tested in a root of each Debian release (or focal, jammy: of Ubuntu's), oldest first, and what the oldest built tested on all the
# newer: a table, and a last line as run.sh prints it. Two releases are busy at a time. The roots, RELEASE.own and RELEASE.oldest with all that was said
# stay in build/distros; only making a root needs the network.
set -u
cd "$(dirname "$0")/../.." || exit
roots=$PWD/build/distros
packages='gcc g++ libc6-dev make libcmocka-dev python3 perl strace gdb procps git sqlite3 xz-utils'
most_needed=2.28 # the glibc that the library of the oldest may ask for: RHEL 8 has it

# All that depends on libc, the loader, the compiler or the kernel's headers, and everyday programs; own_tests have the library in them, or count
# system calls (what the oldest built has libpthread and libdl loaded, which are empty by now).
tests='unit/ preload/ model/ crimes/ operators/ differ/ record/ programs/early programs/starting programs/languages programs/names
  see/look see/leaks see/layout see/explain see/guard see/profile see/samples see/unwind'
own_tests='fault/ tiny/ syscalls/'
[ -z "${DISTROS_TESTS-}" ] || tests=$DISTROS_TESTS own_tests= # for a part of it

# in_root RELEASE SECONDS CMD...: in a root by itself: processes, mounts and network end with CMD. The shell stays, to reap what CMD leaves.
in_root() {
  root=$roots/$1 seconds=$2
  shift 2
  timeout -k 10 "$seconds" nice -n 10 unshare --mount --pid --fork --kill-child ${network---net} sh -c '
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" || exit
    chroot "$0" env -i -C /osmem PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
    exit $?' "$root" "$@"
}

# is WHAT CMD...: whether CMD succeeds counts as a test.
is() {
  if (shift && "$@"); then printf 'ok - %s\n1 passed, 0 failed\n' "$1"; else printf 'not ok - %s\n0 passed, 1 failed\n' "$1" && false; fi
}

# From where the machine has its own packages.
mirror() {
  from=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1)
  echo "${from:-http://deb.debian.org/debian}"
}

# By apt: debootstrap knows nothing of packages that provide others.
has_root() { [ -d "$roots/$1/usr" ]; }
make_root() {
  has_root "$1" && return
  options='' from=$(mirror)
  case $1 in
    focal | jammy) options='--no-check-gpg --components=main,universe' from=http://archive.ubuntu.com/ubuntu ;; # (Debian 12 has no key of theirs)
  esac
  rm -rf "$roots/${1:?}" "$roots/$1.new" && timeout 900 nice -n 10 debootstrap $options --variant=minbase "$1" "$roots/$1.new" "$from" && mkdir "$roots/$1.new/osmem" &&
    network='' in_root "$1.new" 900 env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages &&
    mv "$roots/$1.new" "$roots/$1"
}

# The working tree, as far as git knows it, built. (Tests in C make the compiler warn on purpose.)
build() {
  rm -rf "$roots/$1/osmem" && mkdir "$roots/$1/osmem" && git ls-files -z | tar --null -T - -cf - | tar -C "$roots/$1/osmem" -xf - || return
  in_root "$1" 600 make --no-print-directory all record >"$roots/$1.build" 2>&1
  built=$?
  cat "$roots/$1.build"
  is 'no warning' sh -c '! grep warning: "$0"' "$roots/$1.build"
  rm "$roots/$1.build"
  [ $built = 0 ] && in_root "$1" 900 make --no-print-directory c-tests
}

# What newer kernels have is asked for, whatever the headers of the build knew; and the tests. An empty LIBRARY is the one that was built there.
test_in() {
  release=$1 library=$2
  shift 2
  asked=$(in_root "$release" 60 tests/distros/asked.sh "${library:-/osmem/libosmem.so}")
  echo "asks for $asked"
  is 'asks for all that newer kernels have' [ "$asked" = 'populate locked guard' ]
  in_root "$release" 2400 env ${library:+"OSMEM_LIB=$library"} tests/run.sh "$@" || is 'the tests came to their end' [ $? = 1 ]
}

own() {
  is 'a root' make_root "$1" || return
  echo "glibc $(in_root "$1" 20 ldd --version | sed -n '1s/.* //p')"
  echo "gcc $(in_root "$1" 20 gcc -dumpfullversion)"
  is 'built' build "$1" || return
  test_in "$1" '' $own_tests $tests
}

of_oldest() { # RELEASE OLDEST
  folder=$roots/$1/osmem/build/$2
  has_root "$1" && mkdir -p "$folder" && cp -d "$roots/$2"/osmem/libosmem.so* "$folder" || return
  test_in "$1" "/osmem/build/$2/libosmem.so" $tests
}

needed_glibc() { objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1; }
at_most() { [ "$(printf '%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$2" ]; }

# PART: each release's in a process of its own, with all that it says in RELEASE.PART.
if [ "${1-}" = --part ]; then
  part=$2 release=$3
  shift 2
  began=$(date +%s)
  "$part" "$@" >"$roots/$release.$part" 2>&1
  echo "seconds $(($(date +%s) - began))" >>"$roots/$release.$part"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null || ! unshare --mount --pid --net --fork true; then
  echo 'ok 1 - all of it # SKIP not possible here: roots of other releases (root, debootstrap, namespaces)'
  echo '0 passed, 0 failed, 1 skipped'
  exit 0
fi

[ $# -gt 0 ] || set -- bullseye bookworm trixie sid
oldest=$1
mkdir -p "$roots"
rm -f "$roots"/*.own "$roots"/*.of_oldest
printf '%s\n' "$@" | xargs -P 2 -I NAME "$0" --part own NAME
[ ! -f "$roots/$oldest/osmem/libosmem.so" ] || printf '%s\n' "$@" | tail -n +2 | xargs -P 2 -I NAME "$0" --part of_oldest NAME "$oldest"

# sum FILE...: passed, failed, skipped.
sum() {
  awk '/^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3; skipped += $5 } END { printf "%d %d %d\n", passed, failed, skipped }' "$@" /dev/null
}
told() { sed -n "s/^$2 //p" "$1" | tail -n 1; } # FILE WORD
if [ -f "$roots/$oldest/osmem/libosmem.so" ]; then
  needed=$(needed_glibc "$roots/$oldest/osmem/libosmem.so")
  is "what $oldest built needs glibc $needed, at most $most_needed" at_most "$needed" "$most_needed" | tee -a "$roots/$oldest.own"
fi
grep '^not ok' "$roots"/*.own "$roots"/*.of_oldest 2>/dev/null | sed "s|^$roots/||"

line='%-10s %-6s %-8s %-22s %-18s %-18s %s\n'
printf "$line" release glibc gcc 'asks the kernel for' 'built there' "built on $oldest" minutes
for release; do
  own=$roots/$release.own of_oldest=$roots/$release.of_oldest
  [ -f "$of_oldest" ] || of_oldest=/dev/null
  printf "$line" "$release" "$(told "$own" glibc)" "$(told "$own" gcc)" "$(told "$own" 'asks for')" "$(sum "$own" | tr ' ' /)" \
    "$([ "$of_oldest" = /dev/null ] || sum "$of_oldest" | tr ' ' /)" "$(cat "$own" "$of_oldest" | awk '/^seconds / { n += $2 } END { printf "%.1f", n / 60 }')"
done
echo '(passed/failed/skipped)'
sum "$roots"/*.own "$roots"/*.of_oldest | {
  read -r passed failed skipped
  echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
  [ "$failed" = 0 ]
}
