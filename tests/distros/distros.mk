# SPDX-License-Identifier: MIT
# make test-distros: the library built and tested in a root of each Debian release from 11 to sid, and the one of the oldest on all the newer. For
# inclusion by the Makefile.
test-distros:
	scripts/setup.sh distros
	tests/distros/distros.sh
.PHONY: test-distros
