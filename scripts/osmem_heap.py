# SPDX-License-Identifier: MIT
"""Reads osmem's heap from outside: of a running process, which is not stopped, or
of a core. Standard library only; src/layout.h says how the way in is found.

A process goes on while it is read. So each record is judged by itself: one that
contradicts itself (objects in use, for example, that are more than fit) was caught
half way through a change, and is counted as torn, not believed.
"""

import array
import bisect
import collections
import contextlib
import itertools
import mmap
import os
import struct

VERSION = 4

# The fields of src/layout.h, LAYOUT_FIELDS, in its order.
FIELDS = """
region.base region.bytes
chunk.slabs chunk.info
chunk_info.magic chunk_info.arena chunk_info.next chunk_info.limit chunk_info.end_bytes
slab.owner slab.free slab.salt slab.carved slab.countdown slab.wake slab.purged
slab.size_class slab.later
remote.head
block.prev_bytes block.header block.next block.seal
arena.threads arena.deferred arena.waiting arena.chunks arena.older_bytes arena.top
arena.limit arena.fresh arena.resident arena.live_bytes arena.live_count
arena.free_bytes arena.free_blocks arena.clean_bytes arena.slabs
theap.arena theap.cached_bytes theap.cache_limit theap.cache theap.next
theap.known_dead theap.unused theap.alive
mapping.base mapping.bytes mapping.dirty_bytes mapping.older mapping.state
mapping_list.oldest mapping_list.youngest mapping_list.count mapping_list.bytes
sys_counters.calls sys_counters.bytes_in sys_counters.bytes_out
sys_counters.bytes_held sys_counters.bytes_peak sys_counters.bytes_back
secrets.block secrets.cache secrets.chunk
samples.rate samples.count samples.records samples.newest samples.all
samples.live samples.peak samples.peak_number samples.taken samples.missed samples.used
samples.index_log samples.index
sample.payload sample.asked sample.chance_bytes sample.rate sample.stack sample.since_ns
sample.thread
stack.older stack.all stack.live stack.peak stack.peak_number stack.freed stack.elsewhere stack.depth
guards.base guards.bytes guards.slots
guard_slot.payload guard_slot.asked guard_slot.asked_by guard_slot.freed_by
guard_slot.asked_thread guard_slot.freed_thread guard_slot.freed
""".split()
NUMBERS = ("granule_bytes chunk_bytes slab_usable regions_max arenas_max cache_bins mapping_states"
           " block_bytes_mask block_vouched block_tag_shift block_used block_purged block_sampled"
           " slab_record_bytes region_record_bytes list_record_bytes arena_record_bytes"
           " heap_record_bytes sample_record_bytes stack_record_bytes guard_slots guard_record_bytes").split()
ROOTS = "regions arenas heaps mappings counters secrets list_end page_bytes samples guards left_alone".split()
HEAD = struct.Struct("<8s4H%dI%dQ" % (len(NUMBERS), len(ROOTS)))
SIGNED = {1: "B", 2: "h", 4: "I", 8: "Q"}
SLAB_FIELDS = "slab.carved slab.countdown slab.wake slab.purged slab.size_class".split()
REMOTE_COUNT_SHIFT = 48
PT_LOAD, PT_NOTE, NT_OSMEM = 1, 4, 1
NT_PRSTATUS, NT_AUXV, NT_SIGINFO, NT_FILE = 1, 6, 0x53494749, 0x46494c45
AT_RANDOM = 25
PRSTATUS_REGISTERS = 112  # where they begin in it, on 64-bit machines
PAGE = os.sysconf("SC_PAGESIZE")
GUARD = 1 << 58  # of a page's word in /proc/PID/pagemap: nobody may touch it (MADV_GUARD_INSTALL), Linux 6.15
MAPPING_FREED, MAPPING_LIVE, MAPPING_SPARE, MAPPING_EMPTYING = range(4)


Area = collections.namedtuple("Area", "start end rights offset name")
Root = collections.namedtuple("Root", "start end is_first_stack is_guarded own")


