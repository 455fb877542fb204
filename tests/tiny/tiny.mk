# SPDX-License-Identifier: MIT
# The tests of the tiny geometry (src/geometry.h): programs that have that heap in them. For inclusion by the Makefile.
tiny_test_flags := $(test_flags) -DOSMEM_TINY -D_GNU_SOURCE
tiny_fault_tests := $(fault_tests:build/tests/%=build/tiny/%)

build/tiny/fault/%: tests/fault/%.c $(fault_headers) build/tiny/libosmem.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(tiny_test_flags) $< $(filter-out %/kernel.o,$(tiny_objects)) -o $@ -rdynamic $(test_libs)

# The whole library and the kernel under it in one object, at -O2: millions of operations.
build/tiny/world.o: tests/tiny/world.c tests/tiny/world.h tests/real_kernel.h $(sources) $(headers)
	@mkdir -p $(@D)
	$(CC) $(flags) -DOSMEM_TINY -O2 -g -c $< -o $@

# What the model calls by the usual names is that heap; libc itself, the model's threads, and the fuzzer below are on libc's. So the heap is in
# the same state whoever drives it.
define tiny_names
nm -g --defined-only $(1) | awk '$$2 == "T" && $$3 != "os_version" { print $$3, "tiny_" $$3 }' >$(2)
endef

build/tiny/names: build/tiny/world.o
	$(call tiny_names,$<,$@)

build/tiny/model.o: $(model_core) tests/model/chance.c tests/model/minimise.c tests/model/main.c tests/tiny/weather.c build/tiny/world.o build/tiny/names $(model_headers)
	@mkdir -p build/tiny/parts
	for each in $(filter %.c,$^); do \
	  $(CC) -std=gnu11 $(tiny_test_flags) -O2 -c $$each -o build/tiny/parts/$$(basename $$each .c).o || exit; done
	$(CC) -r -nostdlib $(patsubst %.c,build/tiny/parts/%.o,$(notdir $(filter %.c,$^))) build/tiny/world.o -o $@
	objcopy --redefine-syms=build/tiny/names $@

build/tiny/model: build/tiny/model.o
	$(CC) $< -o $@ -rdynamic -lpthread -ldl

# The library's variables lie together here, to be copied and put back as one. (Without flags: a section that is given any loses its relocations
# by objcopy 2.35, and pointers are NULL in main.)
tiny_apart := --rename-section .data=heap_data --rename-section .bss=heap_bss \
  --rename-section .data.rel.local=heap_pointers --rename-section .data.rel=heap_pointers

build/tiny/apart.o: build/tiny/world.o
	objcopy $(tiny_apart) $< $@

build/tiny/exhaustive: tests/tiny/exhaustive.c tests/tiny/state.c build/tiny/apart.o tests/tiny/state.h tests/tiny/world.h tests/verbs.h
	$(CC) -std=gnu11 $(tiny_test_flags) -O2 $(filter %.c %.o,$^) -o $@ -rdynamic $(test_libs)

tiny_tests := build/tiny/libosmem.so $(tiny_fault_tests) build/tiny/model build/tiny/exhaustive
c-tests: $(if $(wildcard /usr/include/cmocka.h),$(tiny_tests))

# ---- make fuzz-tiny: the model driven by libFuzzer on the tiny heap, for FUZZ_SECONDS, from the corpus that is kept (corpus.hex, a line an
# input). make fuzz-corpus keeps what was found since, made as small as reaches the same edges; make fuzz-branches says how many branches
# of src/ that takes.
tiny_fuzz := build/fuzz/tiny
tiny_fuzz_core := $(fuzz_core:tests/model/%.c=$(tiny_fuzz)/%.o) $(tiny_fuzz)/weather.o $(tiny_fuzz)/state.o $(tiny_fuzz)/target.o $(tiny_fuzz)/world.o
tiny_corpus := tests/tiny/corpus.hex
tiny_clang := clang $(fuzz_flags) -Itests -DOSMEM_TINY
tiny_edges := -O1 -fsanitize-coverage=inline-8bit-counters,pc-table

$(tiny_fuzz)/names: tests/tiny/world.c tests/real_kernel.h $(sources) $(headers)
	@mkdir -p $(@D)
	$(tiny_clang) -c $< -o $@.o
	$(call tiny_names,$@.o,$@)

