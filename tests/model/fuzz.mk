# SPDX-License-Identifier: MIT
# make fuzz, make fuzz-afl: the model test driven by libFuzzer, by AFL++, for FUZZ_SECONDS. What they find lies below build/fuzz,
# and is shown minimised, as lines of C. The corpus in build/fuzz/corpus grows from run to run.
FUZZ_SECONDS ?= 60
fuzz_flags := $(filter-out -W%,$(flags)) -O2 -g -fno-builtin -Iinclude
fuzz_engine_flags := -O1 -fsanitize=undefined -fno-sanitize-recover=undefined
fuzz_core := tests/model/fuzz.c tests/model/mutate.c $(model_core)
fuzz_replay := build/tests/model/model --threads 2 --turns --places 32 --validate 1
fuzz_seeds := 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16

# Only the heap's own branches count as news: not the model's, nor comparisons inside the validator's loops.
build/fuzz/unity.o build/fuzz/shared.o: build/fuzz/%.o: $(sources) $(headers) Makefile
	@mkdir -p $(@D)
	clang $(fuzz_flags) $(fuzz_engine_flags) -fsanitize-coverage=inline-8bit-counters,pc-table -c src/$*.c -o $@

build/fuzz/%.o: tests/model/%.c $(model_headers)
	@mkdir -p $(@D)
	clang $(fuzz_flags) -c $< -o $@

build/fuzz/model: $(fuzz_core:tests/model/%.c=build/fuzz/%.o) build/fuzz/unity.o build/kernel.o
	clang -fsanitize=fuzzer,undefined $^ -o $@ -lpthread

build/fuzz/model-afl: $(fuzz_core) $(model_headers) $(sources) $(headers)
	@mkdir -p $(@D)
	AFL_QUIET=1 afl-clang-fast $(fuzz_flags) -fsanitize=fuzzer $(fuzz_core) src/unity.c src/kernel.c -o $@ -lpthread

build/fuzz/seeds: build/tests/model/model
	@mkdir -p $@
	for seed in $(fuzz_seeds); do build/tests/model/model --write $@/$$seed --seed $$seed --ops 100 || exit; done
	@touch $@

# The first findings, each alone in a heap of its own: there it fails again and is minimised, or it needed what earlier inputs had left.
define fuzz_findings
for each in $(1); do \
  [ -e "$$each" ] && [ "$$found" != xxx ] || continue; found=x$$found; \
  echo "# $$each"; $(fuzz_replay) --out "$$each.short" --replay "$$each" && echo "# passes by itself"; \
done
endef

fuzz: libosmem.so build/tests/model/model
	scripts/setup.sh fuzz
	$(MAKE) --no-print-directory build/fuzz/model build/fuzz/seeds
	@rm -f build/fuzz/finding-* && mkdir -p build/fuzz/corpus
	build/fuzz/model -max_total_time=$(FUZZ_SECONDS) -max_len=1600 -len_control=0 -print_final_stats=1 \
	  -artifact_prefix=build/fuzz/finding- build/fuzz/corpus build/fuzz/seeds || \
	  { found=; $(call fuzz_findings,build/fuzz/finding-*); exit 1; }
.PHONY: fuzz

fuzz-afl: libosmem.so build/tests/model/model
	scripts/setup.sh fuzz-afl
	$(MAKE) --no-print-directory build/fuzz/model-afl build/fuzz/seeds
	@rm -rf build/fuzz/afl
	AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 \
	  afl-fuzz -V $(FUZZ_SECONDS) -i build/fuzz/seeds -o build/fuzz/afl -- build/fuzz/model-afl -1 >build/fuzz/afl.log 2>&1 || \
	  { tail -n 20 build/fuzz/afl.log; exit 1; }
	@grep -E '^(execs_done|execs_per_sec|corpus_count|edges_found|saved_crashes|saved_hangs)' build/fuzz/afl/default/fuzzer_stats
	@found=; $(call fuzz_findings,build/fuzz/afl/default/crashes/id* build/fuzz/afl/default/hangs/id*); [ -z "$$found" ]
.PHONY: fuzz-afl
