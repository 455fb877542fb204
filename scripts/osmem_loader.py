# SPDX-License-Identifier: MIT
"""Whose malloc a process has: ld.so's list of what it loaded is followed in the order in which it looks for a name. Standard library only."""

import bisect
import os
import struct

from osmem_heap import PT_LOAD, Process, layout_address

PT_DYNAMIC = 2
AT_PHDR, AT_PHNUM = 3, 5
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_DEBUG, DT_GNU_HASH = 4, 5, 6, 21, 0x6ffffef5
PHDR = struct.Struct("<IIQQQQQQ")
SYMBOL_BYTES = 24
MOST_LOADED = 10000  # a list that is changed while it is read may be a ring


class Loaded:
    """One of the objects that ld.so has loaded: its dynamic section, in memory."""

    def __init__(self, memory, bias, dynamic, name):
        self.memory, self.bias, self.name = memory, bias, name
        self.entries, at = {}, dynamic
        while (entry := self.words(at, "QQ"))[0]:
            self.entries[entry[0]] = entry[1]
            at += 16

    def words(self, address, form):
        return struct.unpack("<" + form, self.memory.read(address, struct.calcsize("<" + form)))

    def table(self, tag):
        """Where that table is: glibc has made an address of it, musl and the kernel's own object have not."""
        value = self.entries[tag]
        return value if value >= self.bias else value + self.bias

    def text(self, offset, size):
        return self.memory.read(self.table(DT_STRTAB) + offset, size)

    def candidates(self, name):
        """The numbers of symbols that may be that one."""
        if DT_GNU_HASH not in self.entries:
            yield from range(self.words(self.table(DT_HASH), "II")[1] if DT_HASH in self.entries else 0)
            return
        hashed = 5381
        for byte in name:
            hashed = (hashed * 33 + byte) & 0xffffffff
        table = self.table(DT_GNU_HASH)
        buckets, first, bloom, _ = self.words(table, "IIII")
        chains = table + 16 + 8 * bloom + 4 * buckets
        number, = self.words(chains - 4 * (buckets - hashed % buckets), "I") if buckets else (0,)
        while number >= first > 0:
            found, = self.words(chains + 4 * (number - first), "I")
            if found | 1 == hashed | 1:
                yield number
            if found & 1:
                return
            number += 1

    def defines(self, name):
        """The address of what it defines under that name, or None."""
        for number in self.candidates(name):
            text, _, _, section, value = self.words(self.table(DT_SYMTAB) + SYMBOL_BYTES * number, "IBBHQ")
            if section and self.text(text, len(name) + 1) == name + b"\0":
                return value + self.bias
        return None


def start_of(memory, address):
    """Where the object begins in which that lies."""
    return memory.starts[bisect.bisect(memory.starts, address) - 1]


def program(memory):
    """(what is added to the program's addresses, its program headers)"""
    with open(f"/proc/{memory.pid}/auxv", "rb") as file:
        auxv = dict(struct.iter_unpack("<QQ", file.read()))
    headers = list(PHDR.iter_unpack(memory.read(auxv[AT_PHDR], PHDR.size * auxv[AT_PHNUM])))
    lowest = min(address for kind, _, _, address, *_ in headers if kind == PT_LOAD) & -4096
    return start_of(memory, auxv[AT_PHDR]) - lowest, headers


def text_at(memory, address):
    found = b""
    while (byte := memory.read(address + len(found), 1)) != b"\0":
        found += byte
    return os.fsdecode(found)


def loaded(memory):
    """Each object, in the order in which names are looked for; none where there is no ld.so, or it has not begun."""
    bias, headers = program(memory)
    dynamic = next((address + bias for kind, _, _, address, *_ in headers if kind == PT_DYNAMIC), None)
    if dynamic is None:
        return
    first = Loaded(memory, bias, dynamic, "")
    debug = first.entries.get(DT_DEBUG)
    at = debug and first.words(debug + 8, "Q")[0]
    for _ in range(MOST_LOADED):
        if not at:
            return
        bias, name, dynamic, at = first.words(at, "QQQQ")
        yield Loaded(memory, bias, dynamic, text_at(memory, name))


def malloc_of(pid):
    """(is it osmem's?, whose it is)"""
    memory = Process(pid)
    for each in loaded(memory):
        address = each.defines(b"malloc")
        if address is not None:
            return layout_address(memory, start_of(memory, address)) is not None, each.name or "the program itself"
    # One file, linked statically: there is nothing else that it could come from.
    return any(layout_address(memory, start) is not None for start in memory.starts), "the program itself"
