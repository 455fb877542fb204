# SPDX-License-Identifier: MIT
"""What the library has on record of samples (src/samples.h), in a process or a core; and how they are switched
on in a running process, and off again. Standard library only.
"""

import collections
import os
import struct

import osmem_heap

# all, live, peak: (count, bytes), what the samples stand for. freed: bytes by lifetime; elsewhere: of these, those
# that another thread freed.
Stack = collections.namedtuple("Stack", "frames all live peak freed elsewhere")
Block = collections.namedtuple("Block", "asked stack thread")  # stack: where it lies
LIFETIMES = 6
STACKS_MAX = 1 << 20
FRAMES_MAX = 1 << 10


class Samples:
    """Of one look."""

    def __init__(self, heap):
        self.heap, self.address = heap, heap.root["samples"]
        self.rate, self.count, self.taken, self.missed, self.newest, self.records, self.used, self.peak_number = heap.get(
            self.address, *("samples." + name for name in "rate count taken missed newest records used peak_number".split()))
        self.live_bytes, self.peak_bytes = (self.tally(self.address, name)[1] for name in ("samples.live", "samples.peak"))

    def doubles(self, data, name, count):
        return struct.unpack_from(f"<{count}d", data, self.heap.field[name][0])

    def tally(self, address, name):
        offset, size = self.heap.field[name]
        return struct.unpack("<2d", self.heap.memory.read(address + offset, size))

    def stacks(self):
        """{where it lies: Stack} of all that ever were: none is ever changed but for its numbers, or goes."""
        found, at, size = {}, self.newest, self.heap.n["stack_record_bytes"]
        while at and at not in found and len(found) < STACKS_MAX:
            data = self.heap.memory.read(at, size)
            older, depth, peak_number = self.heap.pick(data, 0, "stack.older", "stack.depth", "stack.peak_number")
            peak = "peak" if peak_number == self.peak_number else "live"  # it has not changed since
            frames = self.heap.words(at + size, min(depth, FRAMES_MAX))
            found[at] = Stack(frames, *(self.doubles(data, f"stack.{name}", 2) for name in ("all", "live", peak)),
                              self.doubles(data, "stack.freed", LIFETIMES), self.doubles(data, "stack.elsewhere", 1)[0])
            at = older
        return found

    def blocks(self):
        """{payload: Block} of those in use that are on record."""
        names = "sample.payload", "sample.asked", "sample.stack", "sample.thread"
        size, found = self.heap.n["sample_record_bytes"], {}
        data = self.heap.memory.read(self.records, size * self.used) if self.records and self.count else b""
        for at in range(0, len(data), size):
            payload, *rest = self.heap.pick(data, at, *names)
            if payload:
                found[payload] = Block(*rest)
        return found


    def ranges(self):
        """(start, end) of its tables."""
        if self.records:
            yield self.records, self.records + self.heap.n["sample_record_bytes"] * self.used
        log, index = self.heap.get(self.address, "samples.index_log", "samples.index")
        if index:
            yield index, index + (4 << log)


def frames_of(samples, blocks):
    """{where its stack lies: addresses} of each of those blocks."""
    stacks = samples.stacks() if blocks else {}
    return {block.stack: stacks[block.stack].frames for block in blocks if block.stack in stacks}


# ---- the guard pool -----------------------------------------------------------------------

Slot = collections.namedtuple("Slot", "page payload asked asked_by freed_by asked_thread freed_thread freed")


def guard_pool(heap):
    """(start, end) of it, or none."""
    base, size = heap.get(heap.root["guards"], "guards.base", "guards.bytes")
    return range(base, base + size)


def guard_slots(heap):
    """Of those that are or were in use. Each has a page, with a closed one at either side."""
    table, count = heap.get(heap.root["guards"], "guards.slots"), heap.n["guard_slots"]
    pool, size = guard_pool(heap), heap.n["guard_record_bytes"]
    data = heap.memory.read(table, size * count) if pool else b""
    for i in range(count if pool else 0):
        slot = heap.pick(data, i * size, *("guard_slot." + name for name in Slot._fields[1:]))
        if slot[0]:
            yield Slot(pool.start + (2 * i + 1) * len(pool) // (2 * count + 1), *slot)


# ---- on and off -------------------------------------------------------------------------

def write(memory, address, value):
    try:
        with open(f"/proc/{memory.pid}/mem", "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), struct.pack("<Q", value), address)
    except OSError as why:
        raise osmem_heap.Unreadable(f"{memory.name} may not be written to: {why.strerror}") from None


def switch_on(samples, rate):
    """Each of its threads takes samples from when it next goes the slow way."""
    write(samples.heap.memory, samples.address + samples.heap.field["samples.rate"][0], rate)


def switch_off(samples):
    """What is on record stays so until it is freed."""
    write(samples.heap.memory, samples.address + samples.heap.field["samples.rate"][0], 0)
