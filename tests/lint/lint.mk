# SPDX-License-Identifier: MIT
# make lint: clang-tidy and cppcheck on the library, shellcheck on shell scripts and tests, ruff on python. For inclusion by the Makefile.
# What is switched off stands here, and for ruff in ruff.js, with the reason.

# Off: "use memcpy_s" and "use strlcpy", which take no look at the sizes, and a false alarm about va_list in loops.
tidy_checks := -clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-security.insecureAPI.strcpy,-clang-analyzer-valist.Uninitialized

# Off: what is sourced is not followed (1091): its variables have no value here, and those for it no use (2154, 2034); set -u sees the first.
shell_off := SC1091,SC2154,SC2034
# Lists are words in a variable, split on purpose (2086, 2046, 2048), and files have names that we gave them (2010, 2012, 2035). A format
# in a variable is one that several lines share, or a test's bytes (2059).
shell_off := $(shell_off),SC2086,SC2046,SC2048,SC2010,SC2012,SC2035,SC2059
# What stands in single quotes is for another shell, perl or awk (2016); a && b || c is meant so (2015), and so is `a= b=` (1007).
shell_off := $(shell_off),SC2016,SC2015,SC1007
# dash, bash and busybox know the options of ulimit (3045); a function may be called with arguments, and without (2119, 2120).
shell_off := $(shell_off),SC3045,SC2119,SC2120
# False alarms: "done" as a word that is wanted (1010), files called cut, head or map after commands (2238, 2094), which are read later.
shell_off := $(shell_off),SC1010,SC2238,SC2094

shell_scripts = $(wildcard scripts/*.sh scripts/*/*.sh tests/*.sh tests/*/*.sh tests/*/*.t)
python_scripts = $(wildcard scripts/*.py scripts/osmem tests/*.py tests/*/*.py)

lint: lint-c lint-shell lint-python
.PHONY: lint lint-c lint-shell lint-python

lint-c:
	scripts/setup.sh clang-tidy cppcheck
	clang-tidy --quiet --warnings-as-errors='*' --checks='$(tidy_checks)' $(modules) -- $(filter-out -fno-plt,$(flags))
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -D__linux__ -D__LP64__ -D__x86_64__ $(modules)

lint-shell:
	scripts/setup.sh shellcheck
	shellcheck --shell=sh --exclude=$(shell_off) $(shell_scripts)
	shellcheck --exclude=$(shell_off) .ci/run

# Debian 12 has no ruff, npm has it.
build/lint/versions: tests/lint/package.json tests/lint/package-lock.json tests/lint/lint.mk
	scripts/setup.sh npm
	rm -rf $(@D) && mkdir -p $(@D)
	cp $(filter %.json,$^) $(@D)/
	cd $(@D) && $(npm_ci)
	touch $@

lint-python: build/lint/versions
	cd build/lint && node $(CURDIR)/tests/lint/ruff.js $(abspath $(python_scripts))
