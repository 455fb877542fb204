# SPDX-License-Identifier: MIT
"""Addresses of code become frames: function, file and line, inlined ones included. Standard library only.

Asked, once for each file, is llvm-symbolizer, else addr2line; what neither names, and all where there is
neither, is looked up in the file's own table of symbols. What stays unknown is `file+0xoffset`.

Nothing here waits for long, or fails: who has no answer in time, and a file that is broken, are named
on stderr, and the names are unknown.
"""

import bisect
import collections
import contextlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import osmem_heap

PATIENCE_S = 120  # for all files together
DEBUGINFOD_S = 20  # for one file from the network; who does not answer once is not asked again
TABLE_MAX_BYTES = 128 << 20  # two seconds to read
HEAD_BYTES = 1 << 16
DEBUG_FOLDER = "/usr/lib/debug"
SHT_SYMTAB, SHT_DYNSYM, SHT_NOBITS = 2, 11, 8
STT_FUNC, STT_GNU_IFUNC = 2, 10
BROKEN = OSError, ValueError, struct.error, OverflowError, MemoryError  # what a file that is none may end in
NT_GNU_BUILD_ID = 3
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
DELETED = " (deleted)"

Frame = collections.namedtuple("Frame", "function file line", defaults=("", 0))
Section = collections.namedtuple("Section", "name kind offset size link")

warned = set()


def warn(text):
    if text not in warned:
        warned.add(text)
        with contextlib.suppress(OSError):  # nobody hears it
            print(f"osmem: {text}", file=sys.stderr)


# ---- ELF --------------------------------------------------------------------------------

class Elf:
    """As far as symbols, build-id and what leads to debug information go. ValueError: it is none, or broken."""

    def __init__(self, read):
        """read(offset, size): bytes of the file; fewer at its end."""
        self.read = read
        head = read(0, HEAD_BYTES)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit ELF file")
        self.headers = list(osmem_heap.program_headers(head))
        self.sections = {section.name: section for section in self.read_sections(head)}
        self.build_id = build_id(self.headers, read)

    @classmethod
    def of_file(cls, path):
        with open(path, "rb") as file:  # OSError is the caller's
            descriptor = os.dup(file.fileno())
        elf = cls.__new__(cls)
        elf.descriptor = descriptor  # closed with it, see __del__
        elf.__init__(lambda offset, size: os.pread(descriptor, size, offset))
        return elf

    descriptor = None

    def __del__(self):
        if self.descriptor is not None:
            os.close(self.descriptor)

    def read_sections(self, head):
        table, = struct.unpack_from("<Q", head, 40)
        size, count, names = struct.unpack_from("<HHH", head, 58)
        if not table or size != SECTION.size:
            return
        records = list(SECTION.iter_unpack(whole(self.read(table, size * count), size)))
        text = self.read(*records[names][4:6]) if names < len(records) and records[names][5] < HEAD_BYTES else b""
        for name, kind, _, _, offset, bytes_, link, *_ in records:
            yield Section(text[name:text.find(b"\0", name)].decode("ascii", "replace"), kind, offset, bytes_, link)

    def address_of(self, offset):
        """What the file has at that offset is meant for that address; None: for none."""
        for kind, begin, address, size in self.headers:
            if kind == osmem_heap.PT_LOAD and begin <= offset < begin + size:
                return address + offset - begin
        return None

    def has(self, name):
        return name in self.sections and self.sections[name].kind != SHT_NOBITS

    def debug_link(self):
        """(name, checksum) of the file that holds the debug information."""
        if not self.has(".gnu_debuglink"):
            return None
        section = self.sections[".gnu_debuglink"]
        data = self.read(section.offset, min(section.size, 4096))
        name = data.split(b"\0")[0]
        at = len(name) + 4 & -4
        return (os.fsdecode(name), struct.unpack_from("<I", data, at)[0]) if len(data) >= at + 4 else None

    def symbols(self):
        """(address, size, name) of functions, by address."""
        found = {}
        sections = list(self.sections.values())
        for table in (each for each in sections if each.kind in (SHT_DYNSYM, SHT_SYMTAB)):
            names = self.sections.get(".strtab" if table.kind == SHT_SYMTAB else ".dynstr")
            if not names or table.size + names.size > TABLE_MAX_BYTES:
                raise ValueError("its table of symbols is too large, or has no names")
            text = self.read(names.offset, names.size)
            for name, info, _, section, value, size in SYMBOL.iter_unpack(
                    whole(self.read(table.offset, table.size), SYMBOL.size)):
                if section and info & 15 in (STT_FUNC, STT_GNU_IFUNC):
                    found[value] = size, text[name:text.find(b"\0", name)]
        return [(value, *found[value]) for value in sorted(found)]


