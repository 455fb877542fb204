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

version:
	@echo $(version)
.PHONY: version
