#!/bin/sh
# SPDX-License-Identifier: MIT
# make test-packages: the packages installed, used, upgraded and purged in a root of their own, and each way to switch osmem on that the examples show.
. "$(dirname "$0")/../tap.sh"
bare=$top/build/packages/bookworm
needs dpkg-buildpackage dh_python3 unshare "$bare"
can "all of $0" test "$(id -u)" = 0 || finish
can "all of $0" unshare -m true || finish

ok 'make deb' make -s -C "$top" deb
mkdir -p elsewhere/in/a/folder && tar -C "$top" -c --exclude=__pycache__ Makefile README.md LICENSE include scripts src tests | tar -C elsewhere/in/a/folder -x
ok 'and in another folder' make -s -C elsewhere/in/a/folder deb
for deb in "$top"/build/deb/*.deb; do ok "the same to the byte: ${deb##*/}" cmp "$deb" "elsewhere/in/a/folder/build/deb/${deb##*/}"; done

if can 'for another architecture' aarch64-linux-gnu-gcc --version; then
  ok 'for another architecture' make -s -C elsewhere/in/a/folder deb DEB_HOST=arm64
  for deb in elsewhere/in/a/folder/build/deb/*_arm64.deb; do dpkg-deb -x "$deb" arm64; done
  if can 'used there' qemu-aarch64 --version; then
    like 'used there' "$(QEMU_LD_PREFIX=/usr/aarch64-linux-gnu qemu-aarch64 -E LD_LIBRARY_PATH="$tmp/arm64/usr/lib/aarch64-linux-gnu" -E LD_PRELOAD=libosmem.so.0 \
      -E OSMEM_OPTIONS=stats=1 arm64/usr/libexec/osmem/replay --help 2>&1)" '^osmem: statistics'
  fi
fi
rm -r elsewhere

cp -a "$bare" root
version=$(make -s -C "$top" version)
packages='libosmem0 libosmem-dev osmem-tools'

# inside CMD...: there, with /proc, in a mount namespace that ends with it.
inside() {
  unshare -m sh -c 'mount --rbind /proc root/proc && mount --rbind /dev root/dev && exec chroot root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' sh "$@" 2>&1
}
files() { (cd root && find . -path ./var/lib/dpkg -prune -o -path ./var/cache/ldconfig -prune -o -path ./var/log -prune -o -path ./etc/ld.so.cache -prune -o -print | sort); }
maps() { inside "$@" cat /proc/self/maps | sed -nE 's,.* /.*/(libosmem[^/]*)$,\1,p;/ERROR/p' | sort -u; }

# The same packages as an older version, whose file has another name.
older=0.0.9
mkdir root/old root/new
for package in $packages; do
  cp "$top"/build/deb/${package}_"$version"-1_*.deb root/new/
  dpkg-deb -R root/new/${package}_* again
  sed -i "s/\(^Version: \|(= \)$version-1/\1$older-1/" again/DEBIAN/control
  for file in $(cd again && find . -name "libosmem.so.$version*"); do mv "again/$file" "again/$(echo "$file" | sed "s/$version/$older/")"; done
  for link in $(cd again && find . -name libosmem.so.0 -type l); do ln -sf "libosmem.so.$older" "again/$link"; done
  (cd again && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | xargs -r md5sum >DEBIAN/md5sums)
  dpkg-deb --root-owner-group -b again root/old >ok.out && rm -r again
done
files >before

put() { inside sh -c "dpkg -i /$1/*.deb" >"$1.out" && inside dpkg -V $packages >>ok.out; }
ok 'installed' put old
is 'used by its bare name' "$(maps LD_PRELOAD=libosmem.so.0)" "libosmem.so.$older"
start env -i unshare -m sh -c 'mount --rbind /proc root/proc && exec chroot root env LD_PRELOAD=libosmem.so.0 sh -c "sleep 600 & wait"'
waiting() { ps -o pid= --ppid "$(ps -o pid= --ppid $! | tr -d ' ')" | tr -d ' '; }
until [ -n "$(waiting)" ]; do sleep 0.1; done

ok 'upgraded' put new
is 'what begins afterwards has the new one' "$(maps LD_PRELOAD=libosmem.so.0)" "libosmem.so.$version"
like 'what runs keeps the old one' "$(cat "/proc/$(waiting)/maps")" "libosmem.so.$older \(deleted\)"
is 'whose file is gone' "$(find root/usr -name "*libosmem.so.$older*")" ''
cp "$top/scripts/packages/debian/tests/smoke" root/
ok 'the tools see programs on it' inside /smoke
is 'man pages, completions and examples are there' "$(inside dpkg -L $packages | grep -cE '/(man[137]/osmem\.[137]\.gz|completions/osmem|_osmem|osmem\.fish|examples/README\.md)$')" 7

# ---- switching it on ----

examples=$top/scripts/examples
is "by a service's drop-in" "$(maps $(sed -n 's/^Environment=//p' "$examples/osmem.conf"))" "libosmem.so.$version"
is "by a user's environment" "$(maps 'LD_PRELOAD=/usr/$LIB/libosmem.so.0')" "libosmem.so.$version"

# A container: COPY, RUN, ENV and CMD, the only words that the file has, done by hand.
cp -a "$bare" image && mv root packaged && mv image root && cp packaged/new/libosmem0_*.deb .
environment=
while read -r word rest; do
  case $word in
    COPY) cp ${rest% *} "root${rest##* }" ;;
    RUN) inside $environment sh -c "$rest" >run.out || cat run.out ;;
    ENV) environment="$environment $rest" ;;
    CMD) echo "$rest" >command ;;
    '' | '#'* | FROM) ;;
    *) echo "$word?" ;;
  esac
