# SPDX-License-Identifier: MIT
"""Blocks that nothing points to any more: a conservative scan of a whole heap, from outside.
Standard library only.

Roots are what the program can reach without the heap: its data, thread-local variables,
stacks from the stack pointer up, registers, mappings of its own. Any aligned word there
that leads into a block in use, to its beginning or inside, reaches it, and so do the words
in blocks that are reached. What is left leaks: definitely where nothing points to it,
indirectly where only blocks do that leak themselves. So do LeakSanitizer and valgrind.

A process that runs moves pointers while it is read. So what one look finds is believed only if
each of the next finds it, too, and if it was never free in between.
"""

import argparse
import bisect
import collections
import contextlib
import itertools
import string
import sys
import time

import osmem_heap
import osmem_profile
import osmem_run
import osmem_samples
import osmem_trace
import osmem_walk
from osmem_walk import PORTION, words_of

RED_ZONE = 128  # below the stack pointer, and in use
FRAMES = 1 << 13  # the library's own, on a stack, are no more than this
Leak = collections.namedtuple("Leak", "start size indirect")


# ---- roots ------------------------------------------------------------------------------

def without(root, holes):
    """The (start, end) that are left of it; the holes are in order, and do not touch."""
    start = root.start
    for i in range(max(0, bisect.bisect_right(holes, [start]) - 1), len(holes)):
        a, b = holes[i]
        if a >= root.end:
            break
        if b <= start:
            continue
        if a > start:
            yield start, a
        start = b
    if start < root.end:
        yield start, root.end


def heap_ranges(heap):
    """What belongs to the heap, and holds no root: its chunks, mappings, records of these, which
    know the address of each, and of block heaps, which know the end of the last block; samples."""
    yield from osmem_samples.Samples(heap).ranges()
    for arena in heap.arenas():
        yield arena, arena + heap.n["arena_record_bytes"]
        for chunk, data in heap.chunks(arena):
            yield chunk, heap.chunk_limit(data)
    record_bytes = sum(heap.field["mapping.state"])
    for state in range(heap.n["mapping_states"]):
        for record, base, size in heap.mapping_records(state):
            yield record, record + record_bytes
            if size:
                yield base, base + size


def above_stack_pointer(root, threads):
    """Of a thread's stack only what it has on it: the first thread's; and where a range begins
    behind a guard, and has the stack pointer and the descriptor of one thread in it, which
    glibc and musl put at the end. (Without a guard it may be two stacks, or one and something
    else; one of a coroutine has no descriptor.)"""
    inside = [each for each in threads if root.start <= each.sp < root.end]
    is_its = root.is_first_stack or root.is_guarded and root.start <= inside[0].tp < root.end \
        if len(inside) == 1 else False
    return root._replace(start=max(root.start, inside[0].sp - RED_ZONE & -8)) if is_its else root


def merged(ranges):
    """In order, those that touch as one."""
    found = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end])
    return found


def root_ranges(heap, threads):
    """(start, end, only pages of the process's own) of what can be a root."""
    holes = merged(heap_ranges(heap))
    for root in heap.memory.roots():
        for start, end in without(above_stack_pointer(root, threads), holes):
            yield start, end, root.own


def roots(heap, threads):
    """The words in them, in parts."""
    memory = heap.memory
    for start, end, own in root_ranges(heap, threads):
        for at in range(start, end, PORTION):
            yield words_of(memory.image(at, min(at + PORTION, end), own))
    passing = Passing(heap)
    for thread in threads:
        top = thread.sp - RED_ZONE & -8
        yield passing.known_by(thread.words)
        yield passing.known_by(words_of(memory.image(top, top + FRAMES)))


class Passing:
    """What the library has just taken out, or is about to put back, it knows by its header, or by the
    record of a mapping: a thread that was caught in it may have nothing else."""

    def __init__(self, heap):
        self.header_bytes = heap.field["block.next"][0]
        self.base = {record: base for record, base, _ in
                     heap.mapping_records(osmem_heap.MAPPING_LIVE)}

    def known_by(self, words):
        """The words, and addresses of blocks that they may mean."""
        return [*words, *(word + self.header_bytes for word in words),
                *(self.base[word] for word in words if word in self.base)]


# ---- marking ----------------------------------------------------------------------------

UNREACHED, REACHED, LOST, LOST_WITH_OTHERS = range(4)


def mark_reached(blocks, contents, all_roots):
    """Wave by wave: what many blocks lead to is looked for at once."""
    marks, wave = bytearray(len(blocks.live)), all_roots
    while wave:
        reached = []
        for number, start, size in blocks.pointed_to(itertools.chain.from_iterable(wave)):
            if not marks[number]:
                marks[number] = REACHED
                reached.append((start, size))
        wave = reached and (part for each in reached for part in contents.of(*each))
    return marks


