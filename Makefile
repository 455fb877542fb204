# SPDX-License-Identifier: MIT
# osmem: make, make demo, make bench, make record, make report, make install, make uninstall, make lint, make deb, make rpm, make apk; make musl; variants: make debug ubsan tsan tiny eager hasty timed; make counts
# tests: make test, make test-report, make check-quick, make soak, make fuzz, make coverage, make plants, make test-distros, make test-arm64, make test-packages, make test-musl; on the tiny geometry also fuzz-tiny, fuzz-corpus, fuzz-branches
CFLAGS ?= -O2 -g
MUSL_CC ?= musl-gcc
PREFIX ?= /usr/local
DESTDIR ?=
OBJCOPY ?= objcopy
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man

version := $(shell sed -n 's/^\#define OSMEM_VERSION_[A-Z]* //p' include/osmem.h | paste -sd.)
soname := libosmem.so.0

warnings := -Wall -Wextra -Wundef -Wshadow -Wconversion
# -fno-builtin-*: the compiler must not see through our own names. -fsemantic-interposition: nor take for granted that a C++ operator is
# ours (cxx.c). -fexceptions: bad_alloc passes through. -foptimize-sibling-calls: dlopen() must be one (dynamic.c), with -O1 too.
flags := -std=gnu11 -D_GNU_SOURCE $(warnings) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-plt \
  -fno-tree-slp-vectorize -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -fsemantic-interposition -fexceptions -foptimize-sibling-calls
# initfirst: our constructors before all others, see src/fork.c. noseparate-code: two segments instead of four to map, 10 of the 50 us
# that a process pays for being preloaded.
# Link-time optimisation, which some distributions ask for, has nothing to win in one file. And it merges constructors into one without arguments (every program
# crashed at its start), and loses names that .symver gives.
no_lto := -fno-lto
# Built elsewhere they are the same to the byte.
anywhere := -ffile-prefix-map='$(CURDIR)=.'
link := -shared -Wl,-soname,$(soname) -Wl,--version-script=src/libosmem.map \
  -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,-z,initfirst -Wl,-z,noseparate-code -Wl,--eh-frame-hdr

# Before glibc 2.34 some of what we call is in libraries of its own.
libs := -lpthread -ldl

