# SPDX-License-Identifier: MIT
"""gdb's commands for osmem's heap, on the walker that scripts/osmem has:

  osmem block ADDRESS   what it is: in use or free, its neighbours, what stands in it
  osmem heap            where the memory is, as `osmem stats` shows it
  osmem find VALUE      where that word stands, in data, stacks and blocks in use; of an
                        address in a block: what points into it

Of a process that gdb has stopped, or of a core. gdb finds this file by itself where it lies
beside the library as NAME-gdb.py in a place that it trusts (make install puts it there), else:
gdb -x scripts/osmem-gdb.py.
"""

import os
import re
import sys

import gdb

HERE = os.path.dirname(os.path.realpath(__file__))
PREFIX, installed, _ = HERE.partition("/share/gdb/")
sys.path.insert(0, os.path.join(PREFIX, "share", "osmem") if installed else HERE)
import osmem_explain  # noqa: E402
import osmem_heap  # noqa: E402
import osmem_stats  # noqa: E402


def memory():
    """Of what gdb looks at."""
    core = re.search(r"core dump file:\s*`([^']+)'", gdb.execute("info files", to_string=True))
    if core:
        return osmem_heap.Core(core[1])
    if not gdb.selected_inferior().pid:
        raise gdb.GdbError("osmem: no process and no core")
    return osmem_heap.Process(gdb.selected_inferior().pid)


class Command(gdb.Command):
    """One of them; `lines` says what it prints."""

    def invoke(self, argument, from_tty):
        try:
            source = memory()
            try:
                heap = osmem_heap.Heap(source)
                for line in self.lines(heap, source, argument):
                    print(line)
            finally:
                source.close()
        except osmem_heap.Unreadable as why:
            raise gdb.GdbError(f"osmem: {why}") from None


def value_of(argument):
    if not argument:
        raise gdb.GdbError("osmem: of which address?")
    return int(gdb.parse_and_eval(argument)) & (1 << 64) - 1


class Block(Command):
    """osmem block ADDRESS: what it is; in use or free, its neighbours, what stands in it"""

    def lines(self, heap, source, argument):
        return osmem_explain.describe(heap, source, value_of(argument))


class Heap(Command):
    """osmem heap: where the memory is"""

    def lines(self, heap, source, argument):
        look = osmem_heap.Look(heap)
        look.resident_bytes = look.resident()
        return osmem_stats.stats_lines(look, source.name)


class Find(Command):
    """osmem find VALUE: where that word stands; of an address in a block, what points into it"""

    def lines(self, heap, source, argument):
        return osmem_explain.pointers_to(heap, source, value_of(argument), limit=None)


gdb.Command("osmem", gdb.COMMAND_DATA, prefix=True)
Block("osmem block", gdb.COMMAND_DATA)
Heap("osmem heap", gdb.COMMAND_DATA)
Find("osmem find", gdb.COMMAND_DATA)
