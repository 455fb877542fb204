# SPDX-License-Identifier: MIT
"""Are the profiles right? `unbiased.py SAID PROFILE [SAID PROFILE...]`: pairs of what sites.c said, and
the profile that was written when it ended. Prints a line for each site: its name, and
"within" or by how much its estimate, the mean over all runs, is off.

An estimate may be off by six standard deviations of the mean, which happens by chance
once in 500 million; and where that is more than a tenth it says nothing, and is "vague".
"""

import bisect
import collections
import re
import sys

Site = collections.namedtuple("Site", "name start count bytes variance")


def sites_of(path):
    with open(path) as file:
        rows = [line.split() for line in file]
    return sorted((Site(name, int(start, 16), int(count), int(size), float(variance))
                   for name, start, count, size, variance in rows), key=lambda site: site.start)


def estimates(path, sites):
    """Bytes in use by site: that of the first frame that is of one. What lies behind the last site is main()."""
    starts, found = [site.start for site in sites], collections.Counter()
    with open(path) as file:
        for line in file:
            stack = re.match(r"(\d+): (\d+) \[(\d+): (\d+)\] @((?: 0x[0-9a-f]+)+)$", line)
            for frame in stack[5].split() if stack else ():
                at = bisect.bisect(starts, int(frame, 16)) - 1
                if at >= 0 and int(frame, 16) < starts[at] + 4096:
                    found[sites[at].name] += int(stack[2])
                    break
    return found


def main():
    truth, spread, found = collections.Counter(), collections.Counter(), collections.Counter()
    for said, profile in zip(sys.argv[1::2], sys.argv[2::2]):
        sites = sites_of(said)
        found.update(estimates(profile, sites))
        for site in sites:
            truth[site.name] += site.bytes
            spread[site.name] += site.variance
    for name, size in truth.items():
        bound = 6 * spread[name] ** 0.5
        off = found[name] - size
        verdict = "vague" if bound > size / 10 else "within" if abs(off) <= bound else "off"
        print(name, verdict if verdict == "within" else f"{verdict}: {off / size:+.2%}, and {bound / size:.2%} may be")


main()
