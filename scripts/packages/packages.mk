# SPDX-License-Identifier: MIT
# make deb | rpm | apk: the packages, from a copy of the sources below build/, where each has the files that its tools want at the top. For inclusion by
# the Makefile. make deb DEB_HOST=arm64 builds for another architecture, where there is a compiler for it.
dist := Makefile README.md LICENSE include scripts src tests
packed = build/$@/osmem-$(version)
define pack
scripts/setup.sh packages
rm -rf build/$@ && mkdir -p $(packed)
tar -c --exclude=__pycache__ $(dist) | tar -x -C $(packed)
tar -C build/$@ -cJf $(packed).tar.xz osmem-$(version)
endef

# debian/copyright wants the licence's empty lines as dots. The changelog has the version, and -1: the first package of it.
deb: debian = $(packed)/debian
deb:
	$(pack)
	mv $(packed).tar.xz build/deb/osmem_$(version).orig.tar.xz
	cp -r scripts/packages/debian $(debian)
	$(fill) $(debian)/changelog.in >$(debian)/changelog && rm $(debian)/changelog.in
	sed -e '1,4d' -e 's/^$$/./' -e 's/^/ /' LICENSE >>$(debian)/copyright
	cd $(packed) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc $(if $(DEB_HOST),-a$(DEB_HOST))
.PHONY: deb

# On Debian rpm knows of no package that its BuildRequires could be.
rpm:
	$(pack)
	$(fill) scripts/packages/rpm/osmem.spec.in >build/rpm/osmem.spec
	cd build/rpm && env -u MAKEFLAGS -u MAKELEVEL rpmbuild -ba $(if $(wildcard /etc/debian_version),--nodeps) \
	  --define "_topdir $(CURDIR)/build/rpm" --define "_sourcedir $(CURDIR)/build/rpm" osmem.spec
.PHONY: rpm

# What abuild wants to find in one folder; where there is no abuild, no more than that.
apk:
	$(pack)
	$(fill) -e "s/@sha512@/$$(sha512sum <$(packed).tar.xz | cut -d ' ' -f 1)/" scripts/packages/alpine/APKBUILD.in >build/apk/APKBUILD
	if command -v abuild >/dev/null; then cd build/apk && env -u MAKEFLAGS -u MAKELEVEL abuild -r -P $(CURDIR)/build/apk; fi
.PHONY: apk

# The packages in a bare root, which is fetched once.
build/packages/bookworm:
	rm -rf $@.new && mkdir -p $(@D)
	timeout 300 debootstrap --variant=minbase --include=python3 bookworm $@.new
	mv $@.new $@

test-packages: all record
	scripts/setup.sh packages
	-[ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory build/packages/bookworm
	tests/run.sh packages/root
.PHONY: test-packages

# What osmem.h and the exported names promise, as it was when the dump was last made: tests/packages/abi.t compares. There is no released version yet to build
# and compare with, and a dump needs no history of the repository. What is added is wanted: make abi. What goes or changes takes another soname.
abi: libosmem.so
	scripts/setup.sh packages
	abidw --exported-interfaces-only --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed $< >scripts/packages/abi/$(soname)-$(shell uname -m).abi
.PHONY: abi

version:
	@echo $(version)
.PHONY: version