def area_of(line):
    """Of a line of /proc/PID/maps."""
    part = line.split(None, 5)
    return Area(*(int(each, 16) for each in part[0].split("-")), part[1], int(part[2], 16), part[5].rstrip() if len(part) > 5 else "")


def file_at(areas, address):
    for area in areas:
        if area.start <= address < area.end and area.name.startswith("/"):
            return f"{os.path.basename(area.name)}+{address - area.start + area.offset:#x}"
    return None


# The parts of Look.sum, in words; above None what can be in memory.
LINES = (
    ("in_use", "in use by the program"),
    ("slab_waiting", "freed by other threads, not taken back yet"),
    ("slab_free", "free objects in slabs"),
    ("caches", "cached by threads"),
    ("blocks_dirty", "free blocks, in memory"),
    ("top_dirty", "ends of block heaps, in memory"),
    ("spares", "freed mappings that are kept"),
    ("metadata", "metadata"),
    (None, "= can be in memory"),
    ("slab_purged", "pages of slabs that were given back"),
    ("slab_fresh", "slabs, never used yet"),
    ("blocks_clean", "free blocks that were given back"),
    ("top_fresh", "ends of block heaps, never used yet"),
)
ACTIVE = [name for name, _ in LINES[:LINES.index((None, "= can be in memory"))]]


class Unreadable(Exception):
    """Why the heap cannot be read, in one line for a person, and the remedy."""


class LeftAlone(Unreadable):
    """There is one, but no heap of its own."""


# ---- memory -----------------------------------------------------------------------------

