#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs' own test suites, as Debian ships them, on osmem: what passes without the library has to pass with it, case by case. Only
# cases that wait for a clock ("timeout") are left out: they say more about the machine than about us. No case is tried twice.
. "$(dirname "$0")/../tap.sh"
export python
patience=200

# CPython's regression tests.
regrtest='"$python" -m test -i "*timeout*" --junit-xml "$PWD/cases.xml" test_dict test_list test_json test_threading test_subprocess \
  test_ctypes test_gc test_re test_array test_bytes test_zlib test_thread'

# numpy keeps small blocks by itself, lets a policy replace malloc, and has its Fourier transform run in threads.
pytest='OPENBLAS_NUM_THREADS=2 "$python" -m pytest -q -p no:cacheprovider -m "not slow" --junitxml cases.xml --pyargs \
  numpy.core.tests.test_regression numpy.core.tests.test_mem_policy numpy.core.tests.test_mem_overlap numpy.core.tests.test_indexing \
  numpy.core.tests.test_records numpy.fft'

# What asks for gigabytes is run where these are free, which may change from one run to the other: to numpy there is 1 GB, always.
export NPY_AVAILABLE_MEM=1GB

# GLib: a slice allocator, a pool of threads, lists, trees, strings, objects, variants, asynchronous queues, child processes. Each is a
# program of its own, whose status is a case too.
export glib=/usr/libexec/installed-tests/glib
export programs="array-test async-splice-output-stream asyncqueue atomic autoptr autoptr-gio base64 basic-signals basics-gobject binding
  bindinggroup bitlock boxed buffered-input-stream buffered-output-stream bytes cache charset checksum closure collate
  completion contexts convert converter-stream data-input-stream data-output-stream dataset date defaultvalue dir
  dynamictests dynamictype enums environment error filter-streams flags g-file g-file-info g-icon gdbus-addresses
  gdbus-message gdbus-non-socket gdbus-serialization giomodule glistmodel gobject-private guuid hash hmac hook hostutils
  ifaceproperties include io-channel keyfile list logging macros mappedfile markup-collect markup-escape markup-parse
  markup-subparser mem-overflow memchunk memory-input-stream memory-output-stream memory-settings-backend
  module-test-library mount-operation node object once onceinit option-context override param pattern permission pollable
  private properties protocol qdata queue rand rcbox readwrite refcount reference references refstring regex relation
  resources search-utils shell signal-handler signalgroup signals simple-async-result singleton slice
  slice-concurrent slice-known-pages slist sort spawn-path-search spawn-singlethread strfuncs string strvbuilder task
  test-printf testing thread thread-pool tree type type-flags types unicode unicode-encoding unicode-normalize unix uri
  utf8-misc utf8-pointer utf8-validate utils value vfs"
installed='for program in $programs; do
  timeout 60 "$glib/$program" --seed R02S00000000000000000000000000000001 >"$program.tap" && echo "ok - status 0" >>"$program.tap"
done
:'

# cases NAME PRELOAD SCRIPT: runs it in a folder of its own; the cases that passed are in NAME.passed.
cases() {
  rm -rf "$1" && mkdir "$1"
  run "$1" "$2" "cd $1; $3"
  "$python" "$top/tests/programs/outcomes.py" "$1" >"$1.passed"
}

# suite WHAT LEAST SCRIPT: at least LEAST cases pass without the library, and every one of them with it.
suite() {
  cases plain '' "$3"
  passed=$(wc -l <plain.passed)
  ok "$1: $passed cases pass without the library" test "$passed" -ge "$2"
  compare "$1" "$3"
}

# compare WHAT SCRIPT: the cases of plain.passed pass with the library as well. ld.so may well say that it cannot preload: CPython's
# children become other users, who cannot look into /root.
compare() {
  cases with "$lib" "$2"
  active "$1" "$python" -c 'print(open("/proc/self/maps").read())'
  comm -23 plain.passed with.passed >lost
  is "$1: lost with the library, status $(cat with.status)" "$(wc -l <lost)" 0
  if [ -s lost ]; then { head -n 20 lost; tail -n 20 with.out with.err; } | diag; fi
}

if can 'CPython' "$python" -c 'import test.test_dict'; then
  suite 'CPython' 2000 "$regrtest"
  compare 'CPython, PYTHONMALLOC=malloc' "export PYTHONMALLOC=malloc; $regrtest"
fi
can 'numpy' "$python" -c 'import hypothesis, numpy, pytest' && suite 'numpy' 600 "$pytest"
can 'GLib' test -x "$glib/slice" && suite 'GLib' 4000 "$installed"
finish
