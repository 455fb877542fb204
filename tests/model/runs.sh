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