def spare_memory():
    """Bytes that the machine has for us."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 1 << 30


class Process:
    """The memory of a running process."""

    def __init__(self, pid):
        self.name, self.pid = f"process {pid}", pid
        try:
            with open(f"/proc/{pid}/maps") as maps:
                self.maps = [area_of(line) for line in maps]
            self.memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        except (FileNotFoundError, ProcessLookupError):
            raise Unreadable(f"no process {pid}") from None
        except PermissionError:
            raise Unreadable(f"process {pid} may not be looked into: be its user, or root; see"
                             " ptrace(2), PTRACE_MODE_ATTACH_FSCREDS, and"
                             " /proc/sys/kernel/yama/ptrace_scope") from None
        if not self.maps:
            os.close(self.memory)
            raise Unreadable(f"process {pid} has ended, or is the kernel's own")
        self.starts = [area.start for area in self.maps
                       if area.rights[0] == "r" and area.offset == 0]

    def roots(self):
        """What the program may keep pointers in: all that it can read, but for devices, and of
        files only pages that it has written to for itself."""
        before = None
        for area in self.maps:
            is_guarded = before is not None and before.end == area.start and before.rights[:3] == "---"
            before = area
            in_memory = area.name.startswith(("/memfd:", "/dev/zero", "/dev/shm/", "/SYSV"))
            private = area.rights[3] == "p" and not area.name.startswith(("/dev/", "[v"))
            if area.rights[0] == "r" and (in_memory or private):
                for start, end, is_behind in self.between_guards(area):
                    yield Root(start, end, area.name == "[stack]", is_guarded or is_behind, not in_memory)

    def between_guards(self, area):
        """(start, end, behind one?) of its parts: glibc 2.42 and later guard a stack by pages of its own, which may lie in one area with others."""
        if area.name:
            yield area.start, area.end, False
            return
        at, is_behind = area.start, False
        for is_guard, run in itertools.groupby(self.pages(area.start, area.end), lambda each: each & GUARD):
            end = at + PAGE * sum(1 for _ in run)
            if not is_guard:
                yield at, end, is_behind
            at, is_behind = end, bool(is_guard)

    def file_at(self, address):
        """FILE+0xOFFSET, where a file is mapped there; or None."""
        return file_at(self.maps, address)

    def read(self, address, size):
        copied = self.copied(address, address + size)
        if copied is not None:
            return copied
        try:
            data = os.pread(self.memory, size, address)
        except (OSError, OverflowError):
            data = b""
        if len(data) < size:
            raise Unreadable(f"{self.name}: {size} bytes at {address:#x} are not there")
        return data

    copies, copy_starts = [], []

    def copy(self):
        """What the program has for itself, in one go, so that what is read from now on is of about one moment; as far as there is memory for it."""
        self.let_go()
        left = spare_memory() // 2
        copies = []
        for area in self.maps:
            if area.rights[0] != "r" or area.rights[3] != "p" or area.name.startswith(("/", "[v")):
                continue
            for at, size, there in self.runs(area.start, area.end):
                if there and size <= left:
                    copies.append((at, at + size, self.read_or_zeros(at, size)))
                    left -= size
        self.copies, self.copy_starts = copies, [start for start, _, _ in copies]

    def let_go(self):
        """What is read is the process's own again, as it is then."""
        self.copies, self.copy_starts = [], []

    def copied(self, start, end):
        i = bisect.bisect_right(self.copy_starts, start) - 1
        if i < 0 or end > self.copies[i][1]:
            return None
        begin, _, data = self.copies[i]
        return data[start - begin:end - begin]

    def pages(self, start, end):
        """What the kernel says of each."""
        first, count = start // PAGE, -(-end // PAGE) - start // PAGE
        try:
            with open(f"/proc/{self.pid}/pagemap", "rb", buffering=0) as file:
                file.seek(first * 8)
                data = file.read(count * 8)
        except OSError:
            data = b""
        if not data:
            raise Unreadable(f"process {self.pid} has ended meanwhile")
        return array.array("Q", data)

    def runs(self, start, end, own=False):
        """(address, bytes, are they there?) of whole pages; own: that the process has written to."""
        at = start // PAGE * PAGE
        for there, run in itertools.groupby(
                self.pages(start, end), lambda each: bool(each >> 62 and not each & GUARD and not (own and each >> 61 & 1))):
            size = PAGE * sum(1 for _ in run)
            yield at, size, there
            at += size

    def image(self, start, end, own=False):
        """That range with zeros where no page is, or (own) none that the process has written
        to. Pages that are not there are not touched: the kernel would make them."""
        parts = [self.read_or_zeros(at, size) if there else bytes(size) for at, size, there in self.runs(start, end, own)]
        return b"".join(parts)[start % PAGE:start % PAGE + end - start]

    def read_or_zeros(self, address, size):
        try:
            return self.read(address, size)
        except Unreadable:  # gone since
            return bytes(size)

    def close(self):
        os.close(self.memory)

    def resident(self, ranges):
        """Bytes in memory of each mapping that one of the (start, end) ranges lies in."""
        sums, inside = 0, False
        try:
            with open(f"/proc/{self.pid}/smaps") as smaps:
                lines = smaps.readlines()
        except OSError:
            raise Unreadable(f"process {self.pid} has ended meanwhile") from None
        if lines:
            for line in lines:
                first = line.split(None, 1)[0]
                if "-" in first:
                    start, end = (int(part, 16) for part in first.split("-"))
                    inside = any(start < b and a < end for a, b in ranges)
                elif inside and first == "Rss:":
                    sums += int(line.split()[1]) * 1024
        return sums


