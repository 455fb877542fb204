# SPDX-License-Identifier: MIT
"""`osmem watch`: looks at a process again and again, then a table, or a page with curves.
It is not stopped; the watch ends with the process, after --for, or with ^C.
"""

import json
import math
import shutil
import signal
import sys
import time

import osmem_heap
import osmem_report as report
import osmem_run

SCHEMA = 1       # of --json
SAMPLES_MAX = 4000  # then each second one goes, and from there on each second one is kept
MISSES_MAX = 10  # looks in a row that found nothing, at a process that goes on
IN_TEXT, IN_PAGE = 20, 200  # rows
CURVES_BY_SIZE = 8
GIVEN_BACK = ("slab_purged", "blocks_clean")
FREE = [name for name in osmem_heap.ACTIVE if name not in ("in_use", "metadata")]


# ---- samples ----------------------------------------------------------------------------

def started(pid):
    """When it began, which tells it from another one of that number; None: it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def sample_of(look, seconds):
    live = {size: row["live"] * size for size, row in look.classes.items()}
    return {"seconds": round(seconds, 3), "bytes": look.sum, "active": osmem_heap.active_bytes(look),
            "held": sum(look.sum.values()), "resident": look.resident_bytes,
            "free": sum(look.sum[name] for name in FREE),
            "given_back": sum(look.sum[name] for name in GIVEN_BACK),
            "counters": look.counters, "live_by_size": live,
            "blocks": sum(row["live_bytes"] for row in look.arena_rows), "mappings": look.large["live_bytes"]}


class Samples:
    """As many as a page can show: of a long watch fewer, at the same distance all along."""

    def __init__(self):
        self.kept, self.stride, self.seen = [], 1, 0

    def add(self, sample):
        if self.seen % self.stride == 0:
            self.kept.append(sample)
        self.seen += 1
        if len(self.kept) > SAMPLES_MAX:
            del self.kept[1::2]
            self.stride *= 2


def thinned(rows, most):
    """The first, the last, and others evenly between them."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def show_progress(sample, count):
    words = (f"{sample['seconds']:,.0f} s, {count:,} looks: {sample['resident']:,} resident,"
             f" {sample['bytes']['in_use']:,} in use; ^C ends it")
    print("\r" + words[:shutil.get_terminal_size().columns - 1] + "\x1b[K", end="", file=sys.stderr, flush=True)


def watch(options):
    """Samples, and why there are no more."""
    samples, misses, begun, birth = Samples(), 0, time.monotonic(), started(options.pid)
    samples.add(sample_of(osmem_heap.look(options.pid), 0))
    due = begun
    try:
        for path in filter(None, (options.html, options.json)):
            report.check_writable(path)
        while True:
            if sys.stderr.isatty():
                show_progress(samples.kept[-1], samples.seen)
            due = max(due + options.every, time.monotonic())
            left = begun + options.for_ - due
            if left < -1e-6:  # five fifths are not always one
                time.sleep(max(0, begun + options.for_ - time.monotonic()))
                return samples, "the time is over"
            time.sleep(max(0, due - time.monotonic()))
            try:
                samples.add(sample_of(osmem_heap.look(options.pid), time.monotonic() - begun))
                misses = 0
            except (osmem_heap.Unreadable, OSError) as why:
                misses += 1
                if started(options.pid) != birth:
                    return samples, f"process {options.pid} has ended"
                if misses == MISSES_MAX:
                    return samples, str(why)
    except KeyboardInterrupt:
        return samples, "interrupted"
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# ---- as text ----------------------------------------------------------------------------

def show_table(samples, what, why):
    kept = samples.kept
    print(f"osmem in {what}: {len(kept):,} samples in {kept[-1]['seconds']:,.1f} s; {why}\n"
          " seconds         resident           in use   free in memory       given back     address space")
    for each in thinned(kept, IN_TEXT):
        print(f"{each['seconds']:>8,.1f} {each['resident']:>16,} {each['bytes']['in_use']:>16,}"
              f" {each['free']:>16,} {each['given_back']:>16,} {each['held']:>17,}")


# ---- as a page --------------------------------------------------------------------------

