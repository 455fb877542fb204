# SPDX-License-Identifier: MIT
# make fuzz drives the differential test, too, for FUZZ_SECONDS. What it finds lies in build/fuzz/differ-finding-* and is shown shortened, as
# lines of C. Its corpus grows in build/fuzz/differ-corpus; make differ-corpus makes the smallest that reaches as much the one that
# make test replays.
#
# Counted are the heap's branches, and the test's: so the corpus has each call, each kind of size, each wanted difference.
build/fuzz/differ/%.o: tests/differ/%.c $(differ_headers)
	@mkdir -p $(@D)
	clang $(fuzz_flags) -fsanitize-coverage=inline-8bit-counters,pc-table -c $< -o $@

# -rdynamic: the library's counters report to the program.
build/fuzz/differ/fuzz: build/fuzz/mutate.o build/fuzz/differ/fuzz.o $(differ_core:tests/%.c=build/fuzz/%.o)
	clang -fsanitize=fuzzer,undefined -rdynamic $^ -o $@ -ldl

build/fuzz/differ/libosmem.so: build/fuzz/shared.o build/kernel.o src/libosmem.map
	@mkdir -p $(@D)
	clang -shared -Wl,--version-script=src/libosmem.map $(filter %.o,$^) -o $@

build/fuzz/differ-seeds: tests/differ/corpus build/tests/differ/differ
	@rm -rf $@ && mkdir -p $@ build/fuzz/differ-corpus
	build/tests/differ/differ --unpack $< $@

differ_fuzzer := build/fuzz/differ/fuzz build/fuzz/differ/libosmem.so build/fuzz/differ-seeds
differ_fuzz := OSMEM_LIB=$(CURDIR)/build/fuzz/differ/libosmem.so build/fuzz/differ/fuzz -max_len=512 -len_control=0

fuzz-differ: libosmem.so build/tests/differ/differ
	scripts/setup.sh fuzz
	$(MAKE) --no-print-directory $(differ_fuzzer)
	@rm -f build/fuzz/differ-finding-* && mkdir -p build/fuzz/differ-corpus
	$(differ_fuzz) -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=build/fuzz/differ-finding- \
	  build/fuzz/differ-corpus build/fuzz/differ-seeds || { build/tests/differ/differ --replay build/fuzz/differ-finding-*; exit 1; }
.PHONY: fuzz-differ
fuzz: fuzz-differ

# Edges only: with counts there were 214 inputs of 43 KB, without them 108 of 4.
differ-corpus: $(differ_fuzzer)
	@rm -rf build/fuzz/differ-merged && mkdir -p build/fuzz/differ-merged
	$(differ_fuzz) -merge=1 -use_counters=0 build/fuzz/differ-merged build/fuzz/differ-seeds build/fuzz/differ-corpus
	build/tests/differ/differ --pack build/fuzz/differ-merged/* >build/fuzz/differ-packed
	cp build/fuzz/differ-packed tests/differ/corpus
.PHONY: differ-corpus
