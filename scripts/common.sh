# SPDX-License-Identifier: MIT
# What the scripts share: where they are, which library they mean, how they answer. Each begins with
#     set -u
#     . "$(dirname -- "$(readlink -f -- "$0")")/common.sh"
# and has, as the comment at its head, what --help prints. Through a symbolic link they work, too.

self=${0##*/}
script=$(readlink -f -- "$0")
top=${script%/*/*}
# Ends the script by a line: with status 125, as env, nice and timeout where they fail themselves (127: no such command, 126: one that cannot
# be run); a script whose statuses mean something else has one for all, in `refusal`.
end_with() { printf '%s: %s\n' "$self" "$2" >&2; exit "${refusal:-$1}"; }
refuse() { end_with 125 "$*"; }
usage() { sed -n '2,/^[^#]/{/SPDX/d;s/^#\( \|$\)//p;}' "$script"; exit 0; }

# The library, by its absolute path: the tree's, or what OSMEM_LIB names.
library() {
  file=$(readlink -f -- "${OSMEM_LIB:-$top/libosmem.so}") && [ -f "$file" ] || refuse "no library at ${OSMEM_LIB:-$top/libosmem.so}: run make"
  preloadable "$file"
}

preloadable() {
  case $1 in *[:\ ]*) refuse "$1: ld.so takes a colon or a space in the path for the end of it" ;; esac
  printf '%s\n' "$1"
}

# The file that a command is, as exec finds it: a shell's builtin is none.
program_of() {
  case $1 in */*) printf '%s\n' "$1"; return ;; '') return 1 ;; esac
  (
    set -f
    IFS=:
    for folder in $PATH; do [ -f "${folder:-.}/$1" ] && [ -x "${folder:-.}/$1" ] && printf '%s\n' "${folder:-.}/$1" && exit 0; done
    exit 1
  )
}

# Ends the script where there is no such command, or none that can be run. $program is its file.
find_program() {
  if ! program=$(program_of "$1") || ! [ -e "$program" ]; then
    case $(command -v -- "$1") in
      '') end_with 127 "$1: no such command" ;;
      "$1") end_with 127 "$1: only the shell knows it; try: $self sh -c '$1 ...'" ;;
      *) end_with 127 "$1: no such command" ;;
    esac
  fi
  [ -f "$program" ] && [ -x "$program" ] || end_with 126 "$1: not a program that you may run"
}