def curves(kept):
    """What the page draws: title, and (name, values) of each curve."""
    def all_of(name):
        return [each[name] for each in kept]

    def part_of(name):
        return [each["bytes"][name] for each in kept]

    words = dict(osmem_heap.LINES)
    sizes = sorted(kept[0]["live_by_size"], key=lambda size: -max(each["live_by_size"][size] for each in kept))
    return [
        ("Memory", [("resident", all_of("resident")), ("in use by the program", part_of("in_use")),
                    ("can be in memory", all_of("active")), ("address space held", all_of("held"))]),
        ("Free in memory, by where it waits", [(words[name], part_of(name)) for name in FREE]),
        ("Free, and not in memory", [(words[name], part_of(name)) for name, _ in osmem_heap.LINES
                                     if name and name not in osmem_heap.ACTIVE]),
        ("In use, by size", [("blocks", all_of("blocks")), ("mappings", all_of("mappings"))] + [
            (f"objects of {size}", [each["live_by_size"][size] for each in kept])
            for size in sizes[:CURVES_BY_SIZE]]),
        ("To and from the kernel, since the start", [
            (words, [each["counters"][name] for each in kept])
            for name, words in (("bytes_in", "address space taken"), ("bytes_out", "address space returned"),
                                ("bytes_back", "pages given back"))])]


def change_rows(kept):
    first, last = kept[0], kept[-1]
    rows = [(words, first["bytes"][name], last["bytes"][name]) for name, words in osmem_heap.LINES if name]
    rows += [(f"objects of {size} bytes in use", first["live_by_size"][size], last["live_by_size"][size])
             for size in first["live_by_size"]]
    rows = [(words, was, now, now - was) for words, was, now in rows if was != now]
    return sorted(rows, key=lambda row: -abs(row[3]))


def body(samples, what, why):
    number, text = report.number, report.text
    kept = samples.kept
    every = f" Of {samples.seen:,} looks each {samples.stride}th is kept." if samples.stride > 1 else ""
    lacks = "" if report.has("uPlot.iife.min.js") else \
        "<p class=lacks>No curves: uPlot was not there when this was written. <code>make report</code> fetches it.</p>"
    last = kept[-1]
    return "".join((
        f"<header><h1>The heap of {text(what)} over time</h1><p>{time.strftime('%F %T %Z')}. {len(kept):,} samples in "
        f"{last['seconds']:,.1f} s; {text(why)}.{every} At the end {last['resident']:,} bytes resident, "
        f"{last['bytes']['in_use']:,} in use by the program.</p></header>{lacks}<div id=curves></div>",
        report.table("samples", "Samples", (
            ("seconds", number), ("resident", number), ("in use", number), ("can be in memory", number),
            ("free in memory", number), ("given back", number), ("address space", number)),
            [(each["seconds"], each["resident"], each["bytes"]["in_use"], each["active"], each["free"],
              each["given_back"], each["held"]) for each in thinned(kept, IN_PAGE)]),
        report.table("changes", "From the first look to the last: the largest change first", (
            ("what", text), ("at first", number), ("at last", number), ("change", signed)),
            change_rows(kept))))


def signed(value):
    return f"{value:+,}"


def write_page(path, samples, what, why):
    kept = samples.kept
    data = {"of": what, "seconds": [each["seconds"] for each in kept],
            "curves": [{"title": title, "series": [{"name": name, "values": values} for name, values in series]}
                       for title, series in curves(kept)]}
    drawn = report.has("uPlot.iife.min.js") and report.has("uPlot.min.css")
    scripts = ["colours.js", *(["uPlot.iife.min.js", "watch.js"] if drawn else [])]
    report.write(path, report.page(f"osmem watch: {what}", body(samples, what, why), data, scripts,
                                   ["uPlot.min.css"] if drawn else []))
    print(f"{path}: {len(kept):,} samples in {kept[-1]['seconds']:,.1f} s, for any browser; {why}")
    if not drawn:
        print("osmem: it has tables and no curves: run make report in osmem's tree, which fetches uPlot by npm",
              file=sys.stderr)


# ---- the verb ---------------------------------------------------------------------------

def run(options):
    if not options.pid.isdigit():
        raise osmem_heap.Unreadable(f"{options.pid}: not the number of a process; a core does not change: see osmem map")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # what it has seen is not lost then, either
    samples, why = watch(options)
    what = f"process {options.pid}"
    if options.json:
        report.write(options.json, json.dumps({"schema": SCHEMA, "of": what, "ended": why, "samples": samples.kept}))
    if options.html:
        write_page(options.html, samples, what, why)
    else:
        show_table(samples, what, why)
    return 0


def add_verbs(verbs):
    each = verbs.add_parser("watch", help="a process over time")
    each.add_argument("pid", metavar="PID")
    each.add_argument("--every", type=osmem_run.period, default=1, metavar="SECONDS")
    each.add_argument("--for", type=osmem_run.period, default=math.inf, metavar="SECONDS", dest="for_",
                      help="until ^C, or until the process ends, where it is not given")
    each.add_argument("--html", metavar="FILE", help="a page with curves for a browser, in one file")
    each.add_argument("--json", metavar="FILE", help=f"all samples, schema {SCHEMA}")
    each.set_defaults(act=run)