class Core:
    """The memory in a core file."""

    def __init__(self, path):
        self.name = path
        try:
            with open(path, "rb") as file:
                self.file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Unreadable(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        if len(self.file) < 64 or self.file[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", self.file, 16)[0] != 4:
            raise Unreadable(f"{path}: not a core file of a 64-bit program")
        self.loads = [(address, address + size, offset)
                      for kind, offset, address, size in program_headers(self.file)
                      if kind == PT_LOAD and size]
        self.loads.sort()
        missing = max((offset + end - start for start, end, offset in self.loads), default=0) - len(self.file)
        if missing > 0:
            raise Unreadable(f"{path}: {missing:,} bytes are missing at its end: see ulimit -c, or the disk")
        self.notes = [(name, kind, self.file[offset + begin:offset + begin + size])
                      for kind_, offset, _, bytes_ in program_headers(self.file) if kind_ == PT_NOTE
                      for name, kind, begin, size in notes(self.file[offset:offset + bytes_])]
        self.maps = list(self.areas())
        self.starts = [start for start, _, _ in self.loads]

    def note(self, kind):
        return next((data for name, each, data in self.notes if each == kind), b"")

    def roots(self):
        auxv = dict(struct.iter_unpack("<QQ", self.note(NT_AUXV)))
        for start, end, _ in self.loads:  # the kernel leaves out pages of files that are as they were
            yield Root(start, end, start <= auxv.get(AT_RANDOM, 0) < end, False, False)

    def thread_words(self):
        """The machine's registers of each thread."""
        for name, kind, data in self.notes:
            if kind == NT_PRSTATUS and name == b"CORE":
                yield list(struct.unpack_from("<%dQ" % ((len(data) - PRSTATUS_REGISTERS) // 8), data,
                                              PRSTATUS_REGISTERS))

    def file_at(self, address):
        """FILE+0xOFFSET, where a file was mapped there; or None."""
        return file_at(self.maps, address)

    def areas(self):
        """Of its list of mapped files."""
        data = self.note(NT_FILE)
        if not data:
            return
        count, page = struct.unpack_from("<QQ", data)
        names = data[16 + 24 * count:].split(b"\0")
        for i in range(count):
            start, end, offset = struct.unpack_from("<QQQ", data, 16 + 24 * i)
            yield Area(start, end, "", offset * page, os.fsdecode(names[i]))

    def read(self, address, size):
        """From as many segments as that lies in."""
        parts, at = [], address
        while at < address + size:
            load = next((each for each in self.loads if each[0] <= at < each[1]), None)
            if not load:
                raise Unreadable(f"{self.name}: {size} bytes at {address:#x} are not in it:"
                                 " see core(5), coredump_filter")
            start, end, offset = load
            to = min(end, address + size)
            parts.append(self.file[offset + at - start:offset + to - start])
            at = to
        return b"".join(parts)

    def read_or_zeros(self, address, size):
        return self.image(address, address + size)

    def image(self, start, end, own=False):
        """That range with zeros where the core has nothing."""
        parts, at = [], start
        for begin, to, offset in self.loads:
            begin, to = max(begin, start), min(to, end)
            if begin < to:
                parts += bytes(begin - at), self.read(begin, to - begin)
                at = to
        return b"".join((*parts, bytes(end - at)))

    def close(self):
        self.file.close()

    def resident(self, ranges):
        return None


def program_headers(image):
    """(type, offset, address, bytes in the file) of each, as far as they are in the image."""
    table, = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for i in range(count):
        if table + (i + 1) * size > len(image):
            return
        kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", image,
                                                                  table + i * size)
        yield kind, offset, address, in_file


def notes(data):
    """(name, type, where it begins, bytes) of each ELF note."""
    at = 0
    while at + 12 <= len(data):
        name_bytes, size, kind = struct.unpack_from("<III", data, at)
        begin = at + 12 + (name_bytes + 3 & -4)
        yield data[at + 12:at + 12 + name_bytes].rstrip(b"\0"), kind, begin, size
        at = begin + (size + 3 & -4)


def is_core(path):
    try:
        with open(path, "rb") as file:
            head = file.read(18)
    except OSError:
        return False
    return head[:4] == b"\x7fELF" and head[16:18] == b"\4\0"


def open_memory(what):
    """Of a process, by its number, or of a core, by its path."""
    return Process(int(what)) if str(what).isdigit() else Core(what)


# ---- the way in -------------------------------------------------------------------------

def layout_address(memory, start):
    """Where the image that begins at `start` says that the layout is; None: it is not osmem's."""
    try:
        page = memory.read(start, 4096)
    except Unreadable:
        return None
    if page[:6] != b"\x7fELF\x02\x01":
        return None
    headers = list(program_headers(page))
    base = min((address & -4096 for kind, _, address, _ in headers if kind == PT_LOAD), default=0)
    for kind, _, address, size in headers:
        if kind != PT_NOTE:
            continue
        try:
            image = memory.read(start - base + address, size)
        except Unreadable:
            continue
        for name, note, begin, bytes_ in notes(image):
            if name == b"osmem" and note == NT_OSMEM and bytes_ == 8:
                distance, = struct.unpack_from("<q", image, begin)
                return start - base + address + begin + distance
    return None


def heads(memory):
    """(address, bytes) of what is told of each layout. A program may also have the file mapped, to read it: that is none."""
    for start in memory.starts:
        address = layout_address(memory, start)
        if address is None:
            continue
        with contextlib.suppress(Unreadable):
            head = memory.read(address, HEAD.size)
            if head.startswith(b"osmemlay"):
                yield address, head


class Heap:
    """One osmem in one memory."""

    readers = None

    def __init__(self, memory):
        self.memory = memory
        address, head = next(heads(memory), (None, None))
        if address is None:
            raise Unreadable(f"{memory.name} is not on osmem (or on one too old to be read)")
        _, version, _, fields, classes, *rest = HEAD.unpack(head)
        if version != VERSION or fields != len(FIELDS):
            raise Unreadable(f"{memory.name}: layout {version} of osmem, where this tool knows"
                             f" {VERSION}: use the tool that came with that library")
        self.version = version
        self.n = dict(zip(NUMBERS, rest))
        self.root = dict(zip(ROOTS, rest[len(NUMBERS):]))
        table = struct.unpack("<%dH" % (2 * fields + classes),
                              memory.read(address + HEAD.size, 4 * fields + 2 * classes))
        self.field = {name: (table[2 * i], table[2 * i + 1]) for i, name in enumerate(FIELDS)}
        self.class_bytes = table[2 * fields:]
        why, = self.words(self.root["left_alone"], 1)
        if why:
            raise LeftAlone(f"{memory.name} is left alone by osmem ({self.text(why)}): another malloc serves it")

    # -- records --

    def get(self, address, *names):
        """Those fields of the struct at the address, read at once."""
        wanted = [self.field[name] for name in names]
        first = min(offset for offset, _ in wanted)
        last = max(offset + size for offset, size in wanted)
        return self.pick(self.memory.read(address + first, last - first), -first, *names)

    def pick(self, data, at, *names):
        """Those fields of a struct that begins at `at` in the data."""
        values = [int.from_bytes(data[at + offset:at + offset + size], "little")
                  for offset, size in (self.field[name] for name in names)]
        return values if len(values) > 1 else values[0]

    def words(self, address, count):
        return struct.unpack("<%dQ" % count, self.memory.read(address, 8 * count))

    def text(self, address, most=64):
        """A string of the library's, or its beginning."""
        return self.memory.read(address, most).split(b"\0")[0].decode(errors="replace")

    # -- what there is --

    def regions(self):
        size = self.n["region_record_bytes"]
        table = self.memory.read(self.root["regions"], size * self.n["regions_max"])
        for i in range(self.n["regions_max"]):
            base, length = self.pick(table, i * size, "region.base", "region.bytes")
            if length:
                yield base, length

    def arenas(self):
        return [a for a in self.words(self.root["arenas"], self.n["arenas_max"]) if a]

    def chunks(self, arena):
        """(address, its first granule) of each chunk, the newest first."""
        seen, chunk = set(), self.get(arena, "arena.chunks")
        while chunk and chunk not in seen:
            seen.add(chunk)
            data = self.memory.read(chunk, self.n["granule_bytes"])
            yield chunk, data
            chunk = self.pick(data, self.field["chunk.info"][0], "chunk_info.next")

    def chunk_limit(self, data):
        return self.pick(data, self.field["chunk.info"][0], "chunk_info.limit")

    def record_struct(self, size, names):
        """Reads those fields of each of many records of that size; one of two bytes is signed."""
        form, at = "<", 0
        for name in names:
            offset, width = self.field[name]
            form += f"{offset - at}x{SIGNED[width]}"
            at = offset + width
        return struct.Struct(f"{form}{size - at}x")

    def slabs(self, chunk, data):
        """(granule's address, carved, countdown, wake, purged, class, objects on the remote list)
        of each slab of a chunk."""
        granule, size = self.n["granule_bytes"], self.n["slab_record_bytes"]
        if not self.readers:
            self.readers = (self.record_struct(size, ("slab.owner", *SLAB_FIELDS)),
                            self.record_struct(size, ("remote.head",)))
        begin = self.field["chunk.slabs"][0]
        records = self.readers[0].iter_unpack(data[begin:begin + self.field["chunk.slabs"][1]])
        heads = self.readers[1].iter_unpack(data[:self.field["chunk.slabs"][1]])
        end = min(chunk + self.n["chunk_bytes"], self.chunk_limit(data))
        last = chunk + granule * (self.field["chunk.slabs"][1] // size)  # the first record's
        return [(at, *state, head >> REMOTE_COUNT_SHIFT)
                for at, (owner, *state), (head,) in zip(range(last, chunk, -granule), records, heads)
                if owner and at + granule <= end]

    def heaps(self):
        seen, heap = set(), self.words(self.root["heaps"], 1)[0]
        while heap and heap not in seen:
            seen.add(heap)
            yield heap
            heap = self.get(heap, "theap.next")

    def mapping_records(self, state):
        """(record's address, base, bytes) of each in that state, the youngest first."""
        listed = self.root["mappings"] + state * self.n["list_record_bytes"]
        seen, record = set(), self.get(listed, "mapping_list.youngest")
        while record and record not in seen:
            seen.add(record)
            base, size, older, is_in = self.get(record, "mapping.base", "mapping.bytes",
                                                "mapping.older", "mapping.state")
            if is_in != state:
                return
            yield record, base, size
            record = older

    def mappings(self, state):
        """(base, bytes, bytes in memory at most) of each in that state."""
        for record, base, size in self.mapping_records(state):
            yield base, size, self.get(record, "mapping.dirty_bytes") \
                if state != MAPPING_LIVE else size


# ---- one look ---------------------------------------------------------------------------

class Look:
    """What one look found: a sum that adds up, and tables."""

    def __init__(self, heap):
        self.heap, self.torn = heap, 0
        self.ranges = list(heap.regions())
        self.classes = {size: dict.fromkeys(("slabs", "live", "waiting", "free", "purged"), 0)
                        for size in heap.class_bytes}
        self.sum = dict.fromkeys(("in_use", "slab_free", "slab_waiting", "slab_purged",
                                  "slab_fresh", "caches", "blocks_dirty", "blocks_clean",
                                  "top_dirty", "top_fresh", "spares", "metadata"), 0)
        self.page = heap.words(heap.root["page_bytes"], 1)[0]
        self.arena_rows = [self.look_at_arena(arena) for arena in heap.arenas()]
        self.thread_rows = [self.look_at_thread(each) for each in heap.heaps()]
        self.look_at_mappings()
        self.counters = self.look_at_counters()
        # Behind a chunk's limit nothing was ever used; the rest of what nothing has named
        # are the sentinels of chunks, and the records of mappings, arenas and threads.
        regions = sum(size for _, size in heap.regions())
        self.sum["top_fresh"] += max(0, regions - self.in_chunks)
        self.sum["metadata"] += max(0, self.in_chunks - self.named)
        self.sum["metadata"] += max(0, self.counters["bytes_held"] - self.mapped - regions)

    in_chunks = named = mapped = 0

    def look_at_slabs(self, number, carved, countdown, wake, purged, size_class, remote):
        """So many slabs are in that state; the bytes of those that can be."""
        heap, used = self.heap, countdown + wake
        carved &= 0xffff
        size = heap.class_bytes[size_class] if size_class < len(heap.class_bytes) else 0
        capacity = heap.n["slab_usable"] // size if size else 0
        if not 0 <= remote <= used <= capacity or carved > capacity * size:
            self.torn += number
            return 0
        row = self.classes[size]
        gone = bin(purged).count("1") * self.page
        free = max(0, carved - used * size - gone)
        row["slabs"] += number
        row["live"] += number * (used - remote)
        row["waiting"] += number * remote
        row["free"] += number * ((carved - used * size) // size)
        row["purged"] += number * gone
        for name, each in (("in_use", (used - remote) * size), ("slab_waiting", remote * size),
                           ("slab_free", free), ("slab_purged", gone),
                           ("slab_fresh", heap.n["granule_bytes"] - used * size - free - gone)):
            self.sum[name] += number * each
        return number * heap.n["granule_bytes"]

    def look_at_arena(self, arena):
        heap = self.heap
        (chunks, top, limit, resident, live, blocks, free, free_blocks, clean) = heap.get(
            arena, "arena.chunks", "arena.top", "arena.limit", "arena.resident",
            "arena.live_bytes", "arena.live_count", "arena.free_bytes", "arena.free_blocks",
            "arena.clean_bytes")
        states, count = collections.Counter(), 0
        for chunk, data in heap.chunks(arena):
            count += 1
            self.sum["metadata"] += heap.n["granule_bytes"]
            self.named += heap.n["granule_bytes"]
            self.in_chunks += heap.chunk_limit(data) - chunk
            states.update(slab[1:] for slab in heap.slabs(chunk, data))
        slabs = sum(self.look_at_slabs(number, *state) for state, number in states.items())
        above = limit - top if chunks else 0
        dirty = min(above, max(0, resident - top)) if chunks else 0
        self.sum["in_use"] += live
        self.sum["blocks_dirty"] += max(0, free - clean)
        self.sum["blocks_clean"] += min(free, clean)
        self.sum["top_dirty"] += dirty
        self.sum["top_fresh"] += above - dirty
        self.named += slabs + live + free + above
        return {"chunks": count, "slab_bytes": slabs, "live_blocks": blocks, "live_bytes": live,
                "free_blocks": free_blocks, "free_bytes": free, "clean_bytes": clean,
                "top_bytes": above}

    def look_at_thread(self, theap):
        cached, limit, dead, unused = self.heap.get(
            theap, "theap.cached_bytes", "theap.cache_limit", "theap.known_dead", "theap.unused")
        self.sum["caches"] += cached
        self.sum["in_use"] -= cached  # to its arena a cached block is one in use
        return {"cached_bytes": cached, "cache_limit": limit,
                "state": "unused" if unused else "ended" if dead else "lives"}

    def look_at_mappings(self):
        heap = self.heap
        self.large = {"live": 0, "live_bytes": 0, "spares": 0, "spare_bytes": 0}
        for state, kind in ((MAPPING_LIVE, "live"), (MAPPING_SPARE, "spares"),
                            (MAPPING_EMPTYING, "spares")):
            for base, size, dirty in heap.mappings(state):
                self.large[kind] += 1
                self.large["live_bytes" if kind == "live" else "spare_bytes"] += size
                self.sum["in_use" if kind == "live" else "spares"] += size
                self.ranges.append((base, size))
                self.mapped += size
        self.ranges.sort()

    def look_at_counters(self):
        counters = self.heap.get(self.heap.root["counters"], "sys_counters.bytes_in",
                                 "sys_counters.bytes_out", "sys_counters.bytes_held",
                                 "sys_counters.bytes_peak", "sys_counters.bytes_back")
        return dict(zip(("bytes_in", "bytes_out", "bytes_held", "bytes_peak", "bytes_back"),
                        counters))

    def resident(self):
        return self.heap.memory.resident([(base, base + size) for base, size in self.ranges])


def active_bytes(look):
    """What can be in memory: all but what was given back or never touched."""
    return sum(look.sum[name] for name in ACTIVE)


def look(what):
    memory = open_memory(what)
    try:
        result = Look(Heap(memory))
        result.resident_bytes = result.resident()
        return result
    finally:
        memory.close()
