#!/bin/sh
# SPDX-License-Identifier: MIT
# Each source file names its licence in its first two lines, in the words that tools look for.
. "$(dirname "$0")/../tap.sh"

cd "$top" || exit
is 'each source file names its licence' "$(find src include tests scripts -type f | grep -E '\.(c|cc|h|sh|t|py|mk|js|css|html|[137])$' |
  while read -r file; do head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"; done)" ''
like 'which is there' "$(cat LICENSE)" '^Copyright .* the osmem authors$'
finish
