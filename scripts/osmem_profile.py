# SPDX-License-Identifier: MIT
"""Who asked for the memory: profiles that the library takes by samples, read, named and written.
Standard library only.

The library writes the text that google-pprof and pprof read, with numbers that are estimates
already: each sample stands for as many bytes as it is likely that one of them was chosen.
"""

import argparse
import collections
import contextlib
import dataclasses
import glob
import os
import re
import shutil
import signal
import sys
import tempfile
import time

import osmem_heap
import osmem_pprof
import osmem_report
import osmem_run
import osmem_samples
import osmem_symbols
from osmem_symbols import Frame

SECONDS = 10
RATE = 512 << 10  # the library's, where none is asked for
LIFETIMES = ("< 10 ms", "< 100 ms", "< 1 s", "< 10 s", "< 100 s", "longer")
SOON = 2  # of these: what lived for less than 100 ms
ROWS_SHOWN, STACKS_SHOWN, FRAMES_SHOWN = 20, 3, 12
AT_END, HIGHEST, NOW = "at the end", "at the highest moment", "now"
MAGIC = b"heap profile:"
NONE_TAKEN = "no samples were taken: it asked malloc for little, or --rate has too many; there were"


class NoProfile(osmem_heap.Unreadable):
    """Why there is no profile to show, in one line for a person, and the remedy."""


# ---- a profile --------------------------------------------------------------------------