sources := $(wildcard src/*.c)
headers := $(wildcard src/*.h include/*.h)
modules := $(filter-out src/unity.c src/shared.c src/textbook.c,$(sources))

all: libosmem.so libosmem.a libosmem-textbook.so
.PHONY: all
.DELETE_ON_ERROR:

# ---- the libraries ---------------------------------------------------------------------------------------------------

# What they were made with the last time: other flags make other objects. Who names none (make CFLAGS=-O3, then make install) means those.
built_with := $(CC) $(CFLAGS) $(LDFLAGS)
flags_are_told := $(filter-out file default undefined,$(origin CC) $(origin CFLAGS) $(origin LDFLAGS))
build/flags: FORCE
	@mkdir -p $(@D)
	@[ -z '$(flags_are_told)' -a -f $@ ] || printf '%s\n' '$(subst ','\'',$(built_with))' >$@.new
	@[ ! -f $@.new ] || cmp -s $@.new $@ || cp $@.new $@; rm -f $@.new
FORCE:

# The two libraries in $(1), by the compiler that $(3) names, with their objects in $(2). Of the archive only public names: a program may have functions called print or die.
define libraries
$(2)/unity.o: flags += -DOSMEM_ARCHIVE

$(2)/unity.o $(2)/shared.o $(2)/kernel.o: $(2)/%.o: $$(sources) $$(headers) Makefile build/flags
	@mkdir -p $$(@D)
	$$($(3)) $$(flags) $$(anywhere) $$(CFLAGS) $$(no_lto) -c src/$$*.c -o $$@

$(1)libosmem.so: $(2)/shared.o $(2)/kernel.o src/libosmem.map
	$$($(3)) $$(CFLAGS) $$(link) $$(filter %.o,$$^) -o $$@ $$(LDFLAGS) $$(libs)
	ln -sf libosmem.so $(1)$$(soname)

$(2)/static.o: $(2)/unity.o $(2)/kernel.o
	$$($(3)) -r -nostdlib $$^ -o $$@
	$$(OBJCOPY) --localize-hidden $$@

$(1)libosmem.a: $(2)/static.o
	rm -f $$@ # of which an older build may have other members
	$$(AR) rcsD $$@ $$^
endef
$(eval $(call libraries,,build,CC))

# For musl, on a machine whose cc makes programs for glibc.
$(eval $(call libraries,build/musl/,build/musl,MUSL_CC))
musl: build/musl/libosmem.so build/musl/libosmem.a
.PHONY: musl

# The core that courses teach, on its own: readers learn from it, tests use it as an oracle.
libosmem-textbook.so: src/textbook.c include/osmem.h Makefile
	$(CC) -std=gnu11 $(warnings) $(anywhere) -fPIC -fvisibility=hidden $(CFLAGS) -shared $< -o $@

# ---- variants: the modules one by one, so that each file stands on its own --------------------------------------------

debug_flags := -O1 -g
# dlopen() must end in a jump, see dynamic.c.
tiny_flags := -O1 -g -foptimize-sibling-calls -DOSMEM_TINY
eager_flags := -O1 -g -foptimize-sibling-calls -DOSMEM_EAGER
ubsan_flags := -O1 -g -fsanitize=undefined -fno-sanitize-recover=undefined
tsan_flags := -O1 -g -fsanitize=thread

# Sanitizers bring their own runtime; ThreadSanitizer's must be set up before we are.
comma := ,
ubsan_unlinked := -Wl$(comma)-z$(comma)defs
tsan_unlinked := $(ubsan_unlinked) -Wl$(comma)-z$(comma)initfirst

define variant
$(1)_objects := $$(modules:src/%.c=build/$(1)/%.o)

build/$(1)/%.o: src/%.c $$(headers) Makefile
	@mkdir -p $$(@D)
	$$(CC) $$(flags) $$($(1)_flags) -c $$< -o $$@

build/$(1)/libosmem.so: $$($(1)_objects) src/libosmem.map
	$$(CC) $$($(1)_flags) $$(filter-out $$($(1)_unlinked),$$(link)) $$(filter %.o,$$^) -o $$@ $$(libs)
	ln -sf libosmem.so build/$(1)/$$(soname)

$(1): build/$(1)/libosmem.so
.PHONY: $(1)
endef
$(foreach name,debug ubsan tsan tiny eager,$(eval $(call variant,$(name))))

build/tsan/kernel.o: tests/tsan/kernel.c tests/real_kernel.h src/kernel.c src/kernel.h Makefile
	@mkdir -p $(@D)
	$(CC) $(flags) $(tsan_flags) -c $< -o $@

# The release with another gate to the kernel, for scripts/bench.py: hasty, with a clock that runs a thousand times faster; timed, which times what it gives back.
define gated
build/$(1)/kernel.o: tests/bench/$(1)_kernel.c tests/real_kernel.h src/kernel.c src/kernel.h Makefile
	@mkdir -p $$(@D)
	$$(CC) $$(flags) $$(CFLAGS) $$(no_lto) -c $$< -o $$@

build/$(1)/libosmem.so: build/shared.o build/$(1)/kernel.o src/libosmem.map
	$$(CC) $$(CFLAGS) $$(link) $$(filter %.o,$$^) -o $$@ $$(LDFLAGS) $$(libs)

$(1): build/$(1)/libosmem.so
.PHONY: $(1)
endef
$(foreach name,hasty timed,$(eval $(call gated,$(name))))

# Cache lines that go from thread to thread, and atomic operations, counted: tests/bench/counts.c, which is the sanitizer's run-time here.
build/counts/unity.o: src/unity.c $(sources) $(headers) Makefile
	@mkdir -p $(@D)
	$(CC) $(flags) -DOSMEM_ARCHIVE -O2 -g -fsanitize=thread -c $< -o $@

build/counts/counts: tests/bench/counts.c tests/real_kernel.h src/kernel.c build/counts/unity.o Makefile
	$(CC) -std=gnu11 $(warnings) -Wno-conversion -O2 -g -fno-builtin-malloc -Iinclude -no-pie -pthread $(filter %.c,$(filter-out src/%,$^)) build/counts/unity.o -o $@

counts: build/counts/counts
	$<
.PHONY: counts

# ---- traces: record the allocations of a program, replay them on any allocator ---------------------------------------

record: build/record/librecord.so build/record/replay
.PHONY: record

record_flags := -std=gnu11 $(warnings) -pthread $(anywhere)

build/record/librecord.so: tests/bench/record.c tests/bench/trace.h Makefile
	@mkdir -p $(@D)
	$(CC) $(record_flags) -fno-builtin -fPIC -fvisibility=hidden -fexceptions $(CFLAGS) -shared -Wl,-z,defs -Wl,-z,now $< -o $@ $(LDFLAGS) -ldl

build/record/replay: tests/bench/replay.c tests/bench/trace.h Makefile
	@mkdir -p $(@D)
	$(CC) $(record_flags) $(CFLAGS) $< -o $@ $(LDFLAGS)

# ---- use -------------------------------------------------------------------------------------------------------------

demo: all
	scripts/demo.sh
.PHONY: demo

# What scripts/osmem draws with: ours, and of npm's packages what its pages hold. The library never sees these.
see_modules := $(wildcard scripts/osmem_*.py)
report_parts := $(filter-out %.json,$(wildcard scripts/report/*))
report_packages := uPlot.iife.min.js uPlot.min.css speedscope.js speedscope.css speedscope.woff2 speedscope.LICENSE

report: build/report/versions
.PHONY: report

npm_ci := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

build/report/versions: scripts/report/package.json scripts/report/package-lock.json Makefile
	scripts/setup.sh npm
	rm -rf build/npm $(@D) && mkdir -p build/npm $(@D)
	cp $(filter %.json,$^) build/npm/
	cd build/npm && $(npm_ci)
	cd build/npm/node_modules/uplot && { echo '/*'; cat LICENSE; echo '*/'; cat dist/uPlot.iife.min.js; } >$(CURDIR)/$(@D)/uPlot.iife.min.js
	cp build/npm/node_modules/uplot/dist/uPlot.min.css $(@D)/
	cp build/npm/node_modules/speedscope/dist/release/speedscope*.js $(@D)/speedscope.js
	cp build/npm/node_modules/speedscope/dist/release/speedscope*.css $(@D)/speedscope.css
	cp build/npm/node_modules/speedscope/dist/release/*.woff2 $(@D)/speedscope.woff2
	cat build/npm/node_modules/speedscope/LICENSE build/npm/node_modules/speedscope/dist/release/*.LICENSE.md >$(@D)/speedscope.LICENSE
	cp $(filter %package.json,$^) $@

# What names the folders that it was installed to.
filled := osmem.pc cmake/osmem-config.cmake cmake/osmem-config-version.cmake
fill = sed -e 's|@version@|$(version)|g' -e 's|@prefix@|$(PREFIX)|g' -e 's|@libdir@|$(LIBDIR)|g' -e 's|@includedir@|$(INCLUDEDIR)|g'

# What is installed goes into files that others read, whatever the umask, and to an absolute path, which the .pc names.
install_to := $(DESTDIR)$(LIBDIR)
# Where a gdb that was configured with that prefix looks for what belongs to a library.
gdb_to := $(DESTDIR)$(PREFIX)/share/gdb/auto-load$(LIBDIR)
share := $(DESTDIR)$(PREFIX)/share
completions := $(addprefix $(share)/,bash-completion/completions/osmem zsh/site-functions/_osmem fish/vendor_completions.d/osmem.fish)
install: all record
	$(if $(filter-out 1,$(words $(PREFIX)) $(words $(LIBDIR)) $(words $(INCLUDEDIR)) $(words $(MANDIR)) $(words x$(DESTDIR))),$(error PREFIX, LIBDIR, INCLUDEDIR, MANDIR and DESTDIR must have no spaces))
	$(if $(filter-out /%,$(PREFIX) $(LIBDIR) $(INCLUDEDIR) $(MANDIR)),$(error PREFIX, LIBDIR, INCLUDEDIR and MANDIR must be absolute))
	mkdir -p build/packages/cmake && $(foreach file,$(filled),$(fill) scripts/packages/$(file).in >build/packages/$(file) &&) :
	install -d $(addprefix $(install_to)/,pkgconfig cmake/osmem) $(DESTDIR)$(INCLUDEDIR) $(addprefix $(DESTDIR)$(MANDIR)/,man1 man3 man7) $(addprefix $(DESTDIR)$(PREFIX)/,bin libexec/osmem) \
	  $(share)/osmem/report $(share)/doc/osmem/examples $(dir $(completions)) $(gdb_to)
	install -m 755 libosmem.so $(install_to)/libosmem.so.$(version)
	ln -sf libosmem.so.$(version) $(install_to)/$(soname)
	ln -sf $(soname) $(install_to)/libosmem.so
	install -m 644 libosmem.a $(install_to)/
	install -m 644 build/packages/osmem.pc $(install_to)/pkgconfig/
	install -m 644 build/packages/cmake/* $(install_to)/cmake/osmem/
	install -m 644 include/osmem.h $(DESTDIR)$(INCLUDEDIR)/
	install -m 755 scripts/osmem $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(see_modules) $(share)/osmem/
	install -m 644 $(report_parts) $(share)/osmem/report/
	[ ! -e build/report/versions ] || install -m 644 $(addprefix build/report/,$(report_packages)) $(share)/osmem/report/
	install -m 755 scripts/record.sh build/record/librecord.so build/record/replay $(DESTDIR)$(PREFIX)/libexec/osmem/
	install -m 644 scripts/common.sh $(DESTDIR)$(PREFIX)/libexec/osmem/
	install -m 644 scripts/osmem-gdb.py $(gdb_to)/libosmem.so.$(version)-gdb.py
	install -m 644 scripts/man/osmem.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 644 scripts/man/osmem.3 $(DESTDIR)$(MANDIR)/man3/
	install -m 644 scripts/man/osmem.7 $(DESTDIR)$(MANDIR)/man7/
	for shell in $(completions); do install -m 644 scripts/completions/$${shell##*/} $$shell; done
	install -m 644 LICENSE scripts/packages/CHANGELOG.md $(share)/doc/osmem/
	install -m 644 scripts/examples/* $(share)/doc/osmem/examples/
.PHONY: install

uninstall:
	rm -f $(addprefix $(install_to)/,libosmem.so libosmem.so.$(version) $(soname) libosmem.a pkgconfig/osmem.pc) \
	  $(DESTDIR)$(INCLUDEDIR)/osmem.h $(addprefix $(DESTDIR)$(MANDIR)/,man1/osmem.1 man3/osmem.3 man7/osmem.7) \
	  $(DESTDIR)$(PREFIX)/bin/osmem $(gdb_to)/libosmem.so.$(version)-gdb.py $(completions)
	rm -rf $(install_to)/cmake/osmem $(DESTDIR)$(PREFIX)/libexec/osmem $(share)/osmem $(share)/doc/osmem
.PHONY: uninstall

# ---- tests -----------------------------------------------------------------------------------------------------------

include tests/c.mk
include tests/model/fuzz.mk
include tests/differ/fuzz.mk
include tests/tiny/tiny.mk
include scripts/packages/packages.mk
include tests/musl/musl.mk
include tests/coverage/coverage.mk
include tests/distros/distros.mk
include tests/arm64/arm64.mk
include tests/lint/lint.mk

test: all record
	scripts/setup.sh test cross packages
	$(MAKE) --no-print-directory c-tests
	tests/run.sh
.PHONY: test

# The pages of scripts/osmem in a browser. What cannot be fetched is skipped.
build/npm-tests/versions: tests/report/package.json tests/report/package-lock.json Makefile
	rm -rf $(@D) && mkdir -p $(@D)
	cp $(filter %.json,$^) $(@D)/
	cd $(@D) && $(npm_ci)
	touch $@

test-report: all
	scripts/setup.sh report
	-$(MAKE) --no-print-directory --keep-going report build/npm-tests/versions
	tests/run.sh tests/report/
.PHONY: test-report

# What nearly every mistake shows in, in less than a minute.
quick := unit/ fault/fork fault/giving fault/mappings fault/validator crimes/ engine/ textbook/unit preload/meaning preload/align preload/start \
  preload/cxx preload/signals tests/model/ tiny/model syscalls/corpus
check-quick: all
	scripts/setup.sh test
	$(MAKE) --no-print-directory c-tests
	OSMEM_QUICK=1 tests/run.sh $(quick)
.PHONY: check-quick

# Bugs planted on purpose, each caught by the test that is meant to: most of an hour.
plants: all
	scripts/setup.sh test
	$(MAKE) --no-print-directory c-tests
	tests/run.sh plants/
.PHONY: plants

# Long runs of the model test, under a seed from the clock.
SOAK_STEPS ?= 10000000
soak: all build/tests/model/model build/eager/libosmem.so $(tiny_tests)
	OSMEM_SOAK=$(SOAK_STEPS) tests/run.sh model/model.t tiny/model.t tiny/exhaustive.t
.PHONY: soak

bench: all
	scripts/setup.sh bench
	scripts/bench.py
.PHONY: bench

clean:
	rm -rf build libosmem.so $(soname) libosmem.a libosmem-textbook.so
.PHONY: clean