def whole(data, size):
    return data[:len(data) // size * size]


def build_id(headers, read):
    for kind, offset, _, size in headers:
        if kind == osmem_heap.PT_NOTE and size < HEAD_BYTES:
            data = read(offset, size)
            for name, note, begin, bytes_ in osmem_heap.notes(data):
                if name == b"GNU" and note == NT_GNU_BUILD_ID:
                    return data[begin:begin + bytes_].hex()
    return ""


# ---- separate debug information -----------------------------------------------------------

def checksum(path):
    found = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            found = zlib.crc32(part, found)
    return found


def belongs(path, elf, link_checksum=None):
    """Is that the debug information of this file?"""
    try:
        found = Elf.of_file(path)
        if elf.build_id and found.build_id:
            return elf.build_id == found.build_id
        return link_checksum == checksum(path)
    except BROKEN:
        return False


def debug_candidates(elf, path, roots):
    """(path, checksum) where it may lie."""
    for root in roots:
        if len(elf.build_id) > 2:
            yield f"{root}{DEBUG_FOLDER}/.build-id/{elf.build_id[:2]}/{elf.build_id[2:]}.debug", None
    link = elf.debug_link()
    if link:
        folder = os.path.dirname(path)
        for root in roots:
            for each in (folder, f"{folder}/.debug", DEBUG_FOLDER + folder):
                yield f"{root}{each}/{link[0]}", link[1]


NO_SERVER = "debuginfod-find has no answer in time: it is asked no more, and names may be missing"


def ask_debuginfod(elf):
    """Only of who has named a server."""
    if NO_SERVER in warned or not (os.environ.get("DEBUGINFOD_URLS") and elf.build_id and shutil.which("debuginfod-find")):
        return None
    try:
        done = subprocess.run(["debuginfod-find", "debuginfo", elf.build_id], stdin=subprocess.DEVNULL, timeout=DEBUGINFOD_S,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(keep_servers=True))
    except (OSError, subprocess.TimeoutExpired):
        warn(NO_SERVER)
        return None
    return os.fsdecode(done.stdout.strip()) if done.returncode == 0 else None


def debug_file(elf, path, roots):
    """The file that says most of the addresses: this one itself, or one beside it."""
    if elf.has(".debug_info"):
        return None
    return next((each for each, link_checksum in debug_candidates(elf, path, roots)
                 if os.path.isfile(each) and belongs(each, elf, link_checksum)), None) or ask_debuginfod(elf)


# ---- names --------------------------------------------------------------------------------

RUST_SIGNS = {"$LT$": "<", "$GT$": ">", "$RF$": "&", "$BP$": "*", "$C$": ",", "$LP$": "(", "$RP$": ")", "$SP$": "@",
              "$u20$": " ", "$u27$": "'", "$u5b$": "[", "$u5d$": "]", "$u7b$": "{", "$u7d$": "}", "$u7e$": "~", "..": "::"}
RUST_SIGN = re.compile("|".join(map(re.escape, RUST_SIGNS)))
RUST_HASH = re.compile(r"::h[0-9a-f]{16}$")
CLONE = re.compile(r"( (\(|\[clone )\.[\w.]+[])])+$|(\.(isra|part|constprop|cold|lto_priv|llvm)(\.\d+)*)+$|@@?[A-Z]\w*_[\d.]+$")


def shown(name):
    """For people, on a terminal: without what compilers add, and no control characters."""
    name = CLONE.sub("", name)
    plain = RUST_HASH.sub("", name)
    if plain != name or "$LT$" in name:  # what older Rust mangles is C++'s, with signs of its own
        name = RUST_SIGN.sub(lambda found: RUST_SIGNS[found[0]], re.sub(r"(^|::)_\$", r"\1$", plain))
    return name if name.isprintable() else "".join(c if c.isprintable() else "?" for c in name)


# ---- who is asked -------------------------------------------------------------------------

def environment(keep_servers=False):
    """A tool is not to be looked at itself; and none asks the network by itself."""
    without = {"LD_PRELOAD", "OSMEM_OPTIONS"} | (set() if keep_servers else {"DEBUGINFOD_URLS"})
    return {name: value for name, value in os.environ.items() if name not in without}


def asking(path):
    """The command that reads addresses and writes frames; None: nobody is there to ask."""
    if shutil.which("llvm-symbolizer"):
        return ["llvm-symbolizer", "--output-style=GNU", "--addresses", "--inlines", "--demangle", "--functions", f"--obj={path}"]
    if shutil.which("addr2line"):
        return ["addr2line", "-a", "-i", "-f", "-C", "-e", path]
    return None


def place(text):
    """(file, line) of `file:line (discriminator 3)`. A file without a line is only what a table of symbols calls it."""
    file, _, line = text.split(" (disc")[0].rpartition(":")
    return (shown(file), int(line)) if line.isdigit() and int(line) and file not in ("", "??") else ("", 0)


def parsed(answer):
    """{address: frames}, the innermost first: for each an address, then a line of the function and one of the place, in turns."""
    found, frames, lines = {}, [], answer.splitlines()
    at = 0
    while at < len(lines):
        if lines[at].startswith("0x"):
            frames = found[int(lines[at], 16)] = []
            at += 1
        elif at + 1 < len(lines) and lines[at]:
            frames.append(Frame(shown(lines[at]) if lines[at] != "??" else "", *place(lines[at + 1])))
            at += 2
        else:
            at += 1
    return {address: frames for address, frames in found.items() if frames and all(each.function for each in frames)}


def is_sure(frames):
    """Without a line it is a guess by symbols: that of addr2line may have ended long before the address."""
    return bool(shutil.which("llvm-symbolizer")) or any(frame.file for frame in frames)


def ask(path, addresses, seconds):
    """{address: frames} of those that it knows."""
    command = asking(path)
    if not command or seconds <= 0:
        return {}
    try:
        with tempfile.TemporaryFile() as asked:  # no pipe: one that ends at a broken file would end us by SIGPIPE
            asked.write("".join(f"{each:#x}\n" for each in addresses).encode())
            asked.seek(0)
            done = subprocess.run(command, stdin=asked, timeout=seconds, encoding="utf-8", errors="replace", stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, env=environment())
        return parsed(done.stdout)
    except subprocess.TimeoutExpired:
        warn(f"{path}: {command[0]} has no answer in time: its lines are unknown")
    except (OSError, ValueError) as why:
        warn(f"{path}: {command[0]}: {why}")
    return {}


def look_up(elf, addresses):
    """{address: frames} by its own symbols."""
    symbols = elf.symbols()
    starts = [start for start, _, _ in symbols]
    found = {}
    for address in addresses:
        i = bisect.bisect_right(starts, address) - 1
        if i >= 0 and (symbols[i][1] == 0 or address < starts[i] + symbols[i][1]):
            found[address] = [Frame(shown(symbols[i][2].decode("utf-8", "replace")))]
    return found


# ---- a mapped file --------------------------------------------------------------------------

def own_vdso(size):
    """This process's, which is the kernel's for all."""
    with open("/proc/self/maps") as maps:
        line = next((each.split("-") for each in maps if each.endswith("[vdso]\n")), None)
    if not line:
        raise ValueError("there is none")
    start = int(line[0], 16)
    if int(line[1].split()[0], 16) - start != size:
        raise ValueError("that of another kernel")
    with open("/proc/self/mem", "rb") as memory:
        memory.seek(start)
        image = memory.read(size)
    return Elf(lambda offset, bytes_: image[offset:offset + bytes_])


class Module:
    """A file that is mapped, or the vdso: as `path` it can be opened here."""

    def __init__(self, area, pid=None, mapped_id=None):
        """mapped_id: the build-id that stands in the memory, if that can be read."""
        self.area, self.elf, self.path = area, None, None
        self.name = area.name.removesuffix(DELETED)
        self.roots = [f"/proc/{pid}/root", ""] if pid else [""]
        try:
            self.open(pid, mapped_id)
        except BROKEN as why:
            if self.name.startswith("/"):
                warn(f"{shown(self.name)}: {getattr(why, 'strerror', None) or why}: its names are unknown")

    def open(self, pid, mapped_id):
        if self.area.name == "[vdso]":
            self.elf = own_vdso(self.area.end - self.area.start)
            return
        for path in self.places(pid):
            if os.path.isfile(path):
                elf = Elf.of_file(path)
                if not mapped_id or elf.build_id == mapped_id:
                    self.elf, self.path = elf, path
                    return
        raise ValueError("it is not there any more" if self.name.startswith("/") else "no file")

    def places(self, pid):
        """Where the file may be. What lies at the name of one that was deleted is another, as a rule."""
        if not self.name.startswith("/"):
            return
        if pid:
            yield f"/proc/{pid}/map_files/{self.area.start:x}-{self.area.end:x}"
        if not self.area.name.endswith(DELETED):
            yield from (root + self.name for root in self.roots)

    def frames(self, addresses, until):
        """{address of the file: frames}. After that time nobody is asked any more."""
        answers, debug = {}, None
        if self.path:
            debug = debug_file(self.elf, self.name, self.roots)
            answers = ask(debug or self.path, addresses, until - time.monotonic())
        found = {address: frames for address, frames in answers.items() if is_sure(frames)}
        for path in (debug, None) if debug else (None,):
            missing = [each for each in addresses if each not in found]
            try:
                by_table = look_up(Elf.of_file(path) if path else self.elf, missing) if missing else {}
                found.update((address, answers.get(address, frames)) for address, frames in by_table.items())
            except BROKEN as why:
                warn(f"{shown(path or self.name)}: {getattr(why, 'strerror', None) or why}: names of it may be missing")
        return found


class Symbols:
    """Of one process: what is mapped where, and what that is called."""

    def __init__(self, areas, pid=None, read=None):
        """areas: osmem_heap.Area each. pid: files are looked for where that process sees them.
        read(address, size): its memory, by which a file is known from another of the same name."""
        self.areas = sorted(areas)
        self.starts = [area.start for area in self.areas]
        self.pid, self.read, self.modules = pid, read, {}

    def area_of(self, address):
        i = bisect.bisect_right(self.starts, address) - 1
        return self.areas[i] if i >= 0 and address < self.areas[i].end else None

    def module_of(self, area):
        """One for all areas of a file."""
        key = area.name
        if key not in self.modules:
            self.modules[key] = Module(area, self.pid, self.mapped_id(area))
        return self.modules[key]

    def mapped_id(self, area):
        first = next((each for each in self.areas if each.name == area.name and each.offset == 0), None)
        if not self.read or not first:
            return None
        try:
            headers = list(osmem_heap.program_headers(self.read(first.start, 4096)))
            return build_id(headers, lambda offset, size: self.read(first.start + offset, size))
        except (osmem_heap.Unreadable, struct.error):
            return None

    def unknown(self, area, address):
        if not area or not area.name:
            return Frame(f"{address:#x}")
        return Frame(f"{shown(os.path.basename(area.name).removesuffix(DELETED))}+{address - area.start + area.offset:#x}")

    def frames_of(self, addresses, exact=frozenset()):
        """{address: its frames, the innermost first}. An address is where a call returns to, and so the byte before it
        is looked up, unless it is one of the exact ones."""
        wanted, found = {}, {}
        for address in set(addresses):
            at = address if address in exact else address - 1
            area = self.area_of(at)
            found[address] = (self.unknown(area, address),)
            if not area or not area.name:
                continue
            module = self.module_of(area)
            inside = module.elf and module.elf.address_of(at - area.start + area.offset)
            if inside is not None:
                wanted.setdefault(module, {}).setdefault(inside, []).append(address)
        until = time.monotonic() + PATIENCE_S
        for module, each in wanted.items():
            for inside, frames in module.frames(sorted(each), until).items():
                found.update((address, tuple(frames)) for address in each.get(inside, ()))
        return found


def names_in_files(places):
    """{(path, where a call returns to, as the file has it): frames}, of those that have names. Each file is as it is now."""
    wanted, found = {}, {}
    for path, inside in places:
        wanted.setdefault(path, set()).add(inside - 1)
    until = time.monotonic() + PATIENCE_S
    for path, each in wanted.items():
        module = Module(osmem_heap.Area(0, 0, "r-xp", 0, path))
        frames = module.frames(sorted(each), until) if module.elf else {}
        found.update(((path, inside + 1), tuple(names)) for inside, names in frames.items())
    return found
