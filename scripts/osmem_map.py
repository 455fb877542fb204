# SPDX-License-Identifier: MIT
"""`osmem map`: the heap as a picture, granule by granule: what is there, how full it is,
where free memory lies and what pins it. As text, or as a page with a canvas.

Slabs are taken by their records, which count what is in use: their objects are looked at
one by one only where few pin much. So a look costs seconds, not the time to read all.
"""

import array
import os
import shutil
import struct
import time

import osmem_heap
import osmem_report as report
import osmem_walk
from osmem_walk import BLOCK, CACHED, FREE, IN_USE, METADATA, SLAB, TOP

BEYOND = 64             # a block's first words may lie so far behind the granule it begins in
CLEAN_AT = 32           # in a free block of which pages were given back: how many, and where. As block_meta.h has it
CLEAN_UNIT, CLEAN_UNITS_MASK = 2048, (1 << 15) - 1
CLEAN_FROM_SHIFT, CLEAN_TO_SHIFT = 32, 47
FEW = 4                 # objects that can be named one by one
SLABS_LOOKED_INTO = 4096
SHOWN = 200             # of the granules that are pinned by few
IN_TEXT = 12            # rows of each table there

# What a granule is, in the page's data; and in words.
KINDS = {"m": "metadata", "s": "slab", "b": "blocks", "f": "free, in memory",
         "p": "free, given back", "t": "end of a block heap", "u": "changing while it was read"}
FILLS = {"s": "@Ooc", "b": "#H+-"}  # from three quarters in use on, a half, a quarter, less
SIGNS = {"m": "M", "f": "F", "p": "_", "t": ".", "u": "?"}


# ---- reading ----------------------------------------------------------------------------

class Window:
    """A chunk's memory, of which a granule is fetched when a block in it is looked at."""

    def __init__(self, memory, chunk, granule):
        self.memory, self.chunk, self.granule, self.start = memory, chunk, granule, None

    def around(self, at):
        start = at - (at - self.chunk) % self.granule
        if start != self.start:
            self.start, self.bytes = start, self.memory.image(start, start + self.granule + BEYOND)
        return self.start, self.bytes


class Lazily:
    """A memory whose images are windows."""

    def __init__(self, memory, granule):
        self.memory, self.granule, self.read = memory, granule, memory.read

    def image(self, start, end):
        return Window(self.memory, start, self.granule)


class Outline(osmem_walk.Walk):
    """The pieces of a heap; of a slab in place of its objects' states how many are in use."""

    def __init__(self, heap):
        super().__init__(heap)
        self.whole, self.memory = self.memory, Lazily(self.memory, heap.n["granule_bytes"])
        self.clean, self.remote, self.record = {}, {}, {}

    def slabs_of(self, chunk, data):
        self.remote = {each[0]: each[-1] for each in self.heap.slabs(chunk, data)}
        return super().slabs_of(chunk, data)

    def block(self, chunk, image, at):
        start, window = image.around(at)
        piece = super().block(start, window, at)
        header, = struct.unpack_from("<Q", window, at - start + 8)
        if piece.states[0] == FREE and header & self.heap.n["block_purged"]:
            self.clean[piece.start], = struct.unpack_from("<Q", window, at - start + CLEAN_AT)
        return piece

    def slab(self, chunk, image, start, *record):
        _, carved, countdown, wake, purged, size_class = record
        heap, used, waiting = self.heap, countdown + wake, self.remote.get(start, 0)
        size = heap.class_bytes[size_class] if size_class < len(heap.class_bytes) else 0
        carved &= 0xffff
        capacity = heap.n["slab_usable"] // size if size else 0
        if not 0 <= waiting <= used <= capacity or carved > capacity * size:
            raise osmem_walk.Torn
        self.record[start] = record
        gone = bin(purged).count("1") * self.page
        free = max(0, carved - used * size - gone)
        return osmem_walk.Piece(SLAB, start, size, b"", (used - waiting, waiting * size + free, size_class))

    def objects_in_use(self, start):
        """Addresses, as far as they can be told."""
        granule = self.heap.n["granule_bytes"]
        try:
            piece = super().slab(start, self.whole.image(start, start + granule), start, *self.record[start])
        except osmem_walk.Torn:
            return []
        return [start + i * piece.size for i, state in enumerate(piece.states) if state == IN_USE]


