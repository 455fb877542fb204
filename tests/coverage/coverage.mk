# SPDX-License-Identifier: MIT
# make coverage: tests on a library that counts which lines and branches run; the figures in build/coverage/lines.txt, branches.txt
# and index.html. For inclusion by the Makefile.
#
# All that test the library by what it does. Left out: tests that count its system calls (counters are a file of their own), those that link
# libosmem.a by hand, and those that test something else (models, recorder, tools).
coverage_tests := unit/ fault/ preload/ crimes/ model/ engine/ operators/ textbook/ programs/beside programs/languages programs/redis programs/starting programs/tools
coverage_least := 95

# -O0: a line is a line and a branch a branch.
coverage_flags := -O0 -g --coverage -fprofile-update=atomic -fdata-sections
coverage_link := -Wl,-T,tests/coverage/counters.ld -Wl,--wrap=__gcov_exit -Wl,--exclude-libs,libgcov.a
$(eval $(call variant,coverage))

build/coverage/libosmem.so: build/coverage/link/library.o
build/coverage/libosmem.so: link += $(coverage_link)

# A counter behind the call in dlopen() would make it no tail call, which it must be.
build/coverage/dynamic.o: coverage_flags += -O2 -include tests/coverage/uncounted.h

# Not counted: programs that have the library in them have another in its place, and all share one set of counters.
build/coverage/kernel.o: coverage_flags := -O0 -g

# link/library.o, link/textbook.o: the counters of all images of the one, of the other.
build/coverage/link/%.o: tests/coverage/counters.c tests/coverage/counters.ld tests/coverage/coverage.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -O1 -fPIC -DCOUNTERS='"$(abspath build/coverage/$*.counters)"' -c $< -o $@

# Programs that have the library in them.
build/coverage/fault/%: tests/fault/%.c $(fault_headers) build/coverage/libosmem.so
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(test_flags) $< $(filter-out %/kernel.o,$(coverage_objects)) build/coverage/link/library.o -o $@ -rdynamic $(test_libs) \
	  -lgcov $(coverage_link)

build/coverage/textbook/textbook.o: src/textbook.c include/osmem.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(coverage_flags) -c $< -o $@

build/coverage/textbook/unit: tests/textbook/unit.c build/coverage/textbook/textbook.o build/coverage/link/textbook.o
	$(CC) -std=gnu11 -O1 -g -Wall -Wextra $^ -o $@ $(textbook_libs) -lgcov $(coverage_link)

coverage_programs := $(fault_tests:build/tests/%=build/coverage/%) build/coverage/textbook/unit

# A branch may come out below zero where a process was killed half way; gcovr leaves it out and warns at length.
gcovr := gcovr --root . --filter src/ --gcov-ignore-parse-errors build/coverage
coverage_write := OSMEM_COVERAGE_WRITE=1

coverage: all $(coverage_programs)
	scripts/setup.sh test coverage
	$(MAKE) --no-print-directory c-tests
	@rm -f build/coverage/*.gcda build/coverage/textbook/*.gcda
	@for each in library textbook; do : >build/coverage/$$each.counters && chmod 666 build/coverage/$$each.counters; done
	OSMEM_LIB=$(CURDIR)/build/coverage/libosmem.so OSMEM_SLOWNESS=12 tests/run.sh $(coverage_tests)
	@$(coverage_write) LD_PRELOAD=$(CURDIR)/build/coverage/libosmem.so env true
	@$(coverage_write) build/coverage/textbook/unit >/dev/null
	@$(gcovr) --branches --txt build/coverage/branches.txt 2>build/coverage/gcovr.log && \
	$(gcovr) --txt build/coverage/lines.txt --html-details build/coverage/index.html --fail-under-line $(coverage_least) \
	  2>>build/coverage/gcovr.log || { grep -v WARNING build/coverage/gcovr.log; failed=1; }; \
	tail -n +4 build/coverage/branches.txt build/coverage/lines.txt; exit $$failed
.PHONY: coverage
