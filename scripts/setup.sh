#!/bin/sh
# SPDX-License-Identifier: MIT
# setup.sh test|cross|arm64|bench|coverage|fuzz|report|lint|packages|distros|musl|PROGRAM...   sees that the tools which a target of the Makefile wants are there.
#
# What is missing is installed where this may be done (root and apt), else named; the tests that want it then skip visibly.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"
case ${1-} in
  -h | --help) usage ;;
  -*) refuse "$1: no option of mine; --help says more" ;;
  '') refuse 'which tools? --help says more' ;;
esac

PATH=$PATH:/usr/sbin:/sbin # ldconfig, for those who are not root

# PROGRAM or FILE, and the Debian package that brings it.
tools_of() {
  case $1 in
    test) echo 'strace=strace ltrace=ltrace python3=python3 git=git perl=perl prove=perl g++=g++ sqlite3=sqlite3
      redis-server=redis-server php=php-cli lua5.4=lua5.4 node=nodejs xz=xz-utils setarch=util-linux
      /usr/include/cmocka.h=libcmocka-dev gdb=gdb spin=spin memusage=libc-devtools
      google-pprof=google-perftools protoc=protobuf-compiler addr2line=binutils bpftrace=bpftrace ps=procps
      nginx=nginx mariadbd=mariadb-server-core mariadb=mariadb-client-core heaptrack=heaptrack jq=jq xmllint=libxml2-utils gawk=gawk
      libjemalloc.so.2=libjemalloc2 valgrind=valgrind qemu-x86_64=qemu-user man=man-db mandoc=mandoc
      /usr/lib/python3.11/test/test_dict.py=libpython3.11-testsuite /usr/libexec/installed-tests/glib/slice=libglib2.0-tests
      /usr/lib/python3/dist-packages/numpy=python3-numpy /usr/lib/python3/dist-packages/pytest=python3-pytest
      /usr/lib/python3/dist-packages/hypothesis=python3-hypothesis' ;;
    bench) echo 'python3=python3 g++=g++ perl=perl lua5.4=lua5.4 sqlite3=sqlite3 redis-server=redis-server
      redis-benchmark=redis-tools git=git z3=z3 gs=ghostscript node=nodejs
      libjemalloc.so.2=libjemalloc2 jq=jq xmllint=libxml2-utils gawk=gawk libmimalloc.so.2=libmimalloc2.0 libtcmalloc_minimal.so.4=libtcmalloc-minimal4
      strace=strace valgrind=valgrind' ;;
    cross) echo 'aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu aarch64-linux-gnu-g++=g++-aarch64-linux-gnu /usr/aarch64-linux-gnu/include/malloc.h=libc6-dev-arm64-cross qemu-aarch64=qemu-user
      riscv64-linux-gnu-gcc=gcc-riscv64-linux-gnu riscv64-linux-gnu-g++=g++-riscv64-linux-gnu /usr/riscv64-linux-gnu/include/malloc.h=libc6-dev-riscv64-cross clang=clang' ;;
    arm64) echo 'aarch64-linux-gnu-g++=g++-aarch64-linux-gnu qemu-system-aarch64=qemu-system-arm mke2fs=e2fsprogs cpio=cpio' ;;
    report) echo 'python3=python3 perl=perl prove=perl node=nodejs npm=npm chromium=chromium' ;;
    musl) echo 'musl-gcc=musl-tools python3=python3 perl=perl prove=perl dpkg-source=dpkg-dev tclsh=tcl bzip2=bzip2 /usr/include/linux/limits.h=linux-libc-dev
      /usr/include/cmocka.h=libcmocka-dev' ;;
    coverage) echo 'gcovr=gcovr' ;;
    fuzz) echo "clang=clang xxd=xxd /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-$(uname -m).a=libclang-rt-14-dev" ;;
    distros) echo 'debootstrap=debootstrap unshare=util-linux /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring objdump=binutils' ;;
    packages) echo 'dh=debhelper dh_python3=dh-python fakeroot=fakeroot lintian=lintian rpmbuild=rpm rpmlint=rpmlint abidiff=abigail-tools
      cmake=cmake meson=meson pkg-config=pkgconf zsh=zsh fish=fish shellcheck=shellcheck man=man-db debootstrap=debootstrap
      systemd-analyze=systemd' ;;
    fuzz-afl) echo 'clang=clang afl-fuzz=afl++' ;;
    *) echo "$1=$1" ;;
  esac
}

present() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *.so.*) ldconfig -p | grep -q "$1" ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

wanted=$(for name in "$@"; do tools_of "$name"; done)
missing= packages= log=
for tool in $wanted; do
  present "${tool%%=*}" && continue
  missing="$missing ${tool%%=*}"
  packages="$packages ${tool#*=}"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing:$packages"
  # A service that a package would start is none of our business (policy-rc.d is for that, but may be somebody else's).
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  log=$(mktemp) || exit
  { apt-get update && apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1 ||
    for package in $packages; do apt-get install -y --no-install-recommends "$package" >>"$log" 2>&1; done
fi
lacks=
for tool in $missing; do
  present "$tool" || { echo "missing: $tool (what needs it is skipped)"; lacks=$log; }
done
if [ -n "$lacks" ]; then echo "what apt-get said: $lacks"; else rm -f ${log:+"$log"}; fi
exit 0