# ---- the map ----------------------------------------------------------------------------

class Chunk:
    def __init__(self, start, arena, first, count):
        self.start, self.arena, self.first, self.count = start, arena, first, count
        self.objects, self.last = 0, None


class Map:
    """Granule by granule: what it is, and its bytes: in use, free in memory, and neither."""

    def __init__(self, heap):
        self.heap, self.granule = heap, heap.n["granule_bytes"]
        self.look = osmem_heap.Look(heap)
        self.walk = Outline(heap)
        self.kind = bytearray()
        self.live, self.free, self.gone, self.top = (array.array("q") for _ in range(4))
        self.size_class, self.count, self.pin, self.pin_bytes = (array.array("q") for _ in range(4))
        self.chunks, self.mappings = [], []
        self.cached = 0
        arenas = {arena: i for i, arena in enumerate(heap.arenas())}
        adds = {SLAB: self.add_slab, BLOCK: self.add_block, TOP: self.add_top,
                osmem_walk.DAMAGED: self.add_unknown}
        for piece in self.walk.pieces():
            if piece.kind == METADATA:
                self.add_chunk(piece, arenas.get(piece.extra, 0))
            elif piece.kind == osmem_walk.MAPPING:
                self.mappings.append((piece.start, piece.size, piece.states[0] == IN_USE, piece.extra))
            else:
                adds[piece.kind](piece)
        self.chunks.sort(key=lambda each: each.start)
        self.mappings.sort(key=lambda each: -each[1])
        self.name_kinds()
        self.named = self.name_pins()

    def arrays(self):
        return (self.live, self.free, self.gone, self.top, self.size_class, self.count, self.pin,
                self.pin_bytes)

    def add_chunk(self, piece, arena):
        info = self.heap.field["chunk.info"][0]
        limit = self.heap.get(piece.start + info, "chunk_info.limit")
        bytes_ = min(max(limit - piece.start, self.granule), self.heap.n["chunk_bytes"])
        chunk = Chunk(piece.start, arena, len(self.kind), -(-bytes_ // self.granule))
        self.chunks.append(chunk)
        self.chunk = chunk
        self.kind += b"\0" * chunk.count
        for each in self.arrays():
            each.extend([0] * chunk.count)
        self.kind[chunk.first] = ord("m")
        self.live[chunk.first] = self.granule

    def index(self, address):
        return self.chunk.first + min((address - self.chunk.start) // self.granule, self.chunk.count - 1)

    def spread(self, into, start, end, bytes_):
        """Adds so many bytes to the granules from start to end, to each by its share of the way."""
        at, done = start, 0
        if start >= end:  # a top of 16 bytes is nothing but where a header would be
            into[self.index(start)] += bytes_
        while at < end:
            edge = min(end, at + self.granule - (at - self.chunk.start) % self.granule)
            due = bytes_ * (edge - start) // (end - start)
            into[self.index(at)] += due - done
            at, done = edge, due

    def add_slab(self, piece):
        i = self.index(piece.start)
        live, free, self.size_class[i] = piece.extra
        self.kind[i] = ord("s")
        self.count[i], self.live[i], self.free[i] = live, live * piece.size, free
        self.gone[i] = self.granule - self.live[i] - free
        self.pin[i], self.pin_bytes[i] = -1, piece.size
        if live:
            self.chunk.objects += live
            self.chunk.last = max(self.chunk.last or 0, piece.start)

    def add_block(self, piece):
        start, end = piece.start, piece.start + piece.extra
        if piece.states[0] == IN_USE:
            self.spread(self.live, start, end, piece.extra)
            self.chunk.objects += 1
            self.chunk.last = max(self.chunk.last or 0, start)
            for i in range(self.index(start), self.index(end - 1) + 1):
                if not self.count[i]:
                    self.pin[i], self.pin_bytes[i] = start, piece.size
                self.count[i] += 1
        elif piece.states[0] == CACHED:
            self.spread(self.free, start, end, piece.extra)
            self.cached += piece.extra
        else:
            self.add_free(start, end, self.walk.clean.pop(start, 0))

    def add_free(self, start, end, clean):
        """What of it was given back is known by bytes, and of one stretch also where."""
        bytes_ = min(clean & 0xffffffff, end - start)
        unit = start // CLEAN_UNIT
        low = start - start % CLEAN_UNIT + ((clean >> CLEAN_FROM_SHIFT) - unit & CLEAN_UNITS_MASK) * CLEAN_UNIT
        length = ((clean >> CLEAN_TO_SHIFT) - (clean >> CLEAN_FROM_SHIFT) & CLEAN_UNITS_MASK) * CLEAN_UNIT
        if not bytes_ or length > bytes_ or low < start or low + length > end:
            low, length = start, 0
        self.spread(self.gone, low, low + length, length)
        rest = end - start - length
        elsewhere = (bytes_ - length) * (low - start) // rest if rest else 0
        for a, b, gone in ((start, low, elsewhere), (low + length, end, bytes_ - length - elsewhere)):
            self.spread(self.gone, a, b, gone)
            self.spread(self.free, a, b, b - a - gone)

    def add_unknown(self, piece):
        """It was changing while it was read (the walk counts that): in use, for all we know."""
        self.spread(self.live, piece.start, piece.start + piece.size, piece.size)

    def add_top(self, piece):
        """Blocks stand a header's length before their payload, and so does the top."""
        shift = self.walk.header_bytes
        dirty = min(piece.size, max(0, self.heap.get(piece.extra, "arena.resident") - piece.start))
        start, end = piece.start + shift, piece.start + piece.size
        middle = min(max(start, piece.start + dirty), end)
        self.spread(self.free, start, middle, dirty)
        self.spread(self.gone, middle, end, piece.size - dirty)
        self.spread(self.top, start, end, end - start)

    def name_kinds(self):
        for i in range(len(self.kind)):
            if not self.kind[i]:
                self.kind[i] = ord(self.kind_of_blocks(i))

    def kind_of_blocks(self, i):
        if self.count[i]:
            return "b"
        if 2 * self.top[i] > self.granule:
            return "t"
        if not self.free[i] and not self.gone[i]:
            return "u"
        return "f" if self.free[i] >= self.gone[i] else "p"

    def name_pins(self):
        """Of slabs in which few objects pin much: their addresses, by granule."""
        places = [(chunk.first + i, chunk.start + i * self.granule)
                  for chunk in self.chunks for i in range(chunk.count)]
        sparse = [(i, at) for i, at in places
                  if self.kind[i] == ord("s") and self.count[i] > 0 and self.live[i] * 4 < self.granule]
        sparse.sort(key=lambda each: (self.count[each[0]], -self.free[each[0]]))
        named = {}
        for i, at in sparse[:SLABS_LOOKED_INTO]:
            found = self.walk.objects_in_use(at)
            if found:
                self.pin[i] = found[0]
                named[i] = found[:FEW]
        return named

    # -- tables --

    def kinds(self):
        """By kind: granules, bytes in use, free in memory, neither."""
        rows = {letter: [0, 0, 0, 0] for letter in KINDS}
        for letter, live, free, gone in zip(self.kind.decode(), self.live, self.free, self.gone):
            row = rows[letter]
            row[0] += 1
            row[1] += live
            row[2] += free
            row[3] += gone
        return rows

    def by_class(self):
        """(size, slabs, in use, bytes in use, free in memory, given back, free bytes for each in use,
        slabs with few in use, free memory in those); a line for blocks, too. The most free first."""
        rows = {}
        for i, letter in enumerate(self.kind):
            if letter != ord("s"):
                continue
            row = rows.setdefault(self.heap.class_bytes[self.size_class[i]], [0] * 7)
            few = 0 < self.count[i] <= FEW
            for at, more in enumerate((1, self.count[i], self.live[i], self.free[i], self.gone[i], few,
                                       self.free[i] if few else 0)):
                row[at] += more
        found = [(size, slabs, count, live, free, gone, free // max(1, count), few, pinned)
                 for size, (slabs, count, live, free, gone, few, pinned) in rows.items()]
        return sorted(found, key=lambda row: -row[4])

    def by_chunk(self):
        """(address, block heap, bytes in use, free in memory, neither, fill, objects and blocks, the last of them)"""
        rows = []
        for chunk in self.chunks:
            inside = slice(chunk.first + 1, chunk.first + chunk.count)
            live, free, gone = (sum(each[inside]) for each in (self.live, self.free, self.gone))
            whole = live + free + gone
            rows.append((chunk.start, chunk.arena, live, free, gone, live / whole if whole else 0,
                         chunk.objects, chunk.last))
        return sorted(rows, key=lambda row: -row[3])

    def pinned_by_few(self):
        """(address, what, in use, bytes in use, free in memory, neither, addresses of what is in use)"""
        few = [(i, at) for chunk in self.chunks for i, at in
               ((chunk.first + k, chunk.start + k * self.granule) for k in range(1, chunk.count))
               if 0 < self.count[i] <= FEW and self.free[i]]
        few.sort(key=lambda each: (-(self.free[each[0]] // self.count[each[0]]), each[1]))
        return [(at, f"slab of {self.pin_bytes[i]}" if self.kind[i] == ord("s") else "blocks",
                 self.count[i], self.live[i], self.free[i], self.gone[i],
                 [each for each in self.named.get(i, [self.pin[i]]) if each > 0])
                for i, at in few[:SHOWN]]


# ---- as text ----------------------------------------------------------------------------

def sign(kind, live, granule):
    if kind in SIGNS:
        return SIGNS[kind]
    quarters = min(3, live * 4 // granule)
    return FILLS[kind][3 - quarters]


def line_length(columns, per_chunk):
    """The most that fits of a half of a chunk, a quarter ...; 16 at least."""
    length = per_chunk
    while length > 16 and length > columns - 18:
        length //= 2
    return length


def show_legend(found):
    print("\n  sign      granules          in use  free in memory  given back or never used")
    signs = {letter: FILLS.get(letter) or SIGNS[letter] for letter in KINDS}
    total = [0, 0, 0, 0]
    for letter, row in found.kinds().items():
        if row[0]:
            words = KINDS[letter] + (" (of 3/4, 1/2, 1/4, less in use)" if letter in FILLS else "")
            print(f"  {signs[letter]:<4} {row[0]:>13,} {row[1]:>15,} {row[2]:>15,} {row[3]:>15,}  {words}")
            total = [a + b for a, b in zip(total, row)]
    print(f"       {total[0]:>13,} {total[1]:>15,} {total[2]:>15,} {total[3]:>15,}  = all chunks")


def show_map(found, what):
    granule = found.granule
    length = line_length(shutil.get_terminal_size((100, 24)).columns, found.heap.n["chunk_bytes"] // granule)
    print(f"osmem in {what}: {len(found.chunks):,} chunks, a sign for each {granule // 1024} KiB")
    for chunk in found.chunks:
        cells = "".join(sign(chr(found.kind[i]), found.live[i], granule)
                        for i in range(chunk.first, chunk.first + chunk.count))
        print()
        for at in range(0, chunk.count, length):
            print(f"{chunk.start + at * granule:>#16x}  {cells[at:at + length]}")
    show_legend(found)
    large = found.look.large
    print(f"mappings: {large['live']:,} in use, {large['live_bytes']:,} bytes;"
          f" {large['spares']:,} kept, {large['spare_bytes']:,} bytes")
    if found.walk.torn:
        print(f"{found.walk.torn} pieces were changing while they were read")
    show_pins(found)


def show_pins(found):
    print("\nfree memory in slabs, the most first: what pins it"
          "\n  size    slabs      in use  free in memory   for each in use   slabs with up to"
          f" {FEW} in use, free there")
    for size, slabs, count, _, free, _, each, few, pinned in found.by_class()[:IN_TEXT]:
        print(f"{size:>6} {slabs:>8,} {count:>11,} {free:>15,} {each:>17,} {few:>18,} {pinned:>15,}")
    rows = found.pinned_by_few()[:IN_TEXT]
    if rows:
        print("\ngranules that few pin\n         address  what            in use  free in memory  by")
    for at, what, count, _, free, _, pins in rows:
        print(f"{at:>#16x}  {what:<14} {count:>7,} {free:>15,}  {report.addresses(pins)}")


# ---- as a page --------------------------------------------------------------------------

def page_data(found, what):
    return {
        "of": what, "granule": found.granule, "usable": found.heap.n["slab_usable"],
        "perChunk": found.heap.n["chunk_bytes"] // found.granule, "sizes": list(found.heap.class_bytes),
        "bytes": found.look.sum, "kinds": KINDS,
        "chunks": [[each.start, each.arena, each.first, each.count] for each in found.chunks],
        "kind": found.kind.decode(), "live": list(found.live), "free": list(found.free),
        "gone": list(found.gone), "sizeClass": list(found.size_class), "count": list(found.count),
        "pin": list(found.pin), "pinBytes": list(found.pin_bytes)}


def body(found, what):
    number, share, address, text, bar = report.number, report.share, report.address, report.text, report.bar
    look = found.look
    resident = "" if look.resident_bytes is None else f", {look.resident_bytes:,} bytes of it resident"
    largest = found.mappings[0][1] if found.mappings else 1
    return "".join((
        f"<header><h1>The heap of {text(what)}</h1><p>{time.strftime('%F %T %Z')}. "
        f"{sum(look.sum.values()):,} bytes of address space{resident}; {look.sum['in_use']:,} in use by the program. "
        f"{len(found.chunks):,} chunks of {found.heap.n['chunk_bytes'] >> 10:,} KiB; each cell is a granule of "
        f"{found.granule >> 10} KiB.{torn_words(found)}</p></header>",
        report.part("map.html"),
        report.sum_table(look.sum),
        report.table("classes", "Free memory in slabs, and the objects that pin it", (
            ("size", number), ("slabs", number), ("in use", number), ("bytes in use", number),
            ("free, in memory", number), ("given back or never used", number),
            ("free for each in use", number), (f"slabs with 1 to {FEW} in use", number),
            ("free in those", number)), found.by_class()),
        report.table("few", f"Granules with 1 to {FEW} in use: the most free memory for each first", (
            ("address", address), ("what", text), ("in use", number), ("bytes in use", number),
            ("free, in memory", number), ("given back or never used", number), ("pinned by", report.addresses)),
            found.pinned_by_few()),
        report.table("chunks", "Chunks", (
            ("address", address), ("block heap", number), ("bytes in use", number),
            ("free, in memory", number), ("given back or never used", number), ("fill", share),
            ("objects and blocks", number), ("the last in use", address)), found.by_chunk()),
        report.table("mappings", "Large mappings", (
            ("address", address), ("bytes", number), ("state", text), ("", bar)),
            [(at, size, "in use" if used else f"kept, {dirty:,} in memory at most", size / largest)
             for at, size, used, dirty in found.mappings])))


def torn_words(found):
    return f" {found.walk.torn} pieces were changing while they were read." if found.walk.torn else ""


# ---- the verb ---------------------------------------------------------------------------

def take(what):
    memory = osmem_heap.open_memory(what)
    try:
        found = Map(osmem_heap.Heap(memory))
        found.look.resident_bytes = found.look.resident()
        return found
    finally:
        memory.close()


def draw(options):
    found = take(options.what)
    what = f"process {options.what}" if options.what.isdigit() else os.path.basename(options.what)
    if not options.html:
        show_map(found, what)
        return 0
    report.write(options.html, report.page(f"osmem map: {what}", body(found, what),
                                           page_data(found, what), ["colours.js", "map.js"]))
    print(f"{options.html}: {len(found.kind):,} granules of {what}, for any browser")
    return 0


def add_verbs(verbs):
    each = verbs.add_parser("map", help="the heap as a picture")
    each.add_argument("what", metavar="PID|CORE")
    each.add_argument("--html", metavar="FILE", help="as a page for a browser, in one file")
    each.set_defaults(act=draw)
