# SPDX-License-Identifier: MIT
# Tests on musl: the C tests, built by musl's compiler, and programs of Debian's, built from their sources, which tests/musl/fetch.sh gets. For inclusion by the Makefile.
musl := build/musl
musl_src := $(musl)/src
musl_cc := $(MUSL_CC) -idirafter $(CURDIR)/$(musl)/include
musl_lib := /usr/lib/$(shell uname -m)-linux-musl

# What that compiler does not see, headers of the kernel, are the machine's.
$(musl)/include/linux:
	@mkdir -p $(@D)
	ln -sfn /usr/include/linux /usr/include/asm-generic $(firstword $(wildcard /usr/include/$(shell uname -m)-linux-gnu/asm /usr/include/asm)) $(@D)/

# ---- the C tests, built where this tree appears once more with musl's compiler for cc, as on a machine that has no other ------------------------

$(musl)/tree/Makefile:
	@mkdir -p $(@D)
	ln -sfn $(addprefix ../../../,src include tests scripts Makefile README.md) $(@D)/

# What its configuration finds on musl.
cmocka_has := SIGNAL_H STRINGS_H INTTYPES_H GCC_THREAD_LOCAL_STORAGE SIGLONGJMP STRUCT_TIMESPEC CLOCK_REALTIME STRSIGNAL
$(musl)/cmocka/libcmocka.a: $(musl_src)/cmocka
	@mkdir -p $(@D)
	cp $</include/cmocka.h $(@D)/
	$(musl_cc) -O1 $(addprefix -DHAVE_,$(cmocka_has)) -I$</include -c $</src/cmocka.c -o $(@D)/cmocka.o
	$(AR) rcs $@ $(@D)/cmocka.o

