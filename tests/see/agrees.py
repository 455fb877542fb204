# SPDX-License-Identifier: MIT
"""agrees.py COUNTED LOOK [--sums]: does what `osmem stats --json` saw agree with what the
program itself counted (os_get_stats)? Differences are printed. --sums: only that it adds
up, for a program that goes on meanwhile."""

import json
import sys

with open(sys.argv[1]) as of_program, open(sys.argv[2]) as of_tool:
    counted, look = json.load(of_program), json.load(of_tool)
wrong = []


def same(what, seen, wanted):
    if seen != wanted:
        wrong.append(f"{what}: seen {seen}, wanted {wanted}")


def near(what, seen, wanted, share):
    if abs(seen - wanted) > share * wanted:
        wrong.append(f"{what}: seen {seen}, wanted about {wanted}")


if "--sums" not in sys.argv:
    classes, arenas, large = look["classes"], look["arenas"], look["mappings"]
    same("small objects", sum(row["live"] for row in classes), counted["small_live_count"])
    same("their bytes", sum(row["live"] * row["size"] for row in classes),
         counted["small_live_bytes"])
    same("slabs", sum(row["slab_bytes"] for row in arenas), counted["slab_bytes"])
    same("blocks", sum(row["live_blocks"] for row in arenas), counted["medium_live_count"])
    same("their bytes", sum(row["live_bytes"] for row in arenas), counted["medium_live_bytes"])
    same("mappings", large["live"], counted["large_live_count"])
    same("their bytes", large["live_bytes"], counted["mapped_bytes"])
    same("kept mappings", large["spare_bytes"], counted["cached_bytes"])
    same("thread heaps", len(look["threads"]), counted["thread_heaps"])
    same("block heaps", len(arenas), counted["arenas"])
    same("torn", look["torn_slabs"], 0)
    for name in ("slab_waiting", "slab_free", "blocks_dirty", "spares", "caches", "metadata"):
        if not look["bytes"][name] > 0:
            wrong.append(f"{name}: nothing")
same("the sum", sum(look["bytes"].values()), look["held"])
near("address space", look["held"], look["counters"]["bytes_held"], 0.02)
if look["resident"] is not None:
    near("in memory", look["active"], look["resident"], 0.04)
if any(size < 0 for size in look["bytes"].values()):
    wrong.append(f"less than nothing: {look['bytes']}")
print("\n".join(wrong) or "agrees")
sys.exit(bool(wrong))