def mark_lost(blocks, contents, marks):
    """Of a ring of blocks the first is lost, the others with it."""
    for first, start, size in blocks.in_use():
        if marks[first]:
            continue
        marks[first], todo = LOST, [(start, size)]
        while todo:
            for words in contents.of(*todo.pop()):
                for number, start, size in blocks.pointed_to(words):
                    if marks[number] == UNREACHED:
                        todo.append((start, size))
                    if marks[number] != REACHED and number != first:
                        marks[number] = LOST_WITH_OTHERS


Look = collections.namedtuple("Look", "leaks blocks bytes torn")


def look(heap, threads):
    walk = osmem_walk.Walk(heap)
    blocks, contents = osmem_walk.Blocks(walk), osmem_walk.Words(heap.memory)
    marks = mark_reached(blocks, contents, roots(heap, threads))
    mark_lost(blocks, contents, marks)
    leaks = [Leak(start, size, marks[number] == LOST_WITH_OTHERS)
             for number, start, size in blocks.in_use() if marks[number] >= LOST]
    sizes = [size for _, _, size in blocks.in_use()]
    return Look(leaks, len(sizes), sum(sizes), walk.torn)


CHECKS, CHECKED_IN_ALL = 25, 200000  # of what was found, whether it is in use still; between two looks


def looks(pid, count, every):
    """Of a process that runs: what each of so many looks finds, and what was never free meanwhile.

    What is lost stays as it is. But what one thread frees and another takes is in use at most
    moments, by turns of different owners, and each look comes too late for one of them."""
    first, threads = None, []
    for i in range(count):
        memory = osmem_heap.open_memory(pid)
        try:
            heap = osmem_heap.Heap(memory)
            if first:
                threads = osmem_trace.registers_of_process(pid)
            memory.copy()  # else lists that change faster than they are read lose their ends: 4 looks of 6 at a mariadb under load
            found = look(heap, threads)
            memory.let_go()
            first = first or found
            keep_only(first.leaks, {(each.start, each.size) for each in found.leaks})
            if i < count - 1:
                check(heap, first.leaks, every)
        finally:
            memory.close()
        if not first.leaks:
            break
    return first


