# SPDX-License-Identifier: MIT
"""Under gdb: the offset and the size of each field that src/layout.h names, as the debug
information has them, in the order of osmem_heap.py's table."""

import gdb
import osmem_heap


def find(struct, name):
    """(bit offset, bytes), also of what stands in a union without a name."""
    for field in struct.fields():
        if field.name == name:
            return field.bitpos, field.type.sizeof
        inside = None if field.name else find(field.type, name)
        if inside:
            return field.bitpos + inside[0], inside[1]
    return None


for name in osmem_heap.FIELDS:
    struct, field = name.split(".")
    bits, size = find(gdb.lookup_type("struct " + struct), field)
    print(name, bits // 8, size)
