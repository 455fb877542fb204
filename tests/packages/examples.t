#!/bin/sh
# SPDX-License-Identifier: MIT
# The files of scripts/examples, read by the programs that they are for. tests/packages/root.t runs programs by them.
. "$(dirname "$0")/../tap.sh"
examples=$top/scripts/examples

is 'README.md has a link to each' "$(sed -n 's/.*](\([^)]*\)).*/\1/p' "$examples/README.md" | sort)" "$(ls "$examples" | grep -v README.md | LC_ALL=C sort)"

generator=/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator
if can "a user's environment.d" test -x "$generator"; then
  mkdir -p .config/environment.d && cp "$examples/60-osmem.conf" .config/environment.d/
  # sessions PRELOAD: what a session has that began with PRELOAD.
  sessions() { (eval "$(env -i HOME="$tmp" $1 "$generator" 2>/dev/null)" && echo "$LD_PRELOAD"); }
  is "a user's environment.d" "$(sessions '')" '/usr/$LIB/libosmem.so.0'
  is 'before whatever is preloaded already' "$(sessions LD_PRELOAD=/none.so)" '/usr/$LIB/libosmem.so.0:/none.so'
fi

if can "a service's drop-in" command -v systemd-analyze; then
  mkdir units units/any.service.d && printf '[Service]\nExecStart=/bin/true\n' >units/any.service
  verified() { cp "$1" units/any.service.d/osmem.conf && SYSTEMD_UNIT_PATH=$tmp/units: systemd-analyze verify "$tmp/units/any.service" 2>&1; }
  is "a service's drop-in" "$(verified "$examples/osmem.conf")" ''
  sed s/^Environment/Enviroment/ "$examples/osmem.conf" >mistaken
  like 'in which a mistake would be seen' "$(verified mistaken)" 'Unknown key'
fi
finish
