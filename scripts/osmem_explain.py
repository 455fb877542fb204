# SPDX-License-Identifier: MIT
"""What an address is: an object or a block of the heap, in use or free, with its neighbours
and what points to it; or what else lies there. Standard library only.
"""

import re
import struct
import sys

import osmem_heap
import osmem_leaks
import osmem_profile
import osmem_samples
import osmem_symbols
import osmem_trace
import osmem_walk
from osmem_walk import BLOCK, DAMAGED, MAPPING, METADATA, SLAB, STATES, TOP

SHOWN_BYTES = 64
SHOWN_POINTERS = 8
SIGNALS_WITH_ADDRESS = {4: "SIGILL", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}


def distance(address, start, size):
    if address == start:
        return "its beginning"
    return f"{address - start} bytes into it, {start + size - address} before its end"


def dump(memory, start, size):
    data = memory.read_or_zeros(start, min(size, SHOWN_BYTES))
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        text = "".join(chr(c) if 32 <= c < 127 else "." for c in row)
        yield f"    {start + at:#x}  {row.hex(' ', 8):33}  {text}"


def neighbour(piece, i, words):
    """A line on what stands before or behind."""
    state = STATES[piece.states[i]] if piece.states else ""
    what = {SLAB: "object", BLOCK: "block", MAPPING: "mapping", TOP: "end of the block heap",
            METADATA: "metadata", DAMAGED: "what has no valid header"}[piece.kind]
    start = piece.start + i * piece.size if piece.kind == SLAB else piece.start
    return f"  {words} it: {what} of {piece.size:,} bytes at {start:#x}, {state}".rstrip(", ")


class Place:
    """The piece that an address lies in, and which one of its objects."""

    def __init__(self, pieces, address, header_bytes):
        self.piece, self.i, self.at = None, 0, address
        for n, piece in enumerate(pieces):
            size = piece.size * max(1, len(piece.states))
            # A block's header belongs to it; a slab's has none, and a slab ends with what was never carved.
            begin = piece.start - (header_bytes if piece.kind in (BLOCK, DAMAGED) else 0)
            if begin <= address < piece.start + size:
                self.piece, self.n = piece, n
                self.i = max(0, address - piece.start) // piece.size if piece.kind == SLAB else 0
                return
            if piece.kind == SLAB and piece.start <= address:
                self.slab_before = piece

    slab_before = None

    def start(self):
        return self.piece.start + (self.i * self.piece.size if self.piece.kind == SLAB else 0)

    def state(self):
        return self.piece.states[self.i] if self.piece.states else None

    def neighbours(self, pieces):
        if self.piece.kind == MAPPING:
            return
        for step, words in ((-1, "before"), (1, "behind")):
            i, n = self.i + step, self.n + step
            if self.piece.kind == SLAB and 0 <= i < len(self.piece.states):
                yield neighbour(self.piece, i, words)
            elif 0 <= n < len(pieces):
                other = pieces[n]
                yield neighbour(other, 0 if step > 0 else max(0, len(other.states) - 1), words)


def describe(heap, memory, address):
    """Lines. The first says what it is."""
    if address in osmem_samples.guard_pool(heap):
        yield from guarded(heap, memory, address)
        return
    walk = osmem_walk.Walk(heap)
    pieces = walk.pieces_around(address)
    place = Place(pieces, address, walk.header_bytes)
    if not place.piece:
        yield elsewhere(heap, memory, address, place.slab_before)
        return
    piece, start = place.piece, place.start()
    if piece.kind == METADATA:
        yield f"{address:#x}: metadata of the heap: records of the chunk at {piece.start:#x}"
        return
    if piece.kind == TOP:
        yield f"{address:#x}: the end of a block heap, which is free"
        return
    if piece.kind == DAMAGED:
        yield (f"{address:#x}: a block at {start:#x} whose header does not carry its tag: it was"
               " overwritten, by what stands before it as a rule (or is changing just now)")
        yield from dump(memory, start - walk.header_bytes, SHOWN_BYTES)
        yield from place.neighbours(pieces)
        return
    what = {SLAB: "a small object", BLOCK: "a block", MAPPING: "a mapping"}[piece.kind]
    where = f"the header of {what} at {start:#x}" if address < start \
        else f"{what} at {start:#x}: {distance(address, start, piece.size)}"
    yield f"{address:#x}: {STATES[place.state()]}, {where}; {piece.size:,} bytes"
    yield from asked_for(heap, memory, start)
    yield from dump(memory, start, piece.size)
    yield from place.neighbours(pieces)


