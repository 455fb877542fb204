# SPDX-License-Identifier: MIT
# The library on other processors. For inclusion by the Makefile.

# Hours on two cores, and 300 MB from Debian's mirror once: a whole machine, emulated (tests/arm64/run.sh). `make test-arm64-16k`: with larger pages.
test-arm64 test-arm64-16k:
	scripts/setup.sh arm64
	PAGES=$(if $(findstring 16k,$@),16k,4k) tests/arm64/run.sh
.PHONY: test-arm64 test-arm64-16k

# The stress of tests/tsan on the release build, at full speed: what it checks itself is the contents.
build/tests/arm64/stress: tests/tsan/stress.c tests/verbs.h include/osmem.h libosmem.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(test_flags) $< -o $@ -L. -losmem -Wl,-rpath,'$$ORIGIN/../../..' $(test_libs)

# As distributions build all of their programs for arm64.
signed_flags := -O2 -g -mbranch-protection=standard
$(eval $(call variant,signed))

machine-tests: c-tests build/tests/arm64/stress build/tests/arm64/tags build/signed/libosmem.so
.PHONY: machine-tests
