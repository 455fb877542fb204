# SPDX-License-Identifier: MIT
"""How a command gets the library under it, and how the tool says that something cannot be.
Standard library only.
"""

import argparse
import contextlib
import ctypes
import glob
import os
import shutil
import signal
import stat
import sys
import sysconfig

import osmem_heap
import osmem_loader

HERE = os.path.dirname(os.path.realpath(__file__))
EXIT_ANSWER_NO, EXIT_NO_ANSWER, EXIT_MISUSE = 1, 2, 125


def say(text):
    print(f"osmem: {text}", file=sys.stderr)


def refuse(text, status=EXIT_MISUSE):
    say(text)
    sys.exit(status)


# ---- numbers as arguments ---------------------------------------------------------------

def seconds(words, least=0):
    try:
        found = float(words)
    except ValueError:
        found = -1
    if not least <= found < 1e7:
        raise argparse.ArgumentTypeError(f"{words!r} is not a number of seconds" + (f" from {least} on" if least else ""))
    return found


def period(words):
    return seconds(words, 0.01)


def count(words, least=0):
    if not words.isdecimal() or int(words) < least:
        raise argparse.ArgumentTypeError(f"{words!r} is not a number from {least} on")
    return int(words)


def positive(words):
    return count(words, 1)


def process(words):
    if not words.isdecimal():
        refuse(f"{words}: not the number of a process", EXIT_NO_ANSWER)
    return words


# ---- the library, and a command on it ---------------------------------------------------

def prefix():
    """The tree, or where this was installed: into PREFIX/share/osmem."""
    above = os.path.dirname(HERE)
    return os.path.dirname(above) if os.path.basename(above) == "share" else above


def installed():
    """Where LIBDIR can be, this machine's own kind first. No deeper: below /usr/lib there may be
    links that go round, and a search does not end."""
    kind = sysconfig.get_config_var("MULTIARCH") or "/lib/"
    found = [path for below in ("lib*", "lib*/*")
             for path in glob.glob(os.path.join(prefix(), below, "libosmem.so.0"))]
    return sorted(found, key=lambda path: (kind not in path, path))


def library():
    """OSMEM_LIB, or the tree's, or the one of the installation that this command belongs to."""
    known = [os.environ["OSMEM_LIB"]] if os.environ.get("OSMEM_LIB") else [
        os.path.join(prefix(), "libosmem.so"), *installed()]
    for path in known:
        if os.path.isfile(path):
            if not has_note(path):
                refuse(f"{path}: not osmem's library")
            return os.path.realpath(path)
    refuse(f"no library at {known[0]}: run make, or name one by OSMEM_LIB")


def has_note(path):
    """Of a file: its name is in the note that leads to its layout (src/layout.h), which lies near the start."""
    with open(path, "rb") as file:
        return b"osmem\0" in file.read(4096)


def version():
    """What os_version() answers."""
    os_version = ctypes.CDLL(library()).os_version
    os_version.restype = ctypes.c_char_p
    return os_version().decode()


def start(command):
    """Become that command, on osmem."""
    if not command[0]:
        refuse("a command has a name: it is empty", 127)
    path = library()
    if ":" in path or " " in path:
        refuse(f"{path}: ld.so takes a colon or a space in the path for the end of it")
    program = shutil.which(command[0])
    if program and os.stat(program).st_mode & (stat.S_ISUID | stat.S_ISGID):
        print(f"osmem: {program} is setuid or setgid: ld.so ignores the preload for other users",
              file=sys.stderr)
    before = os.environ.get("LD_PRELOAD")
    os.environ["LD_PRELOAD"] = path + (":" + before if before else "")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which python ignores
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        refuse(f"{command[0]}: no such command", 127)
    except OSError as why:
        refuse(f"{command[0]}: {why.strerror}", 126)


def add_options(text):
    """For the commands that are started from now on."""
    before = os.environ.get("OSMEM_OPTIONS")
    os.environ["OSMEM_OPTIONS"] = f"{before},{text}" if before else text


def hand_on(pid, number):
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(pid, number)


@contextlib.contextmanager
def attending(command, begin):
    """Until the end of what begin(start) makes, which has the `pid` of a process that becomes the command by start():
    ^C reaches the command by itself, what ends us is handed on."""
    hears, ends_us = {signal.SIGINT, signal.SIGQUIT}, {signal.SIGTERM, signal.SIGHUP}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, hears | ends_us)
    before = {number: signal.getsignal(number) for number in hears | ends_us}

    def begin_here():
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        start(command)

    try:
        begun = begin(begin_here)
        for number in hears:
            signal.signal(number, signal.SIG_IGN)
        for number in ends_us:
            signal.signal(number, lambda signal_, _: hand_on(begun.pid, signal_))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield begun
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def become(names, arguments, remedy):
    """Become the first of those programs, below the prefix, that is there."""
    for name in names:
        path = os.path.join(prefix(), name)
        if os.path.isfile(path):
            os.execv(path, [path, *arguments])
    refuse(f"no {os.path.join(prefix(), names[0])}: {remedy}")


def record(options):
    become(("scripts/record.sh", "libexec/osmem/record.sh"), options.whole_command, "make install brings it")


def replay(options):
    become(("build/record/replay", "libexec/osmem/replay"), options.whole_command, "run make record")


def run(options):
    """As scripts/run.sh does, which is for machines without python."""
    start(options.command)


def verify(options):
    is_ours, whose = osmem_loader.malloc_of(options.pid)
    if is_ours:
        try:
            osmem_heap.Heap(osmem_heap.open_memory(options.pid))
        except osmem_heap.LeftAlone as why:
            print(why)
            return EXIT_ANSWER_NO
    print(f"process {options.pid}: osmem is " + ("active" if is_ours else f"not active: malloc is that of {whose}"))
    return 0 if is_ours else EXIT_ANSWER_NO


def add_verbs(verbs):
    each = verbs.add_parser("run", help="run a command on osmem")
    each.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")
    each.set_defaults(act=run)
    each = verbs.add_parser("verify", help="is osmem active in a process?")
    each.add_argument("pid", metavar="PID", type=process)
    each.set_defaults(act=verify)
    for verb, act, words in (("record", record, "write down what a command asks of malloc"),
                             ("replay", replay, "make the calls of such a trace again")):
        each = verbs.add_parser(verb, help=words, add_help=False)  # the program says it itself
        each.add_argument("whole_command", nargs=argparse.REMAINDER)
        each.set_defaults(act=act)