define tiny_object
$(tiny_fuzz)/$(1).o: tests/$(2).c tests/tiny/world.h tests/tiny/state.h $(model_headers) $(tiny_fuzz)/names
	$(tiny_clang) $(3) -c $$< -o $$@
	objcopy --redefine-syms=$(tiny_fuzz)/names $(4) $$@
endef
$(foreach each,$(fuzz_core:tests/model/%.c=%),$(eval $(call tiny_object,$(each),model/$(each),-DLLVMFuzzerTestOneInput=model_one_input)))
$(eval $(call tiny_object,weather,tiny/weather))
$(eval $(call tiny_object,state,tiny/state))
$(eval $(call tiny_object,target,tiny/fuzz))
$(eval $(call tiny_object,world,tiny/world,$(tiny_edges),$(tiny_apart)))

$(tiny_fuzz)/model: $(tiny_fuzz_core)
	clang -fsanitize=fuzzer $^ -o $@ -lpthread -ldl

$(tiny_fuzz)/seeds: $(tiny_corpus)
	@rm -rf $@ && mkdir -p $@
	@n=0; while read -r line; do n=$$((n + 1)); printf '%s' "$$line" | xxd -r -p >$@/$$n; done <$<

fuzz-tiny: build/tiny/model
	scripts/setup.sh fuzz
	$(MAKE) --no-print-directory $(tiny_fuzz)/model $(tiny_fuzz)/seeds
	@rm -f $(tiny_fuzz)/finding-* && mkdir -p $(tiny_fuzz)/corpus
	$(tiny_fuzz)/model -max_total_time=$(FUZZ_SECONDS) -max_len=1600 -len_control=0 -print_final_stats=1 \
	  -artifact_prefix=$(tiny_fuzz)/finding- $(tiny_fuzz)/corpus $(tiny_fuzz)/seeds || \
	  { for each in $(tiny_fuzz)/finding-*; do build/tiny/model --threads 2 --turns --places 32 --validate 1 --out $$each.short --replay $$each; done; exit 1; }
.PHONY: fuzz-tiny

# Edges only, and up to 64 operations: with counts of edges the corpus would be fifty times as large, with 200 operations twice, for 5 % of edges.
fuzz-corpus: $(tiny_fuzz)/model $(tiny_fuzz)/seeds
	rm -rf $(tiny_fuzz)/small && mkdir -p $(tiny_fuzz)/small $(tiny_fuzz)/corpus
	$(tiny_fuzz)/model -merge=1 -use_counters=0 -max_len=512 $(tiny_fuzz)/small $(tiny_fuzz)/seeds $(tiny_fuzz)/corpus
	for each in $(tiny_fuzz)/small/*; do xxd -p -c 0 $$each | awk '{ print substr($$0, 1, length - length % 16) }'; done | \
	  grep . | LC_ALL=C sort >$(tiny_fuzz)/corpus.hex && mv $(tiny_fuzz)/corpus.hex $(tiny_corpus)
.PHONY: fuzz-corpus

# The same heap with clang's counters of branches, run on the kept corpus by the same driver; what it says is of src/ alone.
$(eval $(call tiny_object,branches,tiny/world,-O0 -fprofile-instr-generate -fcoverage-mapping,$(tiny_apart)))

$(tiny_fuzz)/branches: $(tiny_fuzz_core:%/world.o=%/branches.o)
	clang -fsanitize=fuzzer -fprofile-instr-generate $^ -o $@ -lpthread -ldl

fuzz-branches: $(tiny_fuzz)/branches $(tiny_fuzz)/seeds
	LLVM_PROFILE_FILE=$(tiny_fuzz)/raw $< -runs=0 $(tiny_fuzz)/seeds >/dev/null 2>&1
	llvm-profdata merge -o $(tiny_fuzz)/profile $(tiny_fuzz)/raw
	llvm-cov report $< -instr-profile=$(tiny_fuzz)/profile -show-branch-summary -show-region-summary=false $(filter-out src/unity.c src/kernel.c src/textbook.c,$(sources)) $(headers)
.PHONY: fuzz-branches
