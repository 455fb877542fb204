#!/bin/sh
# SPDX-License-Identifier: MIT
# For processors that are not this machine's: the library is compiled without a warning, by gcc and by clang, passes the unit tests in a process that qemu
# emulates, and finds the frames that libgcc finds (see/unwind.t). What that is not like a machine in: `make test-arm64`.
. "$(dirname "$0")/../tap.sh"
tests='contract stats strategy'
# qemu's processes have a break that ends at the next mapping, and no list of robust mutexes, by which a thread's heap is known to be nobody's.
OSMEM_TEST_EXCEPT='growth_is_geometric aligned_blocks_are_on_the_heap trim_gives_back_what_is_free'
export OSMEM_TEST_EXCEPT="$OSMEM_TEST_EXCEPT one_arena_without_contention a_huge_block_that_was_hardly_used_grows_without_being_copied"

# made FOLDER MAKE-ARGUMENT...: the libraries, by the Makefile, in a folder that has the sources alone.
made() {
  mkdir -p "$1/tests" && cp -r "$top/Makefile" "$top/src" "$top/include" "$1" && (cd "$top" && cp --parents $(find tests scripts -name '*.mk') "$tmp/$1") || return
  make -C "$1" CFLAGS='-O2 -g -Werror' OBJCOPY="$triple-objcopy" AR="$triple-ar" CC="$2" all
}

emulate() { timeout -k 5 "$patience" "qemu-$arch" -L "/usr/$triple" -E LD_LIBRARY_PATH="$tmp/gcc-$arch:/usr/$triple/lib" "$@"; }

# cases NAME: the unit test of that name, case by case.
cases() {
  test=$1
  $triple-gcc -std=gnu11 -O1 -g -fno-builtin -I"$top/tests/arm64/listing" -I"$top/include" -I"$top/tests" "$top/tests/unit/$test.c" -o "$test" \
    -L"gcc-$arch" -losmem -lpthread -ldl >cc.out 2>&1 || { fail "$arch: $test is compiled"; diag <cc.out; return; }
  names=$(emulate "./$test")
  like "$arch: $test has cases" "$(echo "$names" | wc -l)" '^[0-9][0-9]'
  for name in $names; do
    emulate "./$test" "$name" >said 2>err
    case $? in
      0) pass "$arch: $name" ;;
      77) skip "$arch: $name" "$(cat said)" ;;
      *) fail "$arch: $name"; tail -n 3 err | diag ;;
    esac
  done
}

# frames: those of stacks of all kinds. (What has no tables, as C has none on riscv64 by default, has no frames for libgcc either.)
frames() {
  see=$top/tests/see
  $triple-gcc -std=gnu11 -D_GNU_SOURCE -O2 -fexceptions -fPIC -shared -I"$top/include" "$see/unwinds.c" "$top/src/unwind.c" "$top/src/symbols.c" "$top/src/kernel.c" \
    -o "unwinds-$arch.so" -lgcc_s && $triple-g++ -O2 -fasynchronous-unwind-tables -pthread "$see/stacks.cc" -o "stacks-$arch" || { fail "$arch: stacks are compiled"; return; }
  emulate -E UNWINDS="$tmp/seen-$arch" -E LD_PRELOAD="$tmp/unwinds-$arch.so" "./stacks-$arch" >said 2>&1
  like "$arch: at the end of 500 stacks, or more, the frames are those of libgcc" "$(grep compared "seen-$arch")" '^[0-9]{3,} compared, 0 '
  is "$arch: they came to their end" "$(tail -n 1 said)" done
}

for arch in aarch64 riscv64; do
  triple=$arch-linux-gnu
  if can "$arch: gcc" command -v "$triple-gcc"; then
    ok "$arch: gcc has no warning" made "gcc-$arch" "$triple-gcc"
    if can "$arch: clang" command -v clang; then ok "$arch: clang has none" made "clang-$arch" "clang --target=$triple"; fi
    if can "$arch: qemu" command -v "qemu-$arch"; then
      for each in $tests; do cases "$each"; done
      if can "$arch: g++" command -v "$triple-g++"; then frames; fi
    fi
  fi
done
finish