# In the tree: all but what needs libstdc++ or a sanitizer, which are there for glibc alone, or dlmopen().
musl-c-tests: all $(filter-out $(call built,tests/preload/*.cc) $(patsubst %,build/tests/plugin/%.so,throws audits opens),$(unit_tests) $(preload_tests) \
  $(memory_tests) $(crime_tests) $(fault_tests) $(test_plugins) $(model_tests) $(tiny_tests)) build/eager/libosmem.so
.PHONY: musl-c-tests

musl-tree: $(musl)/tree/Makefile $(musl)/cmocka/libcmocka.a
	$(MAKE) --no-print-directory -C $(musl)/tree CC='$(musl_cc) -isystem $(CURDIR)/$(musl)/cmocka -L$(CURDIR)/$(musl)/cmocka' musl-c-tests
.PHONY: musl-tree

# ---- programs: -O1, since the time it takes to build them is most of the time of these tests -----------------------------------------------------

musl_packages := cmocka lua5.4 sqlite3 redis busybox libzstd perl mimalloc
musl_programs := $(addprefix $(musl)/programs/,lua lua-linked lua-static sqlite3 redis busybox zstd perl libmimalloc.so patterns)
$(musl_programs): | $(musl)/programs
$(musl)/programs: $(musl)/include/linux
	@mkdir -p $@

# The header says where Debian's libraries lie.
$(musl)/programs/lua: $(musl_src)/lua5.4
	echo '#define DEB_HOST_MULTIARCH "musl"' >$</src/lua5.4-deb-multiarch.h
	rm -rf $(musl)/lua && mkdir -p $(musl)/lua
	cd $(musl)/lua && $(musl_cc) -O2 -DLUA_USE_LINUX -c $(CURDIR)/$</src/*.c && rm luac.o
	$(musl_cc) $(musl)/lua/*.o -o $@ -Wl,-E -lm

# With the library in them.
$(musl)/programs/lua-linked: $(musl)/programs/lua $(musl)/libosmem.so
	$(musl_cc) $(musl)/lua/*.o -o $@ -Wl,-rpath,'$$ORIGIN/..' -L$(musl) -losmem -lm

$(musl)/programs/lua-static: $(musl)/programs/lua $(musl)/libosmem.a
	$(musl_cc) -static $(musl)/lua/*.o -o $@ -Wl,-u,malloc $(musl)/libosmem.a -lm

# Its own rules make of its sources the two files that are compiled.
$(musl)/programs/sqlite3: $(musl_src)/sqlite3
	@mkdir -p $(musl)/sqlite
	$(MAKE) -s -C $(musl)/sqlite -f $(CURDIR)/$</main.mk TOP=$(CURDIR)/$< BCC='$(CC)' TCC='$(musl_cc)' TCLSH=tclsh NAWK=awk sqlite3.c shell.c
	$(musl_cc) -O1 -pthread -DSQLITE_THREADSAFE=1 -I$(musl)/sqlite $(addprefix $(musl)/sqlite/,sqlite3.c shell.c) -o $@ -lm

# Where its tests are, too.
$(musl)/programs/redis: $(musl_src)/redis
	rm -rf $@ && cp -r $< $@
	$(MAKE) -s -C $@/src CC='$(musl_cc)' MALLOC=libc BUILD_TLS=no USE_SYSTEMD=no OPTIMIZATION=-O1 REDIS_LDFLAGS=-s all || { rm -rf $@; exit 1; }

# A shell that is all its commands, in one process or in children that are this program again.
busybox_has := BUSYBOX LONG_OPTS LFS FEATURE_PREFER_APPLETS FEATURE_SH_STANDALONE ASH ASH_INTERNAL_GLOB ASH_BASH_COMPAT ASH_ECHO ASH_PRINTF ASH_TEST FEATURE_SH_MATH \
  AWK FEATURE_AWK_LIBM BC DC FEATURE_DC_BIG BZIP2 BUNZIP2 BZCAT CAT CKSUM CMP COMM CUT DIFF EXPR FACTOR FIND FEATURE_FIND_TYPE GREP FEATURE_GREP_CONTEXT GUNZIP GZIP ZCAT \
  HEAD LS MD5SUM MKDIR OD PASTE RM SED SEQ SHA256SUM SORT FEATURE_SORT_BIG TAC TAIL TAR FEATURE_TAR_CREATE TR TRUE UNIQ WC XARGS XXD
$(musl)/programs/busybox: $(musl_src)/busybox
	rm -rf $(musl)/busybox && mkdir -p $(musl)/busybox
	$(MAKE) -s -C $< O=$(CURDIR)/$(musl)/busybox allnoconfig >$(musl)/busybox/log
	sed -i -E "s/^# CONFIG_($$(echo $(busybox_has) | tr ' ' '|')) is not set/CONFIG_\1=y/" $(musl)/busybox/.config
	yes '' | $(MAKE) -s -C $(musl)/busybox oldconfig >>$(musl)/busybox/log
	$(MAKE) -s -C $(musl)/busybox CC='$(musl_cc)' HOSTCC='$(CC)' busybox
	cp $(musl)/busybox/busybox $@

$(musl)/programs/zstd: $(musl_src)/libzstd
	rm -rf $(musl)/zstd && cp -r $< $(musl)/zstd
	$(MAKE) -s -C $(musl)/zstd/programs zstd CC='$(musl_cc)' CFLAGS=-O1 BUILD_DIR=$(CURDIR)/$(musl)/zstd/objects ZSTD_LEGACY_SUPPORT=0 HAVE_ZLIB=0 HAVE_LZMA=0 HAVE_LZ4=0
	cp $(musl)/zstd/programs/zstd $@

# perl without its modules in C. Configure looks for things where the machine's compiler would, if it is not told.
$(musl)/programs/perl: $(musl_src)/perl
	rm -rf $(musl)/perl && cp -r $< $(musl)/perl
	cd $(musl)/perl && sh ./Configure -des -Dcc='$(musl_cc)' -Doptimize=-O1 -Dosname=linux -Uusedl -Dlibs=-lm -Dlocincpth= -Dloclibpth= -Dlibpth='$(musl_lib)' \
	  -Dlibc=$(musl_lib)/libc.a -Dusrinc=$(musl_lib:/usr/lib/%=/usr/include/%) >log 2>&1 </dev/null
	$(MAKE) -s -C $(musl)/perl miniperl >>$(musl)/perl/log 2>&1
	cp $(musl)/perl/miniperl $@

# To compare with in make bench.
$(musl)/programs/libmimalloc.so: $(musl_src)/mimalloc
	$(musl_cc) -O2 -DNDEBUG -DMI_MALLOC_OVERRIDE -DMI_SHARED_LIB -DMI_SHARED_LIB_EXPORT -fPIC -ftls-model=initial-exec -fvisibility=hidden -shared -I$</include $</src/static.c -o $@

$(musl)/programs/patterns: tests/bench/patterns.c
	$(musl_cc) -O2 -g -pthread $< -o $@ -lm

# What cannot be fetched or built is skipped.
musl-programs: musl
	scripts/setup.sh musl
	-tests/musl/fetch.sh $(musl_src) $(musl_packages)
	-$(MAKE) --no-print-directory --jobs=2 --keep-going $(musl_programs)
.PHONY: musl-programs

# (What is ours has to be built: a test that did not compile was a skip, or the one of before.)
test-musl: all musl-programs
	[ ! -e $(musl_src)/cmocka ] || $(MAKE) --no-print-directory --jobs=2 musl-tree
	tests/run.sh tests/musl/
.PHONY: test-musl

# The same programs and tests/bench/patterns.c, under musl's own malloc, osmem and mimalloc.
bench-musl: musl-programs
	scripts/setup.sh bench
	scripts/bench.py --set musl
.PHONY: bench-musl
