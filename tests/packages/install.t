#!/bin/sh
# SPDX-License-Identifier: MIT
# What make install puts there, used by a small project of each kind: pkg-config, CMake, Meson (installed, and as a subproject), Rust; and the completions of
# each shell, which must know what the command knows.
rustup=${RUSTUP_HOME:-$HOME/.rustup}
. "$(dirname "$0")/../tap.sh"

inst=$tmp/inst
make -s -C "$top" install PREFIX="$inst" >ok.out 2>&1
export PKG_CONFIG_PATH="$inst/lib/pkgconfig" CMAKE_PREFIX_PATH="$inst"
installed() { env LD_LIBRARY_PATH="$inst/lib" OSMEM_OPTIONS=stats=1 "$@" 2>&1; }
version=$(make -s -C "$top" version)

# It includes osmem.h and names no function of ours: to have the library all the same is what the flags must bring about. Then two lines are printed.
mkdir project && cat >project/whose.c <<'C'
#include <osmem.h>
#include <stdio.h>
int main(void) { return printf("%d.%d.%d\n", OSMEM_VERSION_MAJOR, OSMEM_VERSION_MINOR, OSMEM_VERSION_PATCH) < 0; }
C
# is_ours WHAT CMD...
is_ours() {
  what=$1
  shift
  is "$what: on osmem" "$(installed "$@" | grep -Eo '^([0-9.]+$|osmem: statistics)' | sort)" "$(printf '%s\n' "$version" 'osmem: statistics')"
}

# ---- pkg-config ----

if can 'pkg-config' command -v pkg-config; then
  is 'pkg-config says the version' "$(pkg-config --modversion osmem)" "$version"
  cc -Wl,--as-needed project/whose.c -o whose $(pkg-config --cflags --libs osmem) >ok.out 2>&1
  is_ours 'pkg-config' ./whose
fi

# ---- CMake ----

cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.13)
project(whose C)
find_package(osmem ${WANTED} REQUIRED)
set(CMAKE_EXE_LINKER_FLAGS "-Wl,--as-needed")
add_executable(whose whose.c)
target_link_libraries(whose osmem::osmem)
add_executable(whose-static whose.c)
target_link_libraries(whose-static osmem::static)
CMAKE
# configured VERSION: does find_package() want this installation when asked for VERSION?
configured() { rm -rf cmake && cmake -S project -B cmake -DWANTED="$1"; }
if can 'CMake' command -v cmake; then
  configured "$version" >ok.out 2>&1 && cmake --build cmake >>ok.out 2>&1
  is_ours 'find_package(osmem)' cmake/whose
  is_ours 'find_package(osmem), the archive' cmake/whose-static
  is 'which is in it' "$(ldd cmake/whose-static | grep -c libosmem)" 0
  major=${version%%.*}
  for good in '' "$major" "${version%.*}" "$version;EXACT"; do ok "find_package(osmem $good)" configured "$good"; done
  for bad in "$major.999" "$((major + 1))" "$major.0.0.1;EXACT"; do is "find_package(osmem $bad) finds none" "$(configured "$bad" >/dev/null 2>&1 && echo found)" ''; done
fi

# ---- Meson ----

cat >project/meson.build <<'MESON'
project('whose', 'c')
executable('whose', 'whose.c', dependencies: dependency('osmem'))
MESON
built() { (meson setup "$@" && ninja -C meson) >ok.out 2>&1; }
if can 'Meson' command -v meson; then
  built meson project
  is_ours "Meson's dependency('osmem')" meson/whose
  if can 'a subproject of Meson' command -v git; then
    mkdir osmem && tar -C "$top" -c --exclude=__pycache__ Makefile README.md LICENSE include src scripts tests | tar -C osmem -x
    (cd osmem && git init -q && git add . && git commit -qm all) >ok.out 2>&1
    mkdir project/subprojects && cp -r "$top"/scripts/packages/meson/* project/subprojects/
    rm -rf meson && (unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH && built meson project)
    is_ours 'as a subproject' meson/whose
    is 'which has the archive' "$(ldd meson/whose | grep -c libosmem)" 0
  fi
fi

# ---- Rust ----

export RUSTUP_HOME="$rustup"
if can 'Rust' rustc --version; then
  rustc -O -L "$inst/lib" -o rust "$top/tests/packages/osmem.rs" >ok.out 2>&1
  like 'a Rust program with os_malloc as its global allocator' "$(installed ./rust | tr '\n' ' ')" '^all of it on osmem .*osmem: statistics'
fi

# ---- completions ----

export PATH="$inst/bin:$PATH"
# VERB OPTION... for each verb, as the command's own parser has them.
"$python" - "$top/scripts/osmem" >parsed <<'PY'
import argparse, runpy, sys
verbs = argparse.ArgumentParser().add_subparsers()
for module in runpy.run_path(sys.argv[1]).values():
    if hasattr(module, "add_verbs"):
        module.add_verbs(verbs)
for name, parser in sorted(verbs.choices.items()):
    print(name, *sorted({option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}))
PY
# knows SHELL ASK: ASK VERB [WORD] prints what the shell offers behind `osmem`, a line each.
knows() {
  is "$1 offers the verbs" "$($2 '' | sort)" "$(cut -d ' ' -f 1 parsed)"
  for verb in stats watch leaks profile; do
    is "$1 offers the options of $verb" "$($2 "$verb" - | grep -vx -e -h -e --help | LC_ALL=C sort)" "$(sed -n "s/^$verb //p" parsed | tr ' ' '\n')"
  done
  is "$1 offers a process on osmem" "$($2 verify "$on" | grep -cx "$on")" 1
  is "$1 offers commands to run" "$($2 run readli | grep -c '^readlink$')" 1
}
OSMEM_LIB= osmem run sleep 60 &
on=$! started="$started $!"
until osmem verify "$on" >/dev/null; do kill -0 "$on" || break; sleep 0.1; done

by_bash() {
  bash -c '. "$0/share/bash-completion/completions/osmem"; COMP_WORDS=(osmem "$@"); COMP_CWORD=$#; _osmem; printf "%s\n" "${COMPREPLY[@]}"' "$inst" "$@" | sort -u
}
by_fish() { XDG_DATA_DIRS=$inst/share:/usr/share fish -c "complete -C'osmem $*'" | cut -f 1; }
# The functions of its completion system print what they are given.
by_zsh() {
  zsh -fc 'fpath=($0/share/zsh/site-functions) && autoload -Uz _osmem
    compadd() { shift; print -rl -- "$@" }
    _describe() { print -rl -- ${${(P)2}%%:*} }
    _command_names() { print -rl -- ${(k)commands} }
    _files() { }
    words=(osmem "$@") CURRENT=$(($# + 1)) PREFIX=${@[-1]}
    _osmem' "$inst" "$@"
}
is 'bash offers files alone where an option wants one' "$(by_bash profile --html readli)" ''
is 'and commands behind one that wants nothing' "$(by_bash profile --peak readli | grep -cx readlink)" 1
for shell in bash zsh fish; do
  if can "the completion of $shell" command -v "$shell"; then knows "$shell" "by_$shell"; fi
done
finish
