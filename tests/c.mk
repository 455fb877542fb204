# SPDX-License-Identifier: MIT
# How the C and C++ tests are built: each source below tests/crimes, fault, memory, plugin, preload, record, tsan and unit becomes one file below
# build/tests. For inclusion by the Makefile, or alone: make -f tests/c.mk c-tests
test_flags := -O1 -g -Wall -Wextra -fno-builtin -Iinclude -Itests
test_libs := -lcmocka -lpthread -ldl -lrt
built = $(addprefix build/,$(basename $(wildcard $(1))))

unit_tests := $(call built,tests/unit/*.c)
preload_tests := $(call built,tests/preload/*.c tests/preload/*.cc)
memory_tests := $(call built,tests/memory/*.c)
crime_tests := $(call built,tests/crimes/*.c)
record_tests := $(call built,tests/record/*.c tests/record/*.cc)
test_plugins := $(addsuffix .so,$(call built,tests/plugin/*.c tests/plugin/*.cc))

# The textbook core is tested with its system calls counted, and against the real one.
textbook_tests := build/tests/textbook/unit build/tests/textbook/model
textbook_libs := -lcmocka -Wl,--wrap=brk,--wrap=sbrk,--wrap=mmap,--wrap=munmap

# The release build, linked in with its private names and with its gate to the kernel in the test's hands: no kernel.o.
fault_tests := $(call built,tests/fault/*.c)
fault_headers := tests/fault/kernel.h tests/real_kernel.h tests/verbs.h

# Built with ThreadSanitizer, against the library built so.
tsan_tests := build/tests/tsan/stress

# Random operations, judged by a shadow of the heap; fuzzers drive the same files (fuzz.mk).
model_core := tests/model/model.c tests/model/calls.c
model_headers := $(wildcard tests/model/*.h) tests/verbs.h include/osmem.h src/size_class.h src/geometry.h
model_tests := build/tests/model/model build/tests/model/broken.so

# The same calls to glibc and to the library, which it opens by itself.
differ_core := tests/differ/differ.c tests/differ/asks.c tests/differ/engines.c
differ_headers := tests/differ/differ.h tests/model/model.h tests/verbs.h include/osmem.h src/size_class.h
differ_tests := build/tests/differ/differ

# Where cmocka is missing the others are still built; the tests that want the rest skip.
cmocka_tests := $(unit_tests) $(preload_tests) $(crime_tests) $(textbook_tests) $(fault_tests) $(tsan_tests) $(model_tests) $(differ_tests) $(record_tests) $(memory_tests)
c-tests: $(test_plugins) build/tests/textbook/model build/counts/counts build/eager/libosmem.so $(if $(wildcard /usr/include/cmocka.h),$(cmocka_tests))
.PHONY: c-tests

# The unit tests call os_* and are linked with the library; the others are run with it preloaded.
$(unit_tests): libosmem.so
$(unit_tests): test_libs := -L. -losmem -Wl,-rpath,'$$ORIGIN/../../..' $(test_libs)

$(tsan_tests): build/tsan/libosmem.so
$(tsan_tests): test_flags += -fsanitize=thread
$(tsan_tests): test_libs := -Lbuild/tsan -losmem -Wl,-rpath,'$$ORIGIN/../../tsan' $(test_libs)
$(memory_tests): tests/memory/load.h

build/tests/plugin/%.so: tests/plugin/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(test_flags) -fPIC -shared -Wl,-rpath,'$$ORIGIN' $< -o $@

build/tests/plugin/%.so: tests/plugin/%.cc
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 $(test_flags) -fPIC -shared -Wl,-rpath,'$$ORIGIN' $< -o $@

# There ours is not the library whose constructors run first of all.
build/tests/plugin/first.so: test_flags += -Wl,-z,initfirst
build/tests/preload/fork: build/tests/plugin/first.so
build/tests/preload/fork: test_libs += -Wl,--no-as-needed -Lbuild/tests/plugin -l:first.so -Wl,-rpath,'$$ORIGIN/../plugin'

build/tests/preload/fork build/tests/preload/threads: tests/steps.h
build/tests/preload/fork: test_libs += -Wl,--export-dynamic-symbol=__pthread_mutex_unlock # stands before libc's, by the name that the library calls

build/tests/%: tests/%.c tests/verbs.h include/osmem.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(test_flags) $< -o $@ $(test_libs)

build/tests/%: tests/%.cc tests/verbs.h
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 $(test_flags) $< -o $@ $(test_libs)

build/tests/fault/%: tests/fault/%.c $(fault_headers) $(headers) build/unity.o
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(test_flags) $< build/unity.o -o $@ -rdynamic $(test_libs)

build/tests/textbook/unit: tests/textbook/unit.c src/textbook.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g -Wall -Wextra $^ -o $@ $(textbook_libs)

build/tests/textbook/model: tests/textbook/model.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra $< -o $@ -ldl

build/tests/model/model: $(model_core) tests/model/chance.c tests/model/minimise.c tests/model/main.c $(model_headers) libosmem.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(test_flags) -O2 $(filter %.c,$^) -o $@ -L. -losmem -Wl,-rpath,'$$ORIGIN/../../..' -lpthread

build/tests/model/broken.so: tests/model/broken.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(test_flags) -fPIC -shared $< -o $@ -ldl

build/tests/differ/differ: $(differ_core) tests/differ/main.c $(differ_headers)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(test_flags) -O2 $(filter %.c,$^) -o $@ -Wl,-rpath,'$$ORIGIN/../../..' -ldl