done <"$examples/Dockerfile" >ok.out
is 'a Dockerfile with nothing else in it' "$(cat ok.out)" ''
like 'runs its command on osmem' "$(inside $environment "$python" -c 'import json, os, sys; words = json.loads(sys.argv[1]); os.execvp(words[0], words)' "$(cat command)")" 'libosmem\.so'
rm -rf root && mv packaged root

# setuid, as another user: the preload of the environment is for a file with the setuid bit alone, root's file for all.
install -m 4755 root/bin/cat root/usr/local/bin/setuid-cat
someone() {
  unshare -m sh -c 'mount --rbind /proc root/proc && exec chroot --userspec=1000:1000 root env -i "$@" /usr/local/bin/setuid-cat /proc/self/maps' sh "$@" 2>&1 |
    sed -nE 's,.* /.*/(libosmem[^/]*|setuid-cat)$,\1,p;/ERROR/p' | sort -u | tr '\n' ' '
}
is 'a setuid program is left alone' "$(someone 'LD_PRELOAD=/usr/$LIB/libosmem.so.0')" 'setuid-cat '
like 'and says so, where the library has its bare name' "$(someone LD_PRELOAD=libosmem.so.0)" 'ERROR.* cannot be preloaded .*: ignored. setuid-cat $'
installed=$(cd root && find usr/lib -name "libosmem.so.$version")
chmod u+s "root/$installed"
is 'unless the library has that bit' "$(someone LD_PRELOAD=libosmem.so.0)" "libosmem.so.$version setuid-cat "
is 'and its name has no path' "$(someone "LD_PRELOAD=/$installed")" 'setuid-cat '
chmod u-s "root/$installed"

cp "$examples/ld.so.preload" root/etc/
is 'ld.so.preload is for all programs' "$(maps env)" "libosmem.so.$version"
is 'also for setuid ones' "$(someone A=1)" "libosmem.so.$version setuid-cat "
is 'the package that it names can be changed under it' "$(put old; put new; cat old.out new.out | grep -c 'cannot be preloaded'; maps env)" "0
libosmem.so.$version"

# ---- and off ----

ok 'purged' inside dpkg -P $packages
like 'which says that the file names it still' "$(cat ok.out)" 'libosmem0: /etc/ld.so.preload names the library, which goes'
rm root/etc/ld.so.preload
rm -r root/smoke root/usr/local/bin/setuid-cat
files >after
is 'and nothing is left' "$(diff before after)" ''
like 'a name that is not found is no danger' "$(inside LD_PRELOAD=libosmem.so.0 echo "it runs" | tr '\n' ' ')" 'cannot be preloaded.*it runs'
finish
