# SPDX-License-Identifier: MIT
"""Every block of a heap, one by one, from outside: where it is, how large, in use or not.
Standard library only.

A process that goes on meanwhile moves things: a block whose tag does not fit was caught
half way. Then the chunk is read again, and what stays so is left out, and counted.
"""

import bisect
import collections
import struct

import osmem_heap

WORD = (1 << 64) - 1
TAG_FACTOR = 0x9e3779b97f4a7c15
TAG_FROM = 28
READ_AGAIN = 3
PORTION = 1 << 20  # is read at a time of what is large

FREE, IN_USE, CACHED = range(3)
STATES = ("free", "in use", "cached by a thread")

# A slab: `size` is that of its objects, and `states` has one of the above for each. A block or a mapping: one.
Piece = collections.namedtuple("Piece", "kind start size states extra")
SLAB, BLOCK, MAPPING, TOP, METADATA, DAMAGED = "slab", "block", "mapping", "top", "metadata", "damaged"


class Torn(Exception):
    """It was changing while it was read."""


class Walk:
    """The pieces of a heap in the order of their addresses, chunk by chunk."""

    def __init__(self, heap):
        self.heap, self.memory, self.torn = heap, heap.memory, 0
        self.page = heap.words(heap.root["page_bytes"], 1)[0]
        self.secret, self.cache_secret = heap.get(heap.root["secrets"], "secrets.block",
                                                  "secrets.cache")
        self.header_bytes = heap.field["block.next"][0]
        self.regions = list(heap.regions())
        self.records = heap.record_struct(heap.n["slab_record_bytes"],
                                          ("slab.owner", "slab.salt", *osmem_heap.SLAB_FIELDS))

    def pieces(self):
        for arena in self.heap.arenas():
            for chunk, data in self.heap.chunks(arena):
                yield from self.chunk(arena, chunk, data)
        yield from self.mappings()

    def pieces_around(self, address):
        """Those of the chunk, or the one mapping, that the address lies in."""
        for arena in self.heap.arenas():
            for chunk, data in self.heap.chunks(arena):
                if chunk <= address < self.heap.chunk_limit(data):
                    return list(self.chunk(arena, chunk, data))
        return [piece for piece in self.mappings()
                if piece.start <= address < piece.start + piece.size]

    def is_in_use(self, start, size):
        """Is what was seen there in use still? By its own words, and by the record of its granule."""
        try:
            link, seal = self.heap.words(start, 2)
        except osmem_heap.Unreadable:
            return False
        if self.is_small(start, size):
            return (link + seal + start) & WORD != self.salt_of(start)
        if (link + seal + start - self.header_bytes) & WORD == self.cache_secret:
            return False
        header, = self.heap.words(start - 8, 1) if self.in_region(start) else (self.heap.n["block_used"],)
        return bool(header & self.heap.n["block_used"])

    def in_region(self, address):
        return any(base <= address < base + size for base, size in self.regions)

    def is_small(self, start, size):
        return size in self.heap.class_bytes and self.in_region(start) and self.salt_of(start) is not None

    def salt_of(self, address):
        """Of the slab that its granule is, or None."""
        base = next(base for base, size in self.regions if base <= address < base + size)
        in_chunk = (address - base) % self.heap.n["chunk_bytes"]
        granule = self.heap.n["granule_bytes"]
        record = address - in_chunk + granule - (in_chunk // granule + 1) * self.heap.n["slab_record_bytes"]
        owner, salt = self.heap.get(record, "slab.owner", "slab.salt")
        return salt if owner else None

    def mappings(self):
        for state, kind in ((osmem_heap.MAPPING_LIVE, IN_USE), (osmem_heap.MAPPING_SPARE, FREE),
                            (osmem_heap.MAPPING_EMPTYING, FREE)):
            for base, size, dirty in self.heap.mappings(state):
                yield Piece(MAPPING, base, size, bytes((kind,)), dirty)

    # -- a chunk --

    def chunk(self, arena, chunk, data):
        """Read anew as long as it contradicts itself, a few times."""
        granule = self.heap.n["granule_bytes"]
        yield Piece(METADATA, chunk, granule, b"", arena)
        for attempt in range(READ_AGAIN):
            try:
                found = list(self.inside(arena, chunk, data, attempt == READ_AGAIN - 1))
                break
            except Torn:
                data = self.memory.read(chunk, granule)
        yield from found

    def slabs_of(self, chunk, data):
        """By granule: (salt, carved, countdown, wake, purged, class)."""
        size, granule = self.heap.n["slab_record_bytes"], self.heap.n["granule_bytes"]
        begin, bytes_ = self.heap.field["chunk.slabs"]
        last = chunk + granule * (bytes_ // size)
        records = self.records.iter_unpack(data[begin:begin + bytes_])
        return {at: state for at, (owner, *state) in zip(range(last, chunk, -granule), records)
                if owner}

    def inside(self, arena, chunk, data, at_last):
        granule, heap = self.heap.n["granule_bytes"], self.heap
        info = heap.field["chunk.info"][0]
        limit, end = heap.pick(data, info, "chunk_info.limit", "chunk_info.end_bytes")
        newest, top = heap.get(arena, "arena.chunks", "arena.top")
        end = chunk + end if end else top if newest == chunk else limit
        slabs = self.slabs_of(chunk, data)
        image = self.memory.image(chunk, limit)
        at = chunk + granule - self.header_bytes
        while at < end:
            slab = slabs.get(at + self.header_bytes)
            try:
                piece = self.slab(chunk, image, at + self.header_bytes, *slab) if slab else \
                    self.block(chunk, image, at)
                step = granule if slab else piece.extra
                if at + step > limit:
                    raise Torn
            except Torn:
                if not at_last:
                    raise
                self.torn += 1  # and it goes on at the next slab
                begin = at + self.header_bytes
                at = min((each for each in slabs if each > begin),
                         default=end + self.header_bytes) - self.header_bytes
                yield Piece(DAMAGED, begin, max(0, at - begin + self.header_bytes), b"", None)
                continue
            yield piece
            at += step
        if end == top and limit > top:
            yield Piece(TOP, top, limit - top, b"", arena)

    def block(self, chunk, image, at):
        offset = at - chunk
        if offset + 32 > len(image):
            raise Torn
        _, header, link, seal = struct.unpack_from("<4Q", image, offset)
        bits = header & self.heap.n["block_vouched"]
        tag = (at ^ self.secret ^ (bits << 64 - TAG_FROM & WORD)) * TAG_FACTOR & WORD
        size = bits & self.heap.n["block_bytes_mask"]
        if tag >> 32 != header >> 32 or size < 32:
            raise Torn
        if not bits & self.heap.n["block_used"]:
            state = FREE
        else:
            state = CACHED if (link + seal + at) & WORD == self.cache_secret else IN_USE
        return Piece(BLOCK, at + self.header_bytes, size - 8, bytes((state,)), size)

    def slab(self, chunk, image, start, salt, carved, countdown, wake, purged, size_class):
        heap = self.heap
        size = heap.class_bytes[size_class] if size_class < len(heap.class_bytes) else 0
        carved &= 0xffff
        if not size or carved > heap.n["slab_usable"] or carved % size:
            raise Torn
        words = memoryview(image)[start - chunk:start - chunk + carved].cast("Q")
        step = size // 8
        states = bytearray((link + seal + at) & WORD != salt
                           for link, seal, at in zip(words[::step], words[1::step],
                                                     range(start, start + carved, size)))
        for page in range(8):
            if purged >> page & 1:
                first, end = page * self.page // size, -(-(page + 1) * self.page // size)
                for i in range(first, min(end, len(states))):
                    states[i] = FREE
        return Piece(SLAB, start, size, bytes(states), purged)


class Blocks:
    """All that is in use, by number; from an address to the number by its granule, or by bisection."""

    def __init__(self, walk):
        self.live, extents = bytearray(), []
        for piece in walk.pieces():
            if piece.kind in (SLAB, BLOCK, MAPPING):
                extents.append((piece.start, piece.size, len(self.live), len(piece.states)))
                self.live += bytes(state == IN_USE for state in piece.states)
        extents.sort()
        self.starts = [start for start, _, _, _ in extents]
        self.ends = [start + size * count for start, size, _, count in extents]
        self.sizes = [size for _, size, _, _ in extents]
        self.first = [number for _, _, number, _ in extents]
        self.shift = walk.heap.n["granule_bytes"].bit_length() - 1
        self.slabs = {start >> self.shift: i for i, (start, _, _, count) in enumerate(extents)
                      if count > 1}
        self.clusters = self.two_clusters()
        self.by_number = sorted((number, start, size) for start, size, number, _ in extents)
        self.numbers = [number for number, _, _ in self.by_number]
        for heap in walk.heap.heaps():  # the library's own
            for number, _, _ in self.pointed_to((heap,)):
                self.live[number] = 0

    def two_clusters(self):
        """(from, to) twice: what all blocks lie in. The brk heap, as a rule, and the mappings."""
        if not self.starts:
            return 0, 0, 0, 0
        gaps = ((b - a, a, b) for a, b in zip(self.ends, self.starts[1:]))
        _, end, start = max(gaps, default=(0, self.ends[-1], self.ends[-1]))
        return self.starts[0], end, start, self.ends[-1]

    def pointed_to(self, words):
        """(number, start, bytes) of each block in use that one of the words leads into. (This is the
        loop that all the time of a search goes into: 0.4 us a pointer, 0.03 any other word.)"""
        a, b, c, d = self.clusters
        for word in [word for word in words if a <= word < b or c <= word < d]:
            i = self.slabs.get(word >> self.shift)
            if i is None:
                i = bisect.bisect_right(self.starts, word) - 1
            if word < self.ends[i]:
                k = (word - self.starts[i]) // self.sizes[i]
                if self.live[self.first[i] + k]:
                    yield self.first[i] + k, self.starts[i] + k * self.sizes[i], self.sizes[i]

    def place(self, number):
        """(start, bytes)"""
        first, start, size = self.by_number[bisect.bisect_right(self.numbers, number) - 1]
        return start + (number - first) * size, size

    def in_use(self):
        """(number, start, bytes) of each."""
        for first, start, size in self.by_number:
            end = self.numbers[bisect.bisect_right(self.numbers, first)] \
                if first != self.numbers[-1] else len(self.live)
            for i, live in enumerate(self.live[first:end]):
                if live:
                    yield first + i, start + i * size, size


class Words:
    """The words of blocks, of which neighbours are read together."""

    PIECE = 1 << 14
    PIECES = 1 << 14  # 256 MiB

    def __init__(self, memory):
        self.memory, self.pieces, self.structs = memory, {}, {}

    def of(self, start, size):
        """All of them, in parts."""
        offset = start % self.PIECE
        if offset + size > self.PIECE:
            return (words_of(self.memory.image(at, min(at + PORTION, start + size)))
                    for at in range(start, start + size, PORTION))
        data = self.pieces.get(start - offset) or self.read(start - offset)
        form = self.structs.get(size)
        if not form:
            form = self.structs[size] = struct.Struct(f"<{size // 8}Q")
        return (form.unpack_from(data, offset),)

    def read(self, at):
        if len(self.pieces) >= self.PIECES:
            self.pieces.clear()
        data = self.pieces[at] = self.memory.image(at, at + self.PIECE)
        return data


def words_of(data):
    return memoryview(data)[:len(data) & -8].cast("Q")
