# SPDX-License-Identifier: MIT
"""Counts the system calls in two folders of `strace -ff` traces; serves strace-compare.sh.

usage: strace_count.py table|verbose|tsv LIBRARY GLIBC_TRACES OSMEM_TRACES

The traces name the instruction behind each call (-i): it tells ld.so's calls from an allocator's.
"""
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

MEMORY = ["brk", "mmap", "munmap", "mprotect", "madvise", "mremap"]
CALL = re.compile(r"\[\s*([0-9a-f?]+)\] (\w+)\((.*)\) += (\S+)")


class Call(NamedTuple):
    instruction: str
    name: str
    args: list[str]
    result: str


class Mapping:
    """What ld.so does to map LIBRARY, followed call by call from an exec on.

    It is the open, every call on that descriptor until its close, every mmap, munmap and mprotect
    inside the addresses of the first mmap of the descriptor until the close, and the one mprotect
    to read-only inside them afterwards (RELRO).
    """

    def __init__(self, library):
        self.opening = f'"{library}"'
        self.fd = None
        self.addresses = range(0)
        self.was_opened = self.relro_done = False

    def owns(self, call):
        if self.fd is None:
            if call.name == "openat" and call.args[1] == self.opening and call.result.isdigit():
                self.fd = call.result
                self.was_opened = True
                return True
            return self._is_relro(call)
        if call.name in ("mmap", "munmap", "mprotect"):
            return self._is_segment(call)
        mine = call.args[0] == self.fd
        if mine and call.name == "close":
            self.fd = None
        return mine

    def _inside(self, address):
        return address.startswith("0x") and int(address, 16) in self.addresses

    def _is_segment(self, call):
        if call.name == "mmap" and call.args[4] == self.fd and not self.addresses:
            base = int(call.result, 16)
            self.addresses = range(base, base + int(call.args[1]))
            return True
        return self._inside(call.args[0])

    def _is_relro(self, call):
        if self.relro_done or call.name != "mprotect" or call.args[2] != "PROT_READ" or not self._inside(call.args[0]):
            return False
        self.relro_done = True
        return True


def loader_mmap(calls):
    """The instruction with which ld.so makes all its mmaps: that of the first mmap of an ELF file it has read."""
    elf = None
    for call in calls:
        if call.name == "read" and call.args[1].startswith('"\\177ELF'):
            elf = call.args[0]
        elif call.name == "close" and call.args[0] == elf:
            elf = None
        elif call.name == "mmap" and call.args[4] == elf:
            return call.instruction
    return None


def is_loader_memory(call, instruction):
    """An anonymous mmap, at no given address, by ld.so: pages for its list of libraries and for the first TLS.

    ld.so takes them before there is a malloc to ask, in either run, and one more or less depending on how
    many libraries there are, how long their names and how full the last page. No malloc calls from there.
    """
    return call.name == "mmap" and call.instruction == instruction and call.args[0] == "NULL" and call.args[4] == "-1"


def programs(trace):
    """The calls of one process, a list for each program that it became by an exec."""
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        fields = CALL.match(line)
        if not fields:
            continue  # a signal or the end of the process
        call = Call(fields[1], fields[2], fields[3].split(", "), fields[4])
        if call.name == "execve" and call.result == "0":
            yield calls
            calls = []
        calls.append(call)
    yield calls


def count(folder, library):
    """(calls of the program, ld.so's for its own memory, ld.so's that map the library), Counters by name; programs that did not open it."""
    own, loader, mapping, without = Counter(), Counter(), Counter(), []
    for trace in Path(folder).iterdir():
        for calls in programs(trace):
            library_mapping, instruction = Mapping(library), loader_mmap(calls)
            for call in calls:
                if library_mapping.owns(call):
                    mapping[call.name] += 1
                elif is_loader_memory(call, instruction):
                    loader[call.name] += 1
                else:
                    own[call.name] += 1
            if calls and calls[0].name == "execve" and not library_mapping.was_opened:
                without.append(calls[0].args[0].strip('"'))
    return own, loader, mapping, without


def print_rows(names, glibc, osmem, mapping):
    for name in names:
        print(f"{name:<18}{glibc[name]:>8}{osmem[name]:>8}{mapping[name] or '-':>22}")


def main(view, library, glibc_folder, osmem_folder):
    glibc, glibc_loader, _, _ = count(glibc_folder, library)
    osmem, osmem_loader, mapping, without = count(osmem_folder, library)
    if without:
        print(f"strace-compare.sh: ran without the library (static, setuid, or their environment had no LD_PRELOAD): {', '.join(sorted(set(without)))}",
              file=sys.stderr)
    if not mapping["mmap"]:
        print(f"strace-compare.sh: no process mapped {library}", file=sys.stderr)
        return 2
    others = sorted((set(glibc) | set(osmem) | set(mapping)) - set(MEMORY))
    for calls in (glibc, osmem, mapping):
        calls["total"] = sum(calls[name] for name in MEMORY)
    if view == "tsv":
        rows = [("memory", name, glibc[name], osmem[name]) for name in MEMORY]
        rows += [("total", "total", glibc["total"], osmem["total"])]
        rows += [("loader", "mmap", glibc_loader["mmap"], osmem_loader["mmap"])]
        rows += [("library", name, 0, mapping[name]) for name in sorted(mapping) if name != "total"]
        rows += [("other", name, glibc[name], osmem[name]) for name in others]
        for row in rows:
            print(*row, sep="\t")
    else:
        print(f"{'call':<18}{'glibc':>8}{'osmem':>8}{'mapping the library':>22}")
        print_rows(MEMORY + ["total"], glibc, osmem, mapping)
        print(f"{'ld.so itself, mmap':<18}{glibc_loader['mmap']:>8}{osmem_loader['mmap']:>8}{'-':>22}")
        print_rows(others if view == "verbose" else [], glibc, osmem, mapping)
    return 1 if osmem["total"] > glibc["total"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