@dataclasses.dataclass
class Numbers:
    """Of one stack, or a sum. `freed` is by lifetime; `elsewhere`: of these bytes, those that another thread freed."""
    live_count: int = 0
    live_bytes: int = 0
    all_count: int = 0
    all_bytes: int = 0
    freed: list = dataclasses.field(default_factory=lambda: [0] * len(LIFETIMES))
    elsewhere: int = 0

    def add(self, other):
        for name in ("live_count", "live_bytes", "all_count", "all_bytes", "elsewhere"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.freed = [mine + its for mine, its in zip(self.freed, other.freed)]

    def freed_soon(self):
        return sum(self.freed[:SOON])


# What is looked at: its name, in words, and how many bytes and (None: not known) blocks of the numbers it is; pprof's name.
View = collections.namedtuple("View", "words bytes count type")
LIVE = View("in use", lambda each: each.live_bytes, lambda each: each.live_count, "inuse_space")
ALL = View("asked for in all", lambda each: each.all_bytes, lambda each: each.all_count, "alloc_space")
CHURN = View("freed after less than 100 ms", lambda each: each.freed_soon(), None, "churn_space")
# Of a profile without lifetimes, as others write them too.
FREED = View("freed", lambda each: each.all_bytes - each.live_bytes, lambda each: each.all_count - each.live_count, "churn_space")

Named = collections.namedtuple("Named", "locations numbers")  # locations: (address, frames, area), the innermost first
NOWHERE = (0, (Frame("[unknown]"),), None)


class Profile:
    """Stacks, and what each of them asked for."""

    def __init__(self, what, areas, pid=None, rate=None, samples=None, read=None):
        """what: of which this is, in words. areas: osmem_heap.Area each. pid, read: as osmem_symbols.Symbols has it, of
        a process that is there. rate, samples: bytes between two samples, and how many there were, where that is known."""
        self.what, self.rate, self.samples = what, rate, samples
        self.symbols = osmem_symbols.Symbols(areas, pid, read)
        self.stacks, self.total, self.by_stack = {}, Numbers(), None
        self.span = ""  # of what this is, in words

    missed = 0  # samples, for want of memory for their records

    def add(self, addresses, numbers):
        """addresses: where each call returns to, the innermost first."""
        self.stacks.setdefault(tuple(addresses), Numbers()).add(numbers)
        self.total.add(numbers)

    def knows_lifetimes(self):
        return any(self.total.freed) or self.total.all_bytes == self.total.live_bytes

    def is_ours(self, address):
        """The library's own frames say nothing of the program."""
        area = self.symbols.area_of(address - 1)
        return bool(area) and os.path.basename(area.name).startswith("libosmem.so")

    def named(self):
        """Named for each stack."""
        if self.by_stack is None:
            frames = self.symbols.frames_of(address for stack in self.stacks for address in stack)
            self.by_stack = [Named([(address, frames[address], self.symbols.area_of(address - 1))
                                    for address in stack if not self.is_ours(address)] or [NOWHERE], numbers)
                             for stack, numbers in self.stacks.items()]
        return self.by_stack

    def program(self):
        """By the maps, where the program comes first."""
        return next((os.path.basename(area.name) for area in self.symbols.areas if area.name.startswith("/")), "?")


def frames_of(named):
    """The frames of all its locations, the innermost first."""
    return [frame for _, frames, _ in named.locations for frame in frames]


# ---- reading ----------------------------------------------------------------------------

HEAD = re.compile(r"heap profile: *(\d+): *(\d+) *\[ *(\d+): *(\d+)\] *@ *(\S*)$")
STACK = re.compile(r" *(\d+): *(\d+) *\[ *(\d+): *(\d+)\] *@((?: +0x[0-9a-fA-F]+)*) *$")
FREED_LINE = re.compile(r"# freed((?: \d+){%d}) elsewhere (\d+)$" % len(LIFETIMES))
KNOWN = "rate", "samples", "missed"
KNOWN_LINE = re.compile(r"#(?: (?:%s) \d+)+$" % "|".join(KNOWN))  # numbers of Profile's
MAPS = "MAPPED_LIBRARIES:"


def is_profile(path):
    try:
        with open(path, "rb") if os.path.isfile(path) else contextlib.nullcontext() as file:
            return bool(file) and file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def contents(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as why:
        raise NoProfile(f"{path}: {why.strerror}") from None


def areas_in(lines):
    for line in lines:
        with contextlib.suppress(ValueError, IndexError):  # the last one may be cut off
            yield osmem_heap.area_of(line)


def read(path, what=None, rate=None):
    """The profile in that file."""
    return parsed(contents(path), path, what or path, rate)


def parsed(data, path, what, rate=None):
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    head = HEAD.match(lines[0].rstrip())
    if not head:
        raise NoProfile(f"{path}: not a heap profile, such as OSMEM_OPTIONS=profile=PREFIX has the library write")
    if head[5] != "heapprofile":
        raise NoProfile(f"{path}: a heap profile of another kind, {head[5][:40]!r}, whose numbers are not estimates yet:"
                        " google-pprof or jeprof reads it")
    end = next((i for i, line in enumerate(lines) if line.startswith(MAPS)), len(lines))
    if end == len(lines):
        osmem_symbols.warn(f"{path}: what is mapped where is missing at its end, so that nothing has a name")
    profile = Profile(what, list(areas_in(lines[end + 1:])), rate=rate)
    stack = None
    for i, line in enumerate(lines[1:end], 2):
        stack = add_line(profile, line.rstrip(), stack, f"{path}: line {i}")
    return profile


def add_line(profile, line, stack, where):
    """The stack that it is of, to which the next line may belong."""
    if found := STACK.match(line):
        stack = tuple(int(each, 16) for each in found[5].split())
        profile.add(stack, Numbers(*map(int, found.groups()[:4])))
    elif found := FREED_LINE.match(line):
        if stack is None:
            raise NoProfile(f"{where}: belongs to no stack")
        profile.add(stack, Numbers(freed=[int(each) for each in found[1].split()], elsewhere=int(found[2])))
    elif KNOWN_LINE.match(line):
        words = line.split()[1:]
        for name, number in zip(words[::2], words[1::2]):
            setattr(profile, name, int(number))
    elif line and not line.startswith("#"):
        raise NoProfile(f"{where} is not of a heap profile: {line[:60]!r}")
    return stack


# ---- a process or a core ----------------------------------------------------------------

def rounded(pair):
    return [max(0, round(value)) for value in pair]


def of_samples(samples, what, peak, before=None):
    """before: stacks as they were when the time that this is of began."""
    memory = samples.heap.memory
    profile = Profile(what, memory.maps, getattr(memory, "pid", None), samples.rate or None, samples.taken, memory.read)
    is_highest = peak and samples.peak_bytes > samples.live_bytes
    for at, stack in samples.stacks().items():
        was = (before or {}).get(at)
        live_count, live_bytes = rounded(stack.peak if is_highest else stack.live)
        count, bytes_ = rounded(now - then for now, then in zip(stack.all, was.all if was else (0, 0)))
        freed = rounded(now - then for now, then in zip(stack.freed, was.freed if was else [0] * len(stack.freed)))
        profile.add(stack.frames, Numbers(live_count, live_bytes, count, bytes_, freed,
                                          max(0, round(stack.elsewhere - (was.elsewhere if was else 0)))))
    return profile


class Target:
    """A process, or a core, whose samples are looked at."""

    def __init__(self, what):
        self.what = f"process {what}" if what.isdigit() else what
        self.memory = osmem_heap.open_memory(what)
        self.heap = osmem_heap.Heap(self.memory)

    def samples(self):
        return osmem_samples.Samples(self.heap)

    def maps_anew(self):
        """What was loaded meanwhile has names, too."""
        self.memory.close()
        self.memory = self.heap.memory = osmem_heap.open_memory(str(self.memory.pid))


class Ended(Exception):
    """By a signal that would have ended us with samples left on."""


def end(number, _):
    raise Ended(number)


def wait_beside(pid, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not os.path.exists(f"/proc/{pid}/maps"):
            raise NoProfile(f"process {pid} has ended meanwhile: osmem profile CMD, or OSMEM_OPTIONS=profile=PREFIX, tells what was at its end")
        time.sleep(min(0.2, max(0, until - time.monotonic())))


def watched(target, options):
    """The stacks as they were; samples were on for the time that was asked for, or until ^C, and are off again."""
    before = target.samples().stacks()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    osmem_samples.switch_on(target.samples(), options.rate)
    osmem_run.say(f"samples of {target.what} for {options.seconds:g} s, or until ^C")
    try:
        wait_beside(target.memory.pid, options.seconds)
    except KeyboardInterrupt:
        pass
    except Ended as why:
        sys.exit(128 + why.args[0])
    finally:
        with contextlib.suppress(osmem_heap.Unreadable):  # it has ended
            osmem_samples.switch_off(target.samples())
    target.maps_anew()
    return before


def of_outside(what, options):
    target = Target(what)
    if options.on or options.off:
        if not what.isdigit():
            raise NoProfile(f"{what}: --on and --off are for processes")
        osmem_samples.switch_on(target.samples(), options.rate) if options.on else osmem_samples.switch_off(target.samples())
        return 0
    samples, before = target.samples(), None
    options.seconds = options.seconds if options.seconds is not None else 0 if samples.rate or not what.isdigit() else SECONDS
    if options.seconds:
        if samples.rate:
            raise NoProfile(f"{what}: samples are on already, one for each {samples.rate:,} bytes: without --seconds; or --off first")
        before, samples = watched(target, options), target.samples()
    profile = of_samples(samples, target.what, options.peak, before)
    if not profile.total.all_bytes and (before is not None or not samples.taken):
        raise NoProfile(f"{target.what}: {NONE_TAKEN} {options.rate:,} bytes between them"
                        " (a thread that only takes and frees the same few small blocks does not notice that samples are on: OSMEM_OPTIONS=profile_rate=512K at its start)"
                        if what.isdigit() else f"{target.what}: no samples were taken: OSMEM_OPTIONS=profile=PREFIX at its start")
    profile.span = f" in these {options.seconds:g} s" if options.seconds else " while samples were on"
    show([(profile, None)], options, sys.stdout, HIGHEST if options.peak else NOW)
    return 0


# ---- sites ------------------------------------------------------------------------------

# Functions that only hand on what their callers ask for: matched as a whole, also by pprof, whose regular expressions are RE2's.
HANDS_ON = "|".join((
    r"(__libc_|__|_|os_|je_|mi_|tc_)?(malloc|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|valloc|pvalloc)",
    r"(.*::)?operator new(\[\])?(\(.*\))?",
    r"(x|z|s|e|safe_|my_|g_|g_try_|git__|sys|ngx_|jv_mem_|uv__|zend_|_e)_?(malloc|calloc|realloc|reallocarray|zalloc|alloc|memalign|memdup)(0|_n|0_n|_array)?",
    r"(__|x|g_|git__)?(strdup|strndup|memdup2?)", r"g_slice_(alloc0?|copy)", r"x(2nrealloc|nmalloc|nrealloc|charalloc|palloc)",
    r"_?Py(Mem|Object)_(Raw)?(Malloc|Calloc|Realloc|MallocLarge)", r"_Py(Mem|Object)_\w*(Malloc|Calloc|Realloc)\w*",
    r"_?PyObject_GC_\w*", r"_?PyObject_New(Var)?", r"PyType_GenericAlloc", r"_PyType_AllocNoTrack", r"gc_alloc",
    r"pymalloc_alloc|allocate_from_new_pool|new_arena|arena_map_\w+|_PyObject_Arena\w+",
    r"_?e(malloc|calloc|realloc|strdup)\w*", r"Perl_safesys\w*", r"luaM_\w*", r"l_alloc", r"sqlite3(Mem)?(Db)?(Malloc|Realloc)\w*",
    r"z(m|c|re)alloc_\w*", r"ztry(m|c|re)alloc\w*", r"CRYPTO_([mz]|re|clear_re)alloc", r"av_(malloc|calloc|realloc)\w*",
    r"__rust_(alloc|alloc_zeroed|realloc)", r"__rdl_\w+", r"__rg_\w+", r"alloc::alloc::\w+", r"<?alloc::raw_vec::.*", r"<?alloc::vec::Vec<.*>::with_capacity(_in)?",
    r"<?alloc::boxed::Box<.*>::(try_)?new\w*",
    r"<?alloc::alloc::Global( as .*)?>?::\w+", r"(std::|__gnu_cxx::)(__)?(new_allocator|malloc_allocator)<.*>::allocate(\(.*\))?( const)?",
    r"(static )?std::(allocator|allocator_traits)<.*>::allocate(\(.*\))?", r"std::_\w+_base<.*>::_M_(allocate|create_storage)(\(.*\))?",
    r"std::__cxx11::basic_string<.*>::_M_create(\(.*\))?"))
hands_on = re.compile(HANDS_ON).fullmatch


def from_site(frames):
    """Without the functions at its inner end that only hand on; unless there are no others."""
    first = next((i for i, frame in enumerate(frames) if not hands_on(frame.function)), 0)
    return frames[first:]


class Site:
    """What one function asks for: itself, by its lines, and with all that it calls."""

    def __init__(self, function):
        self.function, self.flat, self.cumulative, self.lines = function, Numbers(), Numbers(), collections.Counter()

    def add(self, numbers, frame, is_innermost, bytes_):
        self.cumulative.add(numbers)
        self.lines[frame.file, frame.line if is_innermost else 0] += bytes_ if is_innermost else 0
        if is_innermost:
            self.flat.add(numbers)

    def place(self):
        """Of the line that asks for the most."""
        (file, line), _ = self.lines.most_common(1)[0]
        more = sum(1 for bytes_ in self.lines.values() if bytes_) - 1
        return at(Frame("", file, line)) + (f" and {more} lines more" if more > 1 else " and another line" if more > 0 else "")


def at(frame):
    if not frame.file:
        return ""
    return f"  {os.path.basename(frame.file)}" + (f":{frame.line}" if frame.line else "")


def sites(profile, view):
    """The largest first."""
    found = {}
    for named in profile.named():
        frames = from_site(frames_of(named))
        for i, frame in enumerate(frames):
            if frame.function in found and any(frame.function == each.function for each in frames[:i]):
                continue  # it called itself
            site = found.setdefault(frame.function, Site(frame.function))
            site.add(named.numbers, frame, i == 0, view.bytes(named.numbers))
    asking = [site for site in found.values() if view.bytes(site.cumulative)]
    return sorted(asking, key=lambda each: (-view.bytes(each.flat), -view.bytes(each.cumulative), each.function))


def names_of(memory, stacks):
    """{stack: frames, the innermost first, from the one on that did not only hand on}"""
    profile = Profile("", memory.maps, getattr(memory, "pid", None), read=memory.read)
    for frames in stacks:
        profile.add(frames, Numbers())
    return {stack: tuple(from_site(frames_of(named))) for stack, named in zip(profile.stacks, profile.named())}


# ---- text -------------------------------------------------------------------------------

def share(part, whole):
    return f"{part / whole if whole else 0:.1%}"


def estimated(profile):
    """How these numbers came about."""
    missed = f"; {profile.missed:,} samples are missing, for which there was no memory" if profile.missed else ""
    if profile.rate == 1:
        return f"each block was counted{missed}"
    number = f"{profile.samples:,} samples" if profile.samples is not None else "samples"
    rate = f", one for each {profile.rate:,} bytes asked for, on average" if profile.rate else ""
    return f"estimated from {number}{rate}{missed}"


def title_lines(profile, moment):
    total = profile.total
    yield f"osmem profile: {profile.what}"
    yield f"{total.live_bytes:>16,} bytes in {total.live_count:,} blocks in use {moment}{', of those asked for while samples were on' if profile.span else ''}"
    yield f"{total.all_bytes:>16,} bytes in {total.all_count:,} blocks asked for in all{profile.span}"


def site_lines(profile, view, rows):
    whole = view.bytes(profile.total)
    yield f"\n           bytes       %    with callees       %{'      blocks' if view.count else ''}  function, by bytes {view.words}"
    for site in rows:
        flat, cumulative = view.bytes(site.flat), view.bytes(site.cumulative)
        blocks = f" {view.count(site.flat):>11,}" if view.count else ""
        yield f"{flat:>16,} {share(flat, whole):>7} {cumulative:>15,} {share(cumulative, whole):>7}{blocks}  {site.function}{site.place()}"


def churn_lines(profile, rows):
    total = profile.total
    freed = sum(total.freed)
    yield f"{total.freed_soon():>16,} bytes {CHURN.words}, {share(total.freed_soon(), freed)} of {freed:,} that were freed"
    yield f"{total.elsewhere:>16,} bytes freed by another thread than the one that asked, {share(total.elsewhere, freed)}"
    yield ("\n           bytes" + "".join(f"{words:>9}" for words in LIFETIMES)
           + f"    others  function, by bytes {CHURN.words}; shares of what it freed, by age, and by other threads")
    for site in rows:
        freed = sum(site.flat.freed)
        parts = "".join(f"{share(each, freed):>9}" for each in site.flat.freed)
        yield f"{site.flat.freed_soon():>16,}{parts} {share(site.flat.elsewhere, freed):>9}  {site.function}{site.place()}"


def stack_frames(frames, indent):
    for frame in frames[:FRAMES_SHOWN]:
        yield f"{indent}{frame.function}{at(frame)}"
    if len(frames) > FRAMES_SHOWN:
        yield f"{indent}and {len(frames) - FRAMES_SHOWN} more"


def stack_lines(profile, view):
    largest = sorted(profile.named(), key=lambda each: -view.bytes(each.numbers))[:STACKS_SHOWN]
    for named in largest:
        if view.bytes(named.numbers) > 0:
            blocks = f" in {view.count(named.numbers):,} blocks" if view.count else ""
            yield f"\n{view.bytes(named.numbers):>16,} bytes{blocks}, called from"
            yield from stack_frames(from_site(frames_of(named)), " " * 18)


def text(profile, view, moment, top):
    """Lines: the totals, the functions that ask for the most, the largest stacks."""
    rows = [site for site in sites(profile, view) if view is not CHURN or sum(site.flat.freed)]
    more = len(rows) - top
    yield from title_lines(profile, moment)
    if view is CHURN:
        yield from churn_lines(profile, rows[:top])
    else:
        yield from site_lines(profile, view, rows[:top])
    if more > 0:
        yield f"and {more:,} functions more: --top {len(rows)}"
    yield from stack_lines(profile, view)
    if not profile.total.all_bytes:
        yield f"\n{NONE_TAKEN} {profile.rate or RATE:,} bytes between them"
    elif view is LIVE and moment is AT_END and not profile.total.live_bytes:
        yield f"\nnothing was in use {moment}: --all shows what was asked for, --peak the highest moment"
    yield f"\n{estimated(profile)}"


# ---- other forms ------------------------------------------------------------------------

def folded(profiles, view):
    """Lines of `outer;inner bytes`. Of several processes each stack begins with the process."""
    sums = collections.Counter()
    for profile in profiles:
        for named in profile.named():
            names = [frame.function.replace(";", ":") for frame in reversed(frames_of(named))]
            sums[";".join([profile.what] * (len(profiles) > 1) + names)] += max(0, view.bytes(named.numbers))
    return "".join(f"{stack} {bytes_}\n" for stack, bytes_ in sorted(sums.items()) if bytes_)


def heap_text(profile):
    """As the library writes it."""
    lines = ["heap profile: {0.live_count}: {0.live_bytes} [{0.all_count}: {0.all_bytes}] @ heapprofile".format(profile.total)]
    lines += [f"# {name} {value}" for name, value in (("rate", profile.rate), ("samples", profile.samples)) if value]
    for stack, each in profile.stacks.items():
        lines.append("{0.live_count}: {0.live_bytes} [{0.all_count}: {0.all_bytes}] @ ".format(each) + " ".join(map(hex, stack)))
        lines.append(f"# freed {' '.join(map(str, each.freed))} elsewhere {each.elsewhere}")
    lines += ["", MAPS, *(f"{area.start:x}-{area.end:x} {area.rights or 'r-xp'} {area.offset:08x} 00:00 0 {area.name}" for area in profile.symbols.areas)]
    return "\n".join(lines) + "\n"


def pprof(profiles, view, time_ns=0):
    """The bytes of a .pb.gz."""
    types = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]
    churn = [(view.type, "bytes")] if view in (CHURN, FREED) else []
    writer = osmem_pprof.Writer(types + churn, view.type, profiles[0].rate or 0, time_ns, HANDS_ON)
    for profile in profiles:
        writer_mappings(writer, profile)
        label = ("process", profile.what) if len(profiles) > 1 else None
        for named in profile.named():
            each = named.numbers
            values = [each.all_count, each.all_bytes, each.live_count, each.live_bytes] + ([view.bytes(each)] if churn else [])
            writer.sample([writer.location(address, frames, area, build_id(profile, area))
                           for address, frames, area in named.locations], values, label)
    return writer.compressed()


def writer_mappings(writer, profile):
    """The program's own comes first, which is how pprof knows it."""
    used = {area for named in profile.named() for _, _, area in named.locations if area}
    for area in sorted(used):
        writer.mapping(area, build_id(profile, area))


def build_id(profile, area):
    module = profile.symbols.modules.get(area.name) if area else None
    return module.elf.build_id if module and module.elf else ""


# ---- two of them ------------------------------------------------------------------------

def by_functions(profile):
    """{functions, the innermost first: numbers}: addresses are others in each process."""
    found = collections.defaultdict(Numbers)
    for named in profile.named():
        found[tuple(frame.function for frame in from_site(frames_of(named)))].add(named.numbers)
    return found


def diff_lines(before, after, view=LIVE, top=ROWS_SHOWN):
    old, new = by_functions(before), by_functions(after)
    changes = [(view.bytes(new[stack]) - view.bytes(old[stack]), stack) for stack in {**old, **new}]
    changes = sorted((each for each in changes if each[0]), key=lambda each: (-abs(each[0]), each[1]))
    row = "{:>16,} {:>16,} {:>+16,}  {}".format
    yield f"from {before.what} to {after.what}: bytes {view.words}, of stacks, the largest change first"
    yield "          before            after           change"
    for change, stack in changes[:top]:
        yield row(view.bytes(old[stack]), view.bytes(new[stack]), change, stack[0])
        yield from stack_frames([Frame(each) for each in stack[1:]], " " * 53)
    if len(changes) > top:
        rest = sum(change for change, _ in changes[top:])
        yield f"{rest:>+50,}  in {len(changes) - top:,} stacks more"
    yield row(view.bytes(before.total), view.bytes(after.total), view.bytes(after.total) - view.bytes(before.total), "= all")


# ---- a command that is profiled -----------------------------------------------------------

class Run:
    """A process that becomes the command by start(), and the folder that it and its children write profiles to.
    begun(): it did; else it has said why not."""

    def __init__(self, start, rate):
        self.folder = tempfile.mkdtemp(prefix="osmem-profile-")
        try:
            if "," in self.folder or len(self.folder) > 200:
                raise NoProfile(f"{self.folder}: a comma in it, or its length, cannot stand in OSMEM_OPTIONS: set TMPDIR")
            self.ready, here = os.pipe()  # closed by an exec
            self.pid = os.fork()
        except BaseException:
            self.clean()
            raise
        if self.pid == 0:
            self.become(start, rate, here)
        os.close(here)

    def become(self, start, rate, here):
        """Never returns."""
        status = 1
        osmem_run.add_options(f"profile={self.folder}/of,profile_rate={rate}")
        try:
            start()
        except SystemExit as end:
            status = end.code
        finally:
            sys.stderr.flush()
            os.write(here, b"x")
            os._exit(status)

    def begun(self):
        with os.fdopen(self.ready, "rb") as pipe:
            return not pipe.read()

    signal = 0  # that ended it

    def status(self):
        """Of its end, as a shell has it."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.signal = max(0, -code)
        return code if code >= 0 else 128 - code

    def files(self):
        """{(pid, of the highest moment?): contents}"""
        found = {}
        for path in glob.glob(f"{glob.escape(self.folder)}/of.*.heap"):
            name = FILE_NAME.search(path)
            if name:
                found[int(name[1]), bool(name[2])] = contents(path)
        return found

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)


FILE_NAME = re.compile(r"\.(\d+)(\.peak)?\.heap$")


def why_none(command, run, files):
    """No profile of its own process."""
    if files and not any(pid == run.pid for pid, _ in files):
        return f"{command} itself wrote no profile, its children did: --children"
    how = f"it was ended by signal {run.signal}" if run.signal else "it may have ended by _exit"
    return (f"{command} wrote no profile: {how}; programs that are static, or setuid for other users, do not have the library,"
            f" and one that does not see {os.path.dirname(run.folder)}, or is another user's, cannot write there")


def profiles_of(files, run, command, options):
    """(profile, its text) of its own process, or of each, the largest first."""
    wanted = {pid: data for (pid, is_peak), data in files.items() if is_peak == options.peak and (options.children or pid == run.pid)}
    if not wanted and (run.pid, not options.peak) in files:
        raise NoProfile("the library wrote no profile of the highest moment: without --peak there is that of the end")
    if not wanted:
        raise NoProfile(why_none(command, run, files))
    found = []
    for pid, data in wanted.items():
        try:
            profile = parsed(data, f"the profile of process {pid}", f"process {pid}", options.rate)
        except NoProfile as why:
            if pid == run.pid:
                raise
            osmem_run.say(why)  # of a child that goes on behind the command's end, and is half way
            continue
        profile.what = f"{profile.program()}, {profile.what}"
        found.append((profile, data))
    if not found:
        raise NoProfile(f"{command}: no process of it wrote a whole profile")
    return sorted(found, key=lambda each: -options.view.bytes(each[0].total))


def of_command(command, options):
    """Status: that of the command, but 2 where it ended well and has no profile."""
    with osmem_run.attending(command, lambda start: Run(start, options.rate)) as run:
        try:
            begun, status, files = run.begun(), run.status(), run.files()
        finally:
            run.clean()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # who closes the pipe has the status all the same
    try:
        if begun:
            show(profiles_of(files, run, command[0], options), options, sys.stderr, HIGHEST if options.peak else AT_END)
    except NoProfile as why:
        osmem_run.say(why)
        return status or osmem_run.EXIT_NO_ANSWER
    return status


# ---- the verb ---------------------------------------------------------------------------

def size(words):
    found = re.fullmatch(r"(\d+)([KMG]?)(i?B)?", words, re.IGNORECASE)
    bytes_ = found and int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]
    if not bytes_ or bytes_ >= 1 << 48:
        raise argparse.ArgumentTypeError(f"{words!r} is not a number of bytes, such as 64K")
    return bytes_


def outputs(options):
    return [path for path in (options.folded, options.pprof, options.html, options.heap, options.o) if path]


def check_outputs(options):
    """Before the command runs, not after it."""
    if options.heap and options.children:
        raise NoProfile("--heap keeps the profile of one process: not with --children; OSMEM_OPTIONS=profile=PREFIX keeps all")
    if options.html and not osmem_report.has("speedscope.js"):
        raise NoProfile("no page without speedscope.js: run make report in osmem's tree, which fetches it by npm")
    options.base = read(options.diff_base) if options.diff_base else None
    for path in outputs(options):
        osmem_report.check_writable(path)


def view_for(profiles, options):
    if options.view is not CHURN or all(each.knows_lifetimes() for each in profiles):
        return options.view
    osmem_symbols.warn("the profile tells no lifetimes, so this is what was freed at all")
    return FREED


def show(found, options, stream, moment):
    """(profile, its text) each: as a table to the stream or a file, and into the files that were asked for."""
    profiles = [profile for profile, _ in found]
    view = view_for(profiles, options)
    if options.heap:
        osmem_report.write(options.heap, found[0][1] or heap_text(profiles[0]))
    if options.folded:
        osmem_report.write(options.folded, folded(profiles, view))
    if options.pprof:
        osmem_report.write(options.pprof, pprof(profiles, view))
    if options.html:
        osmem_report.flame(folded(profiles, view), f"{profiles[0].what}: bytes {view.words}", options.html)
    if options.base:
        lines = list(diff_lines(options.base, profiles[0], view, options.top))
    else:
        lines = [line for profile in profiles for line in (*text(profile, view, moment, options.top), "")][:-1]
    if options.o:
        osmem_report.write(options.o, "\n".join(lines) + "\n")
    else:
        try:
            print("\n".join(lines), file=stream)
        except BrokenPipeError:
            if stream is not sys.stderr:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # else python 3.14 tries again at the exit, whose status would be 120


def of_file(path, options):
    if options.peak and not path.endswith(".peak.heap"):
        path = path.removesuffix(".heap") + ".peak.heap"
    data = contents(path)
    show([(parsed(data, path, path), data)], options, sys.stdout, HIGHEST if path.endswith(".peak.heap") else AT_END)
    return 0


def is_file(options):
    """A file that is a profile; or one word, which is no command: a file that is called so, or that cannot be run."""
    what, is_one = options.command[0], len(options.command) == 1
    if options.is_command:
        return False
    if is_profile(what) and not is_one:
        raise NoProfile(f"{what} is a profile: options stand before it")
    is_called_so = what.endswith(".heap") and not shutil.which(what)
    return is_one and (is_profile(what) or is_called_so or os.path.isfile(what) and not os.access(what, os.X_OK))


def profile(options):
    what = options.command[0]
    options.view = CHURN if options.churn else ALL if options.all else LIVE
    check_outputs(options)
    if not options.is_command and len(options.command) == 1 and (what.isdigit() or osmem_heap.is_core(what)):
        return of_outside(what, options)
    if options.on or options.off or options.seconds is not None:
        raise NoProfile(f"{what}: --on, --off and --seconds are for a process, by its number")
    if is_file(options):
        return of_file(what, options)
    return of_command(options.command, options)


def diff(before, after):
    print("\n".join(diff_lines(read(before), read(after))))
    return 0


WORDS = """
Who asked for the memory. A command is run on osmem, which takes samples of what it asks for, with their stacks; when it ends the
table goes to standard error (or to a file: -o), and its status is passed on. That of a file goes to standard output.
In a process samples are switched on for some seconds, unless they were before: nothing is known of what it asked for earlier.
"""


def add_verbs(verbs):
    each = verbs.add_parser("profile", help="who asked for the memory", description=WORDS)
    each.add_argument("command", nargs=argparse.REMAINDER, metavar="FILE.heap|PID|CORE|CMD...",
                      help="a file as OSMEM_OPTIONS=profile=PREFIX has the library write, or a command; its children are profiled, too")
    each.add_argument("--rate", type=size, default=RATE, metavar="BYTES",
                      help="asked for between two samples, on average: more samples are more exact and cost more (default 512K; 1: every block)")
    each.add_argument("--peak", action="store_true", help="what was in use at the highest moment, not at the end")
    switch = each.add_mutually_exclusive_group()
    switch.add_argument("--seconds", type=osmem_run.seconds, metavar="N", help=f"samples of a process are on for so long (default {SECONDS}, unless they are on;"
                        " 0: only what is on record)")
    switch.add_argument("--on", action="store_true", help="only switch samples of a process on, and leave them on")
    switch.add_argument("--off", action="store_true", help="switch them off; what is on record stays so until it is freed")
    which = each.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="all that was ever asked for, not what is in use")
    which.add_argument("--churn", action="store_true", help="what was freed soon, by how long it lived, and who freed it")
    each.add_argument("--children", action="store_true", help="each process of the command, the largest first, not its own alone")
    each.add_argument("--top", type=osmem_run.positive, default=ROWS_SHOWN, metavar="N", help=f"rows of the table (default {ROWS_SHOWN})")
    each.add_argument("--diff-base", metavar="FILE", help="what changed since that profile, as `osmem diff` shows it")
    each.add_argument("-o", metavar="FILE", help="the table goes there")
    for name, words in (("folded", "`outer;inner bytes` lines, for flamegraph.pl and others"), ("pprof", "for `go tool pprof`: a .pb.gz"),
                        ("html", "a flame graph for a browser"), ("heap", "the profile as the library wrote it, which can be shown again")):
        each.add_argument(f"--{name}", metavar="FILE", help=words)
    each.set_defaults(act=profile)