def check(heap, leaks, seconds):
    """Now and then, for so long, which are in use still: rarely, where they are many."""
    times = max(1, min(CHECKS, CHECKED_IN_ALL // max(1, len(leaks))))
    for _ in range(times if leaks else 0):
        time.sleep(seconds / times)
        keep_only(leaks, set(still_in_use(heap, leaks)))


def keep_only(leaks, places):
    leaks[:] = [each for each in leaks if (each.start, each.size) in places]


def still_in_use(heap, leaks):
    """(start, bytes) of those that are. Of an object and a cached block the first two words say so."""
    walk = osmem_walk.Walk(heap)
    for each in leaks:
        if walk.is_in_use(each.start, each.size):
            yield each.start, each.size


# ---- what they are ----------------------------------------------------------------------

PRINTABLE = frozenset(string.printable[:95].encode())


def contents(memory, leak, text_bytes=24):
    """What stands at its beginning: text, or what a first word that leads into a file is."""
    data = memory.read_or_zeros(leak.start, min(leak.size, text_bytes))
    text = data.split(b"\0")[0]
    if len(text) > 3 and PRINTABLE.issuperset(text):
        return repr(text.decode()) + ("..." if len(text) == len(data) else "")
    place = memory.file_at(int.from_bytes(data[:8], "little"))
    return f"-> {place}" if place else data[:16].hex(" ", 8)


def grouped(memory, leaks, stacks):
    """Of the same stack, or else of the same size and first word: (leak, blocks, bytes) with the largest sum first."""
    groups = {}
    for leak in leaks:
        key = leak.indirect, stacks.get(leak.start) or (leak.size, memory.file_at(
            int.from_bytes(memory.read_or_zeros(leak.start, 8), "little")))
        groups.setdefault(key, []).append(leak)
    return sorted(((each[0], len(each), sum(leak.size for leak in each))
                   for each in groups.values()), key=lambda each: -each[2])


# ---- the verb ---------------------------------------------------------------------------

LINES_SHOWN = 20


def asked_by(memory, leaks):
    """{start of each that a sample was taken of: frames of who asked for it}"""
    samples = osmem_samples.Samples(osmem_heap.Heap(memory))
    on_record = samples.blocks()
    blocks = {leak.start: on_record[leak.start] for leak in leaks if leak.start in on_record}
    frames = osmem_samples.frames_of(samples, blocks.values())
    names = osmem_profile.names_of(memory, frames.values())
    return {start: names[frames[block.stack]] for start, block in blocks.items() if block.stack in frames}


def show(found, memory, what, every_block, top=LINES_SHOWN):
    definite = [leak for leak in found.leaks if not leak.indirect]
    indirect = [leak for leak in found.leaks if leak.indirect]
    print(f"osmem leaks: {what}: {found.bytes:,} bytes in {found.blocks:,} blocks in use")
    if found.torn:
        print(f"{found.torn} pieces of the heap were changing while they were read; what only they"
              " point to may be missing here, or look lost")
    for words, leaks in (("definitely", definite), ("indirectly", indirect)):
        print(f"{sum(leak.size for leak in leaks):>16,} bytes in {len(leaks):,} blocks"
              f" {words} lost")
    stacks = asked_by(memory, found.leaks)
    rows = [(leak, 1, leak.size) for leak in found.leaks] if every_block \
        else grouped(memory, found.leaks, stacks)
    if rows:
        print("\n           bytes   blocks  of bytes            first  what it begins with")
        rows = [row for row in rows if row[0].start in stacks] + [row for row in rows if row[0].start not in stacks]
    for leak, blocks, bytes_ in rows if every_block else rows[:top]:
        size = f"{leak.size:,}" if bytes_ == blocks * leak.size else "mixed"
        print(f"{bytes_:>16,} {blocks:>8,} {size:>9}  {leak.start:#15x}"
              f"  {contents(memory, leak)}{', indirectly' if leak.indirect else ''}")
        for line in osmem_profile.stack_frames(stacks.get(leak.start, ()), " " * 20 + "by "):
            print(line)
    if not every_block and len(rows) > top:
        print(f"and {len(rows) - top} sorts more: --top {len(rows)}; --all: a line for each block")
    if rows and stacks:
        print(f"\nwho asked is known of {len(stacks):,} of {len(found.leaks):,} blocks that are lost: those that a sample was taken of")
    elif rows:
        print("\nwho asked for what is lost: osmem leaks --stacks CMD; of a process: osmem profile --on --rate 16K PID, wait until it has lost more, and osmem leaks PID again")
    return osmem_run.EXIT_ANSWER_NO if found.leaks else 0


def of_memory(what, threads_of, words, options):
    memory = osmem_heap.open_memory(what)
    try:
        return show(look(osmem_heap.Heap(memory), threads_of(memory)), memory, words, options.all, options.top)
    finally:
        memory.close()


def of_process(pid, options):
    found = looks(pid, options.looks, options.every)
    memory = osmem_heap.open_memory(pid)
    try:
        return show(found, memory, f"process {pid}", options.all, options.top)
    finally:
        memory.close()


def of_command(command, options):
    """Status: that of the command, if nothing leaks."""
    status = None
    if options.stacks:
        osmem_run.add_options("profile_rate=1")  # each block
    with osmem_run.attending(command, osmem_trace.Command) as held:  # until the report has come
        if held.run_to_end() and held.has_begun:
            try:
                with contextlib.redirect_stdout(sys.stderr):  # the other one is the command's
                    status = of_memory(held.held, lambda _: held.registers, " ".join(command), options)
            except osmem_heap.Unreadable as why:
                held.finish()
                raise osmem_heap.Unreadable(f"{command[0]} ended, but {why}") from None
        ended = held.finish()
    if status is None and held.has_begun:
        raise osmem_heap.Unreadable(f"{command[0]} was gone before its memory could be read")
    return status or (ended if ended >= 0 else 128 - ended)


def leaks(options):
    what = options.command[0]
    if len(options.command) == 1 and not options.is_command:
        if options.stacks and (what.isdigit() or osmem_heap.is_core(what)):
            raise osmem_heap.Unreadable(f"--stacks is for a command; process or core {what} has stacks of blocks that samples were taken of: osmem profile --on PID, some time before")
        if what.isdigit():
            return of_process(what, options)
        if osmem_heap.is_core(what):
            return of_memory(what, osmem_trace.registers_in_core, what, options)
    return of_command(options.command, options)


def add_verbs(verbs):
    each = verbs.add_parser("leaks", help="memory that nothing points to any more")
    each.add_argument("command", nargs=argparse.REMAINDER, metavar="PID|CORE|CMD...")
    each.add_argument("--all", action="store_true", help="a line for each block")
    each.add_argument("--top", type=osmem_run.positive, default=LINES_SHOWN, metavar="N", help=f"sorts of lost blocks that are shown (default {LINES_SHOWN})")
    each.add_argument("--stacks", action="store_true", help="who asked for what is lost: of a command, which is slower"
                      " then (a process has them of blocks that samples were taken of: osmem profile --on)")
    each.add_argument("--looks", type=osmem_run.positive, default=3, metavar="N",
                      help="at a process: what each of them finds leaks (default 3)")
    each.add_argument("--every", type=osmem_run.seconds, default=1, metavar="SECONDS",
                      help="between them (default 1)")
    each.set_defaults(act=leaks)
