# The tests of the tiny geometry (src/geometry.h): programs that have that heap in them. For inclusion by the Makefile.
tiny_test_flags := $(test_flags) -DOSMEM_TINY -D_GNU_SOURCE
tiny_fault_tests := $(fault_tests:build/tests/%=build/tiny/%)

build/tiny/fault/%: tests/fault/%.c tests/fault/kernel.h tests/verbs.h build/tiny/libosmem.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(tiny_test_flags) $< $(tiny_objects) -o $@ -rdynamic $(test_libs) $(fault_wraps)

# The whole library and the kernel under it in one object, at -O2: millions of operations.
build/tiny/world.o: tests/tiny/world.c tests/tiny/world.h $(sources) $(headers)
	@mkdir -p $(@D)
	$(CC) $(flags) -DOSMEM_TINY -O2 -g -c $< -o $@

build/tiny/model: $(model_core) tests/model/chance.c tests/model/minimise.c tests/model/main.c tests/tiny/weather.c build/tiny/world.o $(model_headers)
	$(CC) -std=gnu11 $(tiny_test_flags) -O2 $(filter %.c %.o,$^) -o $@ -rdynamic -lpthread -ldl

# The library's variables lie together here, to be copied and put back as one.
build/tiny/apart.o: build/tiny/world.o
	objcopy --rename-section .data=heap_data,alloc,load,data,contents --rename-section .bss=heap_bss,alloc \
	  --rename-section .data.rel.local=heap_pointers,alloc,load,data,contents $< $@

build/tiny/exhaustive: tests/tiny/exhaustive.c build/tiny/apart.o tests/tiny/world.h tests/verbs.h
	$(CC) -std=gnu11 $(tiny_test_flags) -O2 $(filter %.c %.o,$^) -o $@ -rdynamic $(test_libs)

tiny_tests := build/tiny/libosmem.so $(tiny_fault_tests) build/tiny/model build/tiny/exhaustive
c-tests: $(if $(wildcard /usr/include/cmocka.h),$(tiny_tests))
