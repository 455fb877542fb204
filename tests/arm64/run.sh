#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [FILTER...]: the tests on a machine with arm64 processors: Debian's kernel and programs in qemu-system-aarch64, everything that is ours compiled
# for it here. All of it lies below build/arm64 and is made once, but for our own. The last line is "N passed, N failed[, N skipped]".
# PAGES=16k: with a kernel whose pages have 16 KiB (of a newer Debian, from the same mirror). CPU: what qemu calls another one.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
work=$top/build/arm64
pages=${PAGES:-4k}
default='unit/ crimes/ fault/ preload/ tests/model/model.t tiny/model.t tiny/heap.t arm64/machine.t programs/languages.t programs/tools.t see/unwind.t'
packages='libc6-dev libcmocka-dev g++ perl python3 git strace sqlite3 lua5.4 xz-utils gawk jq procps php-cli redis-server busybox-static make'
mkdir -p "$work"

# ---- what Debian has ----

# apt SUITE ARG...: apt-get for arm64, with lists and a cache of its own: from where this machine has its packages, or, of another suite, from the same mirror.
apt() {
  dir=$work/apt-$1 suite=$1
  shift
  if [ ! -e "$dir/conf" ]; then
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    : >"$dir/status"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
    echo "deb ${mirror:-http://deb.debian.org/debian/} $suite main" >"$dir/sources"
    cat >"$dir/conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
CONF
    [ "$suite" = own ] || echo "Dir::Etc::sourcelist \"$dir/sources\"; Dir::Etc::sourceparts \"/dev/null\";" >>"$dir/conf"
    APT_CONFIG=$dir/conf apt-get -q update
  fi
  APT_CONFIG=$dir/conf apt-get -q "$@"
}

# Unpacked, not installed: nothing has to run for that.
make_root() {
  apt own install -y --download-only '?essential' $packages
  rm -rf "$work/root" && mkdir -p "$work/root/osmem"
  for package in "$work"/apt-own/cache/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  for link in awk=gawk lua=lua5.4 php=php8.2; do ln -s "${link#*=}" "$work/root/usr/bin/${link%=*}"; done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$work/root/etc/passwd"
  echo 'root:x:0:' >"$work/root/etc/group"
  mke2fs -q -t ext4 -L root -d "$work/root" "$work/root.img" 2G
}

# A kernel, and a root in memory with the modules for the disks.
make_kernel() {
  case $pages in
    4k) suite=own package=linux-image-arm64 ;;
    *) suite=trixie package=linux-image-arm64-$pages ;;
  esac
  apt $suite install -y --download-only $package
  rm -rf "$work/kernel" "$work/initrd" && mkdir -p "$work/kernel" "$work/initrd"
  (
    cd "$work/initrd" && mkdir -p bin dev proc root sys sbin etc
    dpkg-deb -x "$work"/apt-$suite/cache/archives/linux-image-[0-9]*.deb "$work/kernel"
    modules=$(find "$work/kernel" -path '*/lib/modules/*' -prune)
    mkdir -p "lib/modules/${modules##*/}"
    for module in virtio virtio_ring virtio_mmio virtio_blk crc16 crc32c_generic crc32c-cryptoapi libcrc32c mbcache jbd2 ext4; do
      find "$modules" -name "$module.ko*" -exec cp {} "lib/modules/${modules##*/}" \;
    done
    find . -name '*.ko.xz' -exec unxz {} +
    cp "$work/root/bin/busybox" bin/
    cp "$top/tests/arm64/init" init
    find . | cpio -o -H newc --quiet
  ) >"$work/initrd-$pages"
  cp "$work"/kernel/boot/vmlinuz-* "$work/kernel-$pages"
}

# ---- what is ours ----

# The compilers under the names that the Makefile has for them, with what Debian has for arm64 alone; and more patience, which the tests have compiled in.
make_tools() {
  mkdir -p "$work/bin" "$work/cmocka"
  cp -P "$work"/root/usr/lib/aarch64-linux-gnu/libcmocka* "$work/root/usr/include/"cmocka*.h "$work/cmocka/"
  for name in gcc g++; do
    printf '#!/bin/sh\nexec aarch64-linux-gnu-%s -DPATIENCE_S=900 -isystem %s -L%s "$@"\n' $name "$work/cmocka" "$work/cmocka" >"$work/bin/$name"
    chmod +x "$work/bin/$name"
  done
  for name in ar nm ld objcopy; do ln -sf "$(command -v aarch64-linux-gnu-$name)" "$work/bin/$name"; done
}

make_tree() {
  mkdir -p "$work/tree"
  git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - | tar -x -C "$work/tree"
  PATH=$work/bin:$PATH make -C "$work/tree" CC=gcc CXX=g++ all machine-tests
  echo "$@" >"$work/tree/filters"
  mke2fs -q -F -t ext4 -L osmem -d "$work/tree" "$work/tree-$pages.img" 1G
}

[ -e "$work/root.img" ] || make_root
[ -e "$work/kernel-$pages" ] || make_kernel
[ -e "$work/bin/g++" ] || make_tools
make_tree ${*:-$default} >"$work/make.log" 2>&1 || { tail -n 20 "$work/make.log"; exit 1; }

# ---- the machine ----

disk() { echo "-drive if=none,id=$1,file=$work/$1.img,format=raw,snapshot=on -device virtio-blk-device,drive=$1"; }
# Four threads of ours are its four processors. (Signatures of pointers by qemu's own function: ARM's takes most of the time.)
timeout -k 10 "${LIMIT:-7200}" qemu-system-aarch64 -M virt,mte=on -cpu "${CPU:-max,pauth-impdef=on}" -accel tcg,thread=multi -smp 4 -m 4G \
  -kernel "$work/kernel-$pages" -initrd "$work/initrd-$pages" -append 'console=ttyAMA0 quiet panic=-1' \
  $(disk root) $(disk "tree-$pages") -nic none -display none -serial stdio -no-reboot </dev/null 2>&1 | sed -u 's,\r,,' | tee "$work/log-$pages"
last=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/log-$pages" | tail -n 1)
echo "${last:-0 passed, 1 failed}"
case $last in *' 0 failed'*) ;; *) exit 1 ;; esac
