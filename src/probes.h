/* SPDX-License-Identifier: MIT */
/* Probes for tracers (USDT), in the names of OpenTelemetry's memory profiling: a nop where each lies, and an ELF note that says where, and in which registers its arguments are; the
 * note is in no segment, so nothing of it is in memory. Who listens (bpftrace, perf, systemtap, gdb) puts a breakpoint there. The format is that of sys/sdt.h, SystemTap's, version 3.
 *
 *   otel_memory:alloc(address, bytes asked for, bytes that they stand for)   a sample was taken
 *   otel_memory:free(address)                                                it is about to be freed */
#ifndef OSMEM_PROBES_H
#define OSMEM_PROBES_H

#include <stdint.h>

#define PROBE_NOTE(name, arguments) \
  "990: nop\n" \
  ".pushsection .note.stapsdt, \"\", %%note\n" \
  ".balign 4\n" \
  ".long 992f - 991f, 994f - 993f, 3\n" \
  "991: .asciz \"stapsdt\"\n" \
  "992: .balign 4\n" \
  "993: .quad 990b\n" \
  ".quad _.stapsdt.base\n" \
  ".quad 0\n" \
  ".asciz \"otel_memory\"\n" \
  ".asciz \"" name "\"\n" \
  ".asciz \"" arguments "\"\n" \
  "994: .balign 4\n" \
  ".popsection\n" \
  ".ifndef _.stapsdt.base\n" /* by which a reader sees that addresses were moved since: prelink */ \
  ".pushsection .stapsdt.base, \"aG\", %%progbits, .stapsdt.base, comdat\n" \
  ".weak _.stapsdt.base\n" \
  ".hidden _.stapsdt.base\n" \
  "_.stapsdt.base: .space 1\n" \
  ".size _.stapsdt.base, 1\n" \
  ".popsection\n" \
  ".endif\n"

static inline void probe_alloc(uintptr_t address, uint64_t bytes, uint64_t stands_for) {
  __asm__ volatile(PROBE_NOTE("alloc", "8@%0 8@%1 8@%2") : : "r"(address), "r"(bytes), "r"(stands_for));
}

static inline void probe_free(uintptr_t address) { __asm__ volatile(PROBE_NOTE("free", "8@%0") : : "r"(address)); }

#endif
