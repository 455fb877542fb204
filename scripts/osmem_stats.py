# SPDX-License-Identifier: MIT
"""Where the memory is: a sum that adds up, and tables; two of them compared; all processes.
Standard library only.
"""

import json
import os
import shutil
import sys
import time

import osmem_heap
import osmem_profile
from osmem_heap import LINES, active_bytes
from osmem_run import EXIT_NO_ANSWER, count, period, process, refuse

SCHEMA = 1  # of --json; counted up when a name goes or changes its meaning


# ---- stats ------------------------------------------------------------------------------

def stats_lines(look, what):
    active, held = active_bytes(look), sum(look.sum.values())
    yield f"osmem in {what}: bytes"
    for name, words in LINES:
        yield f"{active if name is None else look.sum[name]:>16,}  {words}"
    yield f"{held:>16,}  = address space held"
    if look.resident_bytes is not None:
        yield f"{look.resident_bytes:>16,}  of which the kernel counts as resident"
    used = look.sum["in_use"]
    yield (f"\nactive / in use {active / used if used else 0:.2f}   peak of address space"
          f" {look.counters['bytes_peak']:,}")
    if look.torn:
        yield f"{look.torn} slabs were changing while they were read, and are not counted"
    yield "\n  size    slabs        live        free  fill  given back"
    for size, row in look.classes.items():
        if row["slabs"]:
            total = row["live"] + row["waiting"] + row["free"]
            fill = row["live"] / total if total else 0
            yield (f"{size:>6} {row['slabs']:>8,} {row['live']:>11,} {row['free']:>11,}"
                  f" {fill:>5.0%} {row['purged']:>11,}")
    yield "\nblock heap  chunks  blocks in use         bytes  free blocks         bytes  given back"
    for i, row in enumerate(look.arena_rows):
        yield (f"{i:>10} {row['chunks']:>7,} {row['live_blocks']:>14,} {row['live_bytes']:>13,}"
              f" {row['free_blocks']:>12,} {row['free_bytes']:>13,} {row['clean_bytes']:>11,}")
    yield "\nthread heaps            cached, bytes"
    for state in ("lives", "ended", "unused"):
        rows = [row for row in look.thread_rows if row["state"] == state]
        if rows:
            yield f"{len(rows):>8,} {state:<8} {sum(row['cached_bytes'] for row in rows):>19,}"
    large = look.large
    yield (f"\nmappings: {large['live']:,} in use, {large['live_bytes']:,} bytes;"
          f" {large['spares']:,} kept, {large['spare_bytes']:,} bytes")


def as_json(look, what):
    return {"schema": SCHEMA, "of": what, "layout": look.heap.version, "torn_slabs": look.torn,
            "bytes": look.sum, "active": active_bytes(look), "held": sum(look.sum.values()),
            "resident": look.resident_bytes, "counters": look.counters,
            "classes": [{"size": size} | row for size, row in look.classes.items()
                        if row["slabs"]],
            "arenas": look.arena_rows, "threads": look.thread_rows, "mappings": look.large}


def show_prometheus(look, what):
    figures = (
        ("allocated", look.sum["in_use"], "In use by the program."),
        ("active", active_bytes(look), "Can be in memory."),
        ("resident", look.resident_bytes, "Resident, as the kernel counts."),
        ("mapped", sum(look.sum.values()), "Address space held."),
        ("metadata", look.sum["metadata"], "Metadata."),
        ("retained", look.sum["blocks_clean"] + look.sum["slab_purged"],
         "Given back to the kernel, address space kept."),
    )
    for name, value, words in figures:
        if value is not None:
            print(f"# HELP osmem_{name}_bytes {words}\n# TYPE osmem_{name}_bytes gauge\n"
                  f'osmem_{name}_bytes{{of="{what}"}} {value}')


def stats(options):
    look = osmem_heap.look(options.what)
    what = f"process {options.what}" if options.what.isdigit() else options.what
    if options.json:
        print(json.dumps(as_json(look, what), indent=1))
    elif options.prometheus:
        show_prometheus(look, what)
    else:
        print("\n".join(stats_lines(look, what)))
    return 0


# ---- diff -------------------------------------------------------------------------------

def snapshot(path):
    try:
        with open(path) as file:
            found = json.load(file)
    except OSError as why:
        refuse(f"{path}: {why.strerror}", EXIT_NO_ANSWER)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "schema" not in found:
        refuse(f"{path}: not what `osmem stats --json` prints", EXIT_NO_ANSWER)
    if found["schema"] != SCHEMA:
        refuse(f"{path}: schema {found['schema']}, where this tool knows {SCHEMA}", EXIT_NO_ANSWER)
    return found


