# SPDX-License-Identifier: MIT
"""as_heaptrack.py HEAPTRACK OSMEM [RATE]: do two lists of folded stacks with bytes at the highest moment agree? The sum, by no more than a 64th, and all bytes that are at
other sites, together: no more than a 32nd. So the ten largest sites, too, differ by less.

A site is the function that asked, and the one that called it; where a program is stripped, the places of the calls, by their address in a page, which is that in the file.
(heaptrack names the call, osmem what comes after it.) Of libc's names for one function each tool prefers another; what is alike of them is left.

Where they differ for a reason:
* osmem takes the highest moment anew when it is higher by a 64th than the one before. So its sum may be lower by that, and its sites are those of another moment: the
  programs here have no two that are nearly as high and hold different things. (perl with a join at the end has; xmllint with an XPath, whose last realloc is 1 %.)
* a block that realloc makes smaller or larger where it is stays with who asked for it first; heaptrack gives each to who called realloc.
* a pool that a program takes memory for is of whoever came when it was empty, and what came before depends on the environment, which each tool adds to.
* heaptrack is in C++, and brings libstdc++'s pool for exceptions, 72,704 bytes, into programs that have none: it is left out of both.

With a RATE it is estimated: the sum of n bytes in blocks, each taken with 1 - exp(-size / RATE), has a variance of less than n * RATE. Six deviations: once in 10^9 runs."""

import collections
import math
import re
import sys

SITES_SAMPLED, STEP, DEVIATIONS = 2, 1 / 64, 6


def plain(name):
    return re.sub(r"^(__GI_)?_*(IO_new_|IO_)?|_impl$", "", name)


def of_heaptrack(frame):
    place = re.fullmatch(r"0x([0-9a-f]+)", frame)
    return f"at {(int(place[1], 16) + 1) & 0xfff:03x}" if place else plain(re.sub(r" \([^()]*\)$", "", frame))


def of_osmem(frame):
    place = re.fullmatch(r"[^ ]+\+0x([0-9a-f]+)", frame)
    return f"at {int(place[1], 16) & 0xfff:03x}" if place else plain(frame)


def sites(path, name):
    found = collections.Counter()
    with open(path) as lines:
        for line in lines:
            stack, bytes_ = line.rstrip("\n").rsplit(" ", 1)
            frames = [name(frame) for frame in stack.split(";") if frame]
            if not (int(bytes_) == 72704 and frames[-3:-1] == ["call_init", "call_init"]):
                found["<".join(reversed(frames[-2:]))] += int(bytes_)
    return found


def compared(theirs, ours, rate):
    """(what, heaptrack's bytes, osmem's, by how many these may differ)"""
    total = theirs.total()
    yield "the sum", total, ours.total(), STEP * total + sampling(total, rate)
    if rate == 1:
        apart = {site: abs(theirs[site] - ours[site]) for site in theirs | ours}
        most = max(apart, key=apart.get)
        yield f"bytes that are at other sites, most: {most}", 0, sum(apart.values()), 2 * STEP * total
    else:
        for site, bytes_ in theirs.most_common(SITES_SAMPLED):
            yield site, bytes_, ours[site], STEP * total + sampling(bytes_, rate)


def sampling(bytes_, rate):
    return DEVIATIONS * math.sqrt(bytes_ * rate) if rate > 1 else 0


def main(heaptrack, osmem, rate=1):
    wrong = [f"{what}: heaptrack {wanted}, osmem {seen}, may differ by {allowed:.0f}" for what, wanted, seen, allowed in
             compared(sites(heaptrack, of_heaptrack), sites(osmem, of_osmem), int(rate)) if abs(seen - wanted) > allowed]
    print("\n".join(wrong) or "agrees")
    return bool(wrong)


sys.exit(main(*sys.argv[1:]))
