#!/bin/sh
# SPDX-License-Identifier: MIT
# fetch.sh DIR PACKAGE...: the sources of Debian packages, patched, as DIR/PACKAGE. What is there is not fetched again. It wants no root
# and leaves what apt knows of the machine's own lists as it is. Fails when one could not be had.
set -u
dir=$(mkdir -p "$1" && cd "$1" && pwd) || exit
shift
wanted=
for package; do [ -d "$dir/$package" ] || wanted="$wanted $package"; done
[ -n "$wanted" ] || exit 0
cd "$dir" && mkdir -p apt/lists/partial apt/cache/archives/partial || exit

# The release the machine is on, where it gets that from. Without security updates: what mirrors have of those goes when the next comes.
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Label: Debian' | sort -u >apt/sources.list
[ -s apt/sources.list ] || echo 'deb-src http://deb.debian.org/debian stable main' >apt/sources.list

# As whoever runs this: the folder may be closed to apt's own user.
apt() {
  apt-get -q -o Dir::Etc::SourceList="$dir/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$dir/apt/lists" \
    -o Dir::Cache="$dir/apt/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=2 "$@"
}
apt update || exit

status=0
for package in $wanted; do
  rm -rf unpacked && mkdir unpacked
  (cd unpacked && apt source --only-source "$package") && mv unpacked/*/ "$package" || status=1
done
rm -rf unpacked
exit $status
