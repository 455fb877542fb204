# make deb | rpm | apk: the packages, from a copy of the sources below build/, where each has the files that its tools want at the top. For inclusion by
# the Makefile. make deb DEB_HOST=arm64 builds for another architecture, where there is a compiler for it.
dist := Makefile README.md LICENSE include scripts src tests
packed = build/$@/osmem-$(version)
define pack
scripts/setup.sh packages
rm -rf build/$@ && mkdir -p $(packed)
tar -c --exclude=__pycache__ $(dist) | tar -x -C $(packed)
endef

# debian/copyright wants the licence's empty lines as dots. The changelog has the version, and -1: the first package of it.
deb: debian = $(packed)/debian
deb:
	$(pack)
	tar -C build/deb -cJf build/deb/osmem_$(version).orig.tar.xz $(notdir $(packed))
	cp -r scripts/packages/debian $(debian)
	$(fill) $(debian)/changelog.in >$(debian)/changelog && rm $(debian)/changelog.in
	sed -e '1,4d' -e 's/^$$/./' -e 's/^/ /' LICENSE >>$(debian)/copyright
	cd $(packed) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc $(if $(DEB_HOST),-a$(DEB_HOST))
.PHONY: deb

# The packages in a bare root, which is fetched once.
build/packages/bookworm:
	rm -rf $@.new && mkdir -p $(@D)
	timeout 600 debootstrap --variant=minbase --include=python3 bookworm $@.new
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