def show_change(before, after, words):
    if before != after:
        print(f"{before:>16,} {after:>16,} {after - before:>+16,}  {words}")


def diff(options):
    profiles = [osmem_profile.is_profile(path) for path in (options.before, options.after)]
    if all(profiles):
        return osmem_profile.diff(options.before, options.after)
    if any(profiles):
        refuse(f"{options.before} and {options.after}: one is a heap profile, the other is none", EXIT_NO_ANSWER)
    old, new = snapshot(options.before), snapshot(options.after)
    print(f"from {old['of']} to {new['of']}: bytes\n"
          "          before            after           change")
    for name, words in LINES:
        if name:
            show_change(old["bytes"][name], new["bytes"][name], words)
        else:
            show_change(old["active"], new["active"], words)
    show_change(old["held"], new["held"], "= address space held")
    show_change(old["resident"] or 0, new["resident"] or 0, "of which the kernel counts as resident")
    live = [{row["size"]: row["live"] for row in each["classes"]} for each in (old, new)]
    changes = [(size, live[0].get(size, 0), live[1].get(size, 0)) for size in live[0] | live[1]]
    print("\nobjects in use of a size, the largest change first")
    for size, was, is_now in sorted(changes, key=lambda each: -abs(each[2] - each[1]) * each[0]):
        show_change(was, is_now, f"of {size} bytes")
    for words, part in (("blocks", "arenas"), ("mappings", "mappings")):
        sums = [sum(row["live_bytes"] for row in (each[part] if part == "arenas" else [each[part]]))
                for each in (old, new)]
        show_change(*sums, f"bytes in {words}")
    return 0


# ---- top --------------------------------------------------------------------------------

def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as comm:
            return comm.read().strip()
    except OSError:
        return "?"


def look_or_none(pid):
    try:
        return osmem_heap.look(pid)
    except osmem_heap.Unreadable:
        return None


def show_top(found):
    found.sort(key=lambda each: -active_bytes(each[1]))
    print("    PID        RESIDENT          IN USE   ACTIVE/USE      CACHED       PURGED  COMMAND")
    for pid, look in found[:max(1, shutil.get_terminal_size().lines - 3)]:
        used, total = look.sum["in_use"], active_bytes(look)
        purged = look.sum["blocks_clean"] + look.sum["slab_purged"]
        print(f"{pid:>7} {look.resident_bytes or 0:>15,} {used:>15,} {total / used if used else 0:>12.2f}"
              f" {look.sum['caches']:>11,} {purged:>12,}  {name_of(pid)}")
    sys.stdout.flush()


def top(options):
    pids = options.pid
    rounds = 0
    while True:
        each = pids or [entry for entry in os.listdir("/proc") if entry.isdigit()]
        found = [(pid, look) for pid in each for look in [look_or_none(pid)] if look]
        if pids and not found and rounds:
            return 0  # they have ended
        if pids and not found:
            refuse("none of them is on osmem, or may be looked into", EXIT_NO_ANSWER)
        if sys.stdout.isatty() and rounds:
            print("\x1b[H\x1b[2J", end="")
        show_top(found)
        rounds += 1
        if options.rounds and rounds >= options.rounds:
            return 0
        time.sleep(options.every)


# ---- the verbs --------------------------------------------------------------------------

def add_verbs(verbs):
    each = verbs.add_parser("stats", help="where the memory of a process, or of a core, is")
    each.add_argument("what", metavar="PID|CORE")
    form = each.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help=f"schema {SCHEMA}")
    form.add_argument("--prometheus", action="store_true", help="text for a node exporter")
    each.set_defaults(act=stats)
    each = verbs.add_parser("diff", help="what changed between two snapshots, or two profiles")
    each.add_argument("before", metavar="A", help="a file that holds what `osmem stats --json` printed, or a heap profile")
    each.add_argument("after", metavar="B")
    each.set_defaults(act=diff)
    each = verbs.add_parser("top", help="all processes on osmem, the largest first")
    each.add_argument("pid", nargs="*", metavar="PID", type=process)
    each.add_argument("--every", type=period, default=2, metavar="SECONDS")
    each.add_argument("--rounds", type=count, default=0, metavar="N", help="0: until ^C")
    each.set_defaults(act=top)
