#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trace small programs that use one of the cores and compare with references reviewed by hand.

Each snippet of tests/snippets and tests/snippets/CORE is linked with that core (engine: libosmem.so, textbook:
libosmem-textbook.so) and run under `ltrace -S`: the os_* calls and, indented below the call that made them, the
memory system calls. Addresses differ from run to run, so they become labels: Break is where the break was at
first, HeapStart the same rounded up to where that core lets its heap begin, <mapped-N> is the N-th mapping (mremap
makes a new one, since the kernel decides whether it moves), anything inside is label + offset. The rest must be
equal to tests/ref/CORE/NAME.ref:

    # why the trace is right, in words
    # blocks left: 1
    os_malloc(1000) = HeapStart + 0x8000
      brk(NULL) = Break
      brk(HeapStart + 0x80000) = HeapStart + 0x80000

Where there is no ltrace, strace shows and the suite compares the system calls only, and says so.
A snippet that does not end with status 0 has a last line that tells how it ended.
The references are for pages of 4096 bytes."""

import argparse
import difflib
import fnmatch
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TOP = TESTS.parent
SNIPPETS = TESTS / "snippets"
REFERENCES = TESTS / "ref"
UNREVIEWED = "# UNREVIEWED: say here why this trace is right."


@dataclass
class Core:
    name: str
    library: str
    variable: str  # in the environment: another library to test
    heap_alignment: int  # its heap begins at the first such multiple from the break on

    def snippets(self):
        """Name and source of every snippet: those for both cores, and its own."""
        sources = [*SNIPPETS.glob("*.c"), *(SNIPPETS / self.name).glob("*.c")]
        return {path.stem: path for path in sorted(sources, key=lambda path: path.stem)}


CORES = {
    "engine": Core("engine", "libosmem.so", "OSMEM_LIB", 32 * 1024),
    "textbook": Core("textbook", "libosmem-textbook.so", "OSMEM_TEXTBOOK_LIB", 1),
}

# ---- what a trace shows ---------------------------------------------------------------------------

# The arguments that count, and the result. ltrace guesses at four arguments; what is beyond these is dropped.
LIBRARY_CALLS = {
    "os_malloc": (["size"], "pointer"),
    "os_calloc": (["size", "size"], "pointer"),
    "os_realloc": (["pointer", "size"], "pointer"),
    "os_aligned_alloc": (["size", "size"], "pointer"),
    "os_free": (["pointer"], None),
    "os_trim": (["size"], None),
}
SYSTEM_CALLS = {
    "brk": (["pointer"], "pointer"),
    "mmap": (["pointer", "size", "prot", "flags"], "pointer"),
    "munmap": (["pointer", "size"], "status"),
    "mremap": (["pointer", "size", "size", "remap"], "pointer"),
    "madvise": (["pointer", "size", "advice"], "status"),
}
SIGNATURES = {**LIBRARY_CALLS, **SYSTEM_CALLS}
NAMES = {
    "remap": {1: "MREMAP_MAYMOVE"},
    "advice": {mmap.MADV_DONTNEED: "MADV_DONTNEED", 23: "MADV_POPULATE_WRITE"},
}

TRACERS = {
    "ltrace": ["ltrace", "-S"],
    "strace": ["strace", "-X", "raw", "-e", "trace=" + ",".join([*SYSTEM_CALLS, "close"])],
}

# `SYS_brk(0) = 1`, `brk@SYS(0) = 1` (newer ltrace), `brk(0) = 1` (strace), `prog->os_malloc(8 <unfinished ...>`
CALL = re.compile(r"(?:\S+->)?(?:SYS_)?(\w+)(?:@\S+)?\(([^)<]*)(?:\)\s*= (\S+)|<unfinished)")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>.*= (\S+)")
BEGIN = re.compile(r"(?:SYS_)?close(?:@SYS)?\((-1|0xf+)\)")  # snippet.h's mark: before it only ld.so is at work
END = re.compile(r"\+\+\+ (.*) \+\+\+")
GOOD_ENDS = ("exited (status 0)", "exited with 0")


def flag_names(value, *names):
    return "|".join(name for name in names if value & getattr(mmap, name)) or str(value)


class Trace:
    """The normalised lines of one run, and the blocks it left allocated."""

    HEAP_LIMIT = 1 << 30  # no snippet's heap is larger, and no mapping that close to it

    def __init__(self, raw_lines, heap_alignment):
        self.lines = []
        self.live = set()
        self.heap_alignment = heap_alignment
        self.heap = None
        self.mappings = []  # (start, end), oldest first
        self.open_call = None  # (index of its line, name, arguments) of the os_* call we are in
        self.read(raw_lines)

    @property
    def blocks_left(self):
        return len(self.live)

    def read(self, raw_lines):
        raw_lines = iter(raw_lines)
        if not any(BEGIN.match(line) for line in raw_lines):  # takes the lines up to the mark
            self.lines.append("the snippet's main() was never reached")
        end = "end not seen"
        for line in raw_lines:
            if match := CALL.match(line):
                self.see_call(*match.groups())
            elif match := RESUMED.match(line):
                self.see_result(*match.groups())
            elif match := END.match(line):
                end = match[1]
        if end not in GOOD_ENDS:
            self.lines.append(end)

    def see_call(self, name, raw_arguments, raw_result):
        if name not in SIGNATURES:
            return
        kinds, _ = SIGNATURES[name]
        arguments = [number(raw) for raw in raw_arguments.split(",")[: len(kinds)]]
        indent = "  " if self.open_call and name in SYSTEM_CALLS else ""
        shown = ", ".join(map(self.show, kinds, arguments))
        self.lines.append(f"{indent}{name}({shown})")
        if name in LIBRARY_CALLS:
            self.open_call = (len(self.lines) - 1, name, arguments)
            if raw_result:
                self.see_result(name, raw_result)
        else:
            self.see_system_result(name, arguments, number(raw_result))

    def see_system_result(self, name, arguments, result):
        if name == "brk" and self.heap is None:
            self.heap = -(-result // self.heap_alignment) * self.heap_alignment
            self.lines[-1] += " = Break"
            return
        if name in ("mmap", "mremap") and result > 0:
            bytes_now = arguments[1] if name == "mmap" else arguments[2]
            self.mappings.append((result, result + bytes_now))
        self.end_line(-1, name, result)

    def see_result(self, name, raw_result):
        if not self.open_call or self.open_call[1] != name:
            return
        index, _, arguments = self.open_call
        result = number(raw_result)
        self.count_blocks(name, arguments, result)
        self.end_line(index, name, result)
        self.open_call = None

    def end_line(self, index, name, result):
        _, kind = SIGNATURES[name]
        if kind:
            self.lines[index] += " = " + self.show(kind, result)

    def count_blocks(self, name, arguments, result):
        if name == "os_free":
            self.live.discard(arguments[0])
            return
        if name == "os_realloc" and (result or arguments[1] == 0):
            self.live.discard(arguments[0])
        if result and SIGNATURES[name][1] == "pointer":
            self.live.add(result)

    def show(self, kind, value):
        if kind == "pointer":
            return self.label(value)
        if kind == "prot":
            return flag_names(value, "PROT_READ", "PROT_WRITE", "PROT_EXEC")
        if kind == "flags":
            return flag_names(value, "MAP_PRIVATE", "MAP_SHARED", "MAP_ANONYMOUS")
        if kind in NAMES:
            return NAMES[kind].get(value, str(value))
        return str(value % (1 << 64)) if kind == "size" else str(value)

    def label(self, address):
        if address == 0:
            return "NULL"
        for nth in range(len(self.mappings), 0, -1):  # the newest of those that shared an address
            start, end = self.mappings[nth - 1]
            if start <= address < end:
                return offset(f"<mapped-{nth}>", address - start)
        if self.heap is not None and 0 <= address - self.heap < self.HEAP_LIMIT:
            return offset("HeapStart", address - self.heap)
        return "<elsewhere>"


def number(raw):
    return 0 if raw == "NULL" else int(raw, 0)


def offset(label, distance):
    return f"{label} + {distance:#x}" if distance else label


def system_calls(lines):
    return [line.strip() for line in lines if not line.lstrip().startswith(tuple(LIBRARY_CALLS))]


# ---- references -----------------------------------------------------------------------------------


class Reference:
    """tests/ref/CORE/NAME.ref: comments that say why, the number of blocks left, and the trace."""

    def __init__(self, folder, name):
        self.path = folder / f"{name}.ref"
        text = self.path.read_text().splitlines() if self.path.exists() else []
        self.comments = [line for line in text if line.startswith("#")]
        self.lines = [line for line in text if line and not line.startswith("#")]
        stated = [int(line.split()[3]) for line in self.comments if line.startswith("# blocks left: ")]
        self.blocks_left = stated[0] if stated else None
        self.exists = bool(text)
        self.reviewed = len(self.comments) > len(stated) and UNREVIEWED not in self.comments

    def record(self, trace, force):
        """Write what was seen, for somebody to review. True if the file has changed."""
        if self.reviewed and not force or self.exists and self.lines == trace.lines:
            return False
        why = [line for line in self.comments if line != UNREVIEWED and not line.startswith("# blocks left: ")]
        header = [UNREVIEWED, *why, f"# blocks left: {trace.blocks_left}"]
        self.path.write_text("\n".join(header + trace.lines) + "\n")
        return True


# ---- running --------------------------------------------------------------------------------------


def build(name, options, folder):
    """Compile a snippet. Lazy binding and no optimisation: ltrace watches calls through the PLT."""
    program = folder / name
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=gnu11", "-O0", "-Wall", "-Wextra", "-Wno-unused-result", "-Wl,-z,lazy", f"-Wl,-rpath,{options.library.parent}"]
    include = [f"-I{path}" for path in (TOP / "include", SNIPPETS, SNIPPETS / options.core.name)]
    source = options.core.snippets()[name]
    subprocess.run([*compiler, *flags, *include, source, options.library, "-o", program])
    return program


def trace(name, options, folder):
    """Build and run a snippet. A program that does not exist has an empty trace, which no reference accepts."""
    program = build(name, options, folder)
    output = folder / f"{name}.trace"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "OSMEM_"))}
    subprocess.run(
        [*TRACERS[options.tracer], "-o", output, program], env={**clean, "LC_ALL": "C"}, stdin=subprocess.DEVNULL
    )
    return Trace(output.read_text().splitlines() if output.exists() else [], options.core.heap_alignment)


def judge(trace, reference, options):
    """What is wrong with the trace, or None; and the two lists of lines that were compared."""
    expected, actual = reference.lines, trace.lines
    if options.tracer == "strace":
        expected, actual = system_calls(expected), system_calls(actual)
    complaint = None
    if not reference.exists:
        complaint = "no reference: --record writes one"
    elif not reference.reviewed:
        complaint = "its reference does not say why it is right"
    elif expected != actual:
        complaint = "the trace differs" + ("" if options.diff else ": -d shows where")
    elif options.leaks and trace.blocks_left != reference.blocks_left:
        complaint = f"{trace.blocks_left} blocks left, the reference says {reference.blocks_left}"
    return complaint, expected, actual


def report(name, trace, options):
    """Print the verdict on one snippet. True if it passed."""
    reference = Reference(options.references, name)
    if options.record and reference.record(trace, options.force):
        print(f"recorded {os.path.relpath(reference.path)}: review it")
        reference = Reference(options.references, name)
    complaint, expected, actual = judge(trace, reference, options)
    left = f" ({trace.blocks_left} blocks left)" if options.leaks and not complaint else ""
    print(f"failed {name}: {complaint}" if complaint else f"passed {name}{left}")
    if options.verbose:
        show(actual)
    if options.diff and expected != actual:
        show(difflib.unified_diff(expected, actual, f"{name}.ref", f"{name} under {options.tracer}", lineterm=""))
    return not complaint


def show(lines):
    for line in lines:
        print("    " + line)


# ---- command line ---------------------------------------------------------------------------------


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="snippets to run (patterns too: 'calloc-*'), default all")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each normalised trace")
    parser.add_argument("-d", "--diff", action="store_true", help="show how a trace differs from its reference")
    parser.add_argument("-m", "--leaks", action="store_true", help="count the blocks left allocated, too")
    parser.add_argument("--record", action="store_true", help="write the references that are missing or not reviewed")
    parser.add_argument("--force", action="store_true", help="with --record: also those that were reviewed")
    parser.add_argument("--tracer", choices=TRACERS, help="default: ltrace, else strace")
    parser.add_argument("--core", choices=CORES, default="engine", help="default: engine")
    parser.add_argument("--library", type=Path, help="default: $OSMEM_LIB or $OSMEM_TEXTBOOK_LIB, else the core's at the top")
    parser.add_argument("--references", type=Path, metavar="FOLDER", help="default: tests/ref/CORE")
    options = parser.parse_args()

    options.core = CORES[options.core]
    options.tracer = options.tracer or next(filter(shutil.which, TRACERS), None)
    default_library = os.environ.get(options.core.variable, TOP / options.core.library)
    options.library = Path(options.library or default_library).resolve()
    options.references = options.references or REFERENCES / options.core.name
    if options.tracer is None or not shutil.which(options.tracer):
        parser.error(f"{options.tracer or 'ltrace or strace'} is needed, and not installed")
    if options.tracer == "strace" and (options.record or options.leaks):
        parser.error("-m and --record need ltrace: strace does not see library calls")
    if not options.library.exists():
        parser.error(f"no library at {options.library}: run make")
    options.names = select(options, parser)
    return options


def select(options, parser):
    known, patterns = list(options.core.snippets()), options.names
    if twice := {path.stem for path in SNIPPETS.glob("*.c")} & {path.stem for path in (SNIPPETS / options.core.name).glob("*.c")}:
        parser.error(f"snippets for both cores and for one: {', '.join(sorted(twice))}")
    if orphans := sorted({path.stem for path in options.references.glob("*.ref")} - set(known)):
        parser.error(f"references without a snippet: {', '.join(orphans)}")
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            parser.error(f"no snippet {pattern}")
    return [name for name in known if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def main():
    options = parse_options()
    if options.tracer == "strace":
        print("under strace: system calls only, library calls are not compared")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        traces = pool.map(lambda name: trace(name, options, Path(folder)), options.names)
        passed = sum(report(name, seen, options) for name, seen in zip(options.names, traces))
    failed = len(options.names) - passed
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
