#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""adds_up.py MAP PID|CORE: the signs of a map as text are as many as its legend says, and its bytes those that a look finds."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "scripts"))
import osmem_heap  # noqa: E402

LEGEND = re.compile(r"  (\S{1,4}) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)  [a-z]")
TOTAL = re.compile(r" +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)  = all chunks")
CELLS = re.compile(r" *0x[0-9a-f]+  ([^ ]+)$")


def numbers(words):
    return [int(each.replace(",", "")) for each in words]


def main(path, what):
    with open(path) as file:
        lines = file.read().splitlines()
    cells = "".join(found.group(1) for found in map(CELLS.match, lines) if found)
    rows = {found.group(1): numbers(found.groups()[1:]) for found in map(LEGEND.match, lines) if found}
    total, = [numbers(found.groups()) for found in map(TOTAL.match, lines) if found]
    memory = osmem_heap.open_memory(what)
    look = osmem_heap.Look(osmem_heap.Heap(memory))
    beyond = sum(size for _, size in look.heap.regions()) - look.in_chunks
    bytes_ = look.sum
    meant = {
        "in use": bytes_["in_use"] - look.large["live_bytes"],
        "free": sum(bytes_[name] for name in ("slab_waiting", "slab_free", "caches", "blocks_dirty", "top_dirty")),
        "gone": sum(bytes_[name] for name in ("slab_purged", "slab_fresh", "blocks_clean", "top_fresh")) - beyond,
        "signs": {signs: row[0] for signs, row in rows.items()}, "total": [sum(each) for each in zip(*rows.values())],
        "none unknown": 0}
    granule = look.heap.n["granule_bytes"]
    said = {
        "in use": total[1] - granule * rows["M"][0], "free": total[2], "gone": total[3],
        "signs": {signs: sum(map(cells.count, signs)) for signs in rows}, "total": total,
        "none unknown": cells.count("?")}
    wrong = [f"{name}: the map says {said[name]}, a look {meant[name]}" for name in meant if said[name] != meant[name]]
    print("\n".join(wrong))
    return bool(wrong or not cells)


sys.exit(main(*sys.argv[1:]))
