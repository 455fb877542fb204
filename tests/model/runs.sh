# SPDX-License-Identifier: MIT
# Sourced after tap.sh by what runs a model: $model, on behalf of a heap that is $heap ("" or "tiny: "). What failed stays below build/.

# runs WHAT OPTION...: the model agrees. Otherwise what it says is shown.
runs() {
  what=$1
  shift
  if "$model" --out "$model-failed.ops" "$@" >said 2>&1; then
    pass "$heap$what"
    [ -z "${OSMEM_SOAK-}" ] || cat said >&2
  else
    fail "$heap$what"
    cat said >&2
  fi
}

# sampled OPTIONS WAY OPTION...: the same while samples are taken, with those options of the library.
sampled() {
  export OSMEM_OPTIONS=$1
  shift
  runs "$OSMEM_OPTIONS: $*" "$@"
  unset OSMEM_OPTIONS
}

# all_sampled STEPS...: of nearly all blocks, of some, of few; with a guard pool, and without.
all_sampled() {
  for options in profile_rate=1 profile_rate=256 profile_rate=16K profile_rate=256,guard=1; do
    case $options in *guard*) way=--guarded ;; *) way=--sampled ;; esac
    sampled $options $way --seed 8 --ops $1 --validate 1 --places 64
    sampled $options $way --seed 9 --ops 15000 --validate 1 --places 32 --threads 4 --turns
    sampled $options $way --seed 10 --ops $2 --threads 4
  done
}
