# SPDX-License-Identifier: MIT
"""Writes profile.proto, which pprof reads: https://github.com/google/pprof/blob/main/proto/profile.proto
Standard library only; the numbers are those of the fields there.
"""

import gzip


def varint(value):
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field, values):
    return data(field, b"".join(map(varint, values)))


class Numbered:
    """Each thing once, by its number from `first` on."""

    def __init__(self, first):
        self.first, self.of = first, {}

    def number(self, key):
        return self.of.setdefault(key, len(self.of) + self.first)


class Writer:
    """Samples are added, then there are the bytes of a .pb.gz."""

    def __init__(self, types, default, period=0, time_ns=0, drop=""):
        """types: (what, unit) of each value of a sample. drop: a regular expression of functions that only hand on what they are asked."""
        self.strings, self.functions, self.mappings, self.locations = Numbered(0), Numbered(1), Numbered(1), Numbered(1)
        self.text("")
        self.mapping_ids, self.samples = {}, []
        self.head = b"".join(data(1, self.value_type(*each)) for each in types)
        self.tail = b"".join((number(7, self.text(drop)), number(9, time_ns), data(11, self.value_type("space", "bytes")),
                              number(12, period), number(14, self.text(default))))

    def text(self, value):
        return self.strings.number(value)

    def value_type(self, what, unit):
        return number(1, self.text(what)) + number(2, self.text(unit))

    def mapping(self, area, build_id):
        """osmem_heap.Area; the first one is the program's by custom."""
        if area is None:
            return 0
        self.mapping_ids.setdefault(area, build_id)
        return self.mappings.number(area)

    def location(self, address, frames, area, build_id=""):
        """A frame for each function that was inlined there, the innermost first."""
        return self.locations.number((self.mapping(area, build_id), address, tuple(
            (self.functions.number((frame.function, frame.file)), frame.line) for frame in frames)))

    def sample(self, locations, values, label=None):
        """The innermost first. label: (name, text)"""
        labels = data(3, number(1, self.text(label[0])) + number(2, self.text(label[1]))) if label else b""
        self.samples.append(packed(1, locations) + packed(2, values) + labels)

    def mapping_bytes(self, area, id_):
        named = [frame for (mapping, _, frames) in self.locations.of if mapping == id_ for frame in frames]
        functions = {number_: key for key, number_ in self.functions.of.items()}
        has_lines = any(line for _, line in named)
        return b"".join((number(1, id_), number(2, area.start), number(3, area.end), number(4, area.offset), number(5, self.text(area.name)),
                         number(6, self.text(self.mapping_ids[area])), number(7, bool(named)),
                         number(8, any(functions[each][1] for each, _ in named)), number(9, has_lines), number(10, has_lines)))

    def message(self):
        mappings = [data(3, self.mapping_bytes(area, id_)) for area, id_ in self.mappings.of.items()]
        locations = [data(4, number(1, id_) + number(2, mapping) + number(3, address) + b"".join(
            data(4, number(1, function) + number(2, line)) for function, line in lines))
            for (mapping, address, lines), id_ in self.locations.of.items()]
        functions = [data(5, number(1, id_) + number(2, self.text(name)) + number(3, self.text(name)) + number(4, self.text(file)))
                     for (name, file), id_ in self.functions.of.items()]
        samples = [data(2, each) for each in self.samples]
        strings = [data(6, each.encode("utf-8", "replace")) for each in self.strings.of]  # the last: all others have named theirs
        return b"".join((self.head, *samples, *mappings, *locations, *functions, *strings, self.tail))

    def compressed(self):
        return gzip.compress(self.message(), mtime=0)  # the same profile makes the same file