def asked_for(heap, memory, start):
    """Who did, and when, if a sample was taken of it."""
    samples = osmem_samples.Samples(heap)
    block = samples.blocks().get(start)
    if block:
        frames = osmem_samples.frames_of(samples, [block])
        named = osmem_profile.names_of(memory, frames.values())
        yield f"  {block.asked:,} bytes were asked for by thread {block.thread}:"
        yield from osmem_profile.stack_frames(named.get(frames.get(block.stack), ()), " " * 4)


def guarded(heap, memory, address):
    """In the guard pool: which block that is, or was, or is beside."""
    slot = min(osmem_samples.guard_slots(heap), default=None, key=lambda each: abs(each.page + len(osmem_samples.guard_pool(heap)) // 256 - address))
    if not slot:
        yield f"{address:#x}: in the guard pool, which nothing was in"
        return
    behind = address - slot.payload - slot.asked
    where = f"{slot.payload - address} bytes before" if address < slot.payload else f"{behind} bytes behind" if behind >= 0 \
        else f"{address - slot.payload} bytes inside"
    yield f"{address:#x}: in the guard pool, {where} a block of {slot.asked:,} bytes at {slot.payload:#x}, {'freed' if slot.freed else 'in use'}"
    stacks = osmem_samples.Samples(heap).stacks()
    named = osmem_profile.names_of(memory, [stacks[at].frames for at in (slot.asked_by, slot.freed_by) if at in stacks])
    for words, thread, at in (("asked for", slot.asked_thread, slot.asked_by), ("freed", slot.freed_thread, slot.freed_by)):
        if at in stacks:
            yield f"  {words} by thread {thread}:"
            yield from osmem_profile.stack_frames(named[stacks[at].frames], " " * 4)


def elsewhere(heap, memory, address, slab):
    for record, base, _ in heap.mapping_records(osmem_heap.MAPPING_FREED):
        if base == address:
            return f"{address:#x}: a mapping that was freed began here; its memory went back"
    if slab and address < slab.start + heap.n["granule_bytes"]:
        return f"{address:#x}: in a slab of objects of {slab.size} bytes, behind the last one"
    if any(base <= address < base + size for base, size in heap.regions()):
        return f"{address:#x}: in the heap's address space, nothing of ours yet"
    for area in memory.maps:
        if area.start <= address < area.end:
            name = memory.file_at(address) or area.name or "memory of the program's own"
            return f"{address:#x}: not the heap's: {name}"
    return f"{address:#x}: nothing is mapped here"


# ---- who points to it -------------------------------------------------------------------

def places_of_word(heap, memory, is_wanted):
    """(address, word) of each aligned word, in roots and in blocks in use, that is wanted."""
    ranges = list(osmem_leaks.root_ranges(heap, []))
    blocks = osmem_walk.Blocks(osmem_walk.Walk(heap))
    ranges += [(start, start + size, False) for _, start, size in blocks.in_use()]
    for start, end, own in ranges:
        for at in range(start, end, osmem_walk.PORTION):
            words = osmem_walk.words_of(memory.image(at, min(at + osmem_walk.PORTION, end), own))
            for i in [i for i, word in enumerate(words) if is_wanted(word)]:
                yield at + 8 * i, words[i]


def pointers_to(heap, memory, address, limit=SHOWN_POINTERS):
    walk = osmem_walk.Walk(heap)
    place = Place(walk.pieces_around(address), address, walk.header_bytes)
    start, size = (place.start(), place.piece.size) if place.piece else (address, 1)
    found = list(places_of_word(heap, memory, lambda word: start <= word < start + size))
    yield f"  {len(found)} words point to it{':' if found else ', in data, stacks and blocks in use'}"
    for at, word in found[:limit]:
        inside = "" if word == start else f" (+{word - start})"
        yield f"    {first_line(heap, memory, at)}{inside}"


def first_line(heap, memory, address):
    return next(describe(heap, memory, address))


# ---- the verb ---------------------------------------------------------------------------

def addresses_in(texts):
    return [int(each, 16) for text in texts for each in re.findall(r"0x[0-9a-fA-F]{1,16}\b", text)]


def of_core(core, heap):
    """Where it ended, and what its registers hold of the heap."""
    info = core.note(osmem_heap.NT_SIGINFO)
    if len(info) >= 24:
        number, _, _, _, address = struct.unpack_from("<iiiiQ", info)
        if number in SIGNALS_WITH_ADDRESS:
            yield f"{SIGNALS_WITH_ADDRESS[number]} at {first_line(heap, core, address)}"
    for thread in osmem_trace.registers_in_core(core)[:1]:
        for word in dict.fromkeys(thread.words):
            line = first_line(heap, core, word)
            if ": nothing is mapped" not in line and ": not the heap's" not in line:
                yield f"in a register: {line}"


FRAME = re.compile(r"(.*? +)0x([0-9a-f]+)  (/.*)\+0x([0-9a-f]+)$")  # behind what a log puts before each line


def of_report(path):
    """Its lines; where one is a frame of a file, by name."""
    try:
        with open(0 if path == "-" else path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as why:
        raise osmem_heap.Unreadable(f"{path}: {why.strerror}") from None
    frames = [(found, found[3], int(found[4], 16)) for found in map(FRAME.fullmatch, lines) if found]
    if not frames:
        raise osmem_heap.Unreadable(f"{path}: neither a process, nor a core, nor a report of osmem's that has stacks")
    names = osmem_symbols.names_in_files((name, inside) for _, name, inside in frames)
    for line in lines:
        found = FRAME.fullmatch(line)
        named = names.get((found[3], int(found[4], 16))) if found else None
        yield from osmem_profile.stack_frames(named, found[1]) if named else [line]


def explain(options):
    if not options.address and not options.what.isdigit() and not osmem_heap.is_core(options.what):
        print("\n".join(of_report(options.what)))
        return 0
    texts = [sys.stdin.read() if text == "-" else text for text in options.address]
    wanted = addresses_in(texts)
    if texts and not wanted:
        raise osmem_heap.Unreadable("in what was given there is no address: 0x and hexadecimal digits")
    memory = osmem_heap.open_memory(options.what)
    try:
        heap = osmem_heap.Heap(memory)
        if not texts:
            if not isinstance(memory, osmem_heap.Core):
                raise osmem_heap.Unreadable("of a process that runs an address is to be given, or a text with some in it")
            print("\n".join(of_core(memory, heap)) or "no address is known that the signal was at")
        for address in wanted:
            print("\n".join(describe(heap, memory, address)))
            if options.pointers:
                print("\n".join(pointers_to(heap, memory, address)))
    finally:
        memory.close()
    return 0


def add_verbs(verbs):
    each = verbs.add_parser("explain", help="what an address is")
    each.add_argument("what", metavar="PID|CORE|REPORT", help="a report: what the library wrote to stderr, with stacks")
    each.add_argument("address", nargs="*", metavar="ADDRESS",
                      help="or any text with some in it, such as a message; -: from stdin. Of a core,"
                      " without any: where it ended")
    each.add_argument("--pointers", action="store_true", help="and what points to it")
    each.set_defaults(act=explain)
