/* SPDX-License-Identifier: MIT */
/* See unwind.h.
 *
 * For each address in the code there is a row of rules: how the caller's stack pointer (the CFA) follows from the registers, and where the registers are saved, the return address among
 * them. The rows of a function are written as a program that makes one after the other (its FDE, behind that of its CIE, which many have in common); it is run up to the address. What is not as we know it, or
 * leads to where no stack can be, ends the walk: less is told then, and nothing is hurt. */
#include "unwind.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include "block_meta.h"
#include "kernel.h"
#include "symbols.h"

#if defined(__x86_64__)
enum { REGISTERS = 17, STACK_POINTER = 7 }; /* as DWARF numbers them */
#elif defined(__aarch64__)
enum { REGISTERS = 33, STACK_POINTER = 31 };
#elif defined(__riscv)
enum { REGISTERS = 32, STACK_POINTER = 2 };
#endif

enum { FRAME_MAX = 64 << 20 /* bytes of one frame */, ROWS_KEPT = 4, EXPRESSION_DEPTH = 16, SMALLEST_PAGE = 4096 };

struct registers {
  uintptr_t pc, value[REGISTERS];
};

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct reader {
  const uint8_t *at, *end;
  bool failed;
};

#define READ(type) \
  ({ \
    type value_ = 0; \
    if ((size_t)(in->end - in->at) < sizeof value_) \
      in->failed = true, in->at = in->end; \
    else \
      memcpy(&value_, in->at, sizeof value_), in->at += sizeof value_; \
    value_; \
  })

static uint8_t read_byte(struct reader *in) { return READ(uint8_t); }

static uint64_t read_uleb(struct reader *in) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint8_t byte = read_byte(in);
    if (shift < 64) value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) return value;
  }
}

static int64_t read_sleb(struct reader *in) {
  uint64_t value = 0;
  for (unsigned shift = 0;;) {
    uint8_t byte = read_byte(in);
    if (shift < 64) value |= (uint64_t)(byte & 127) << shift;
    shift += 7;
    if (byte & 128) continue;
    return (int64_t)(shift < 64 && byte & 64 ? value | ~(uint64_t)0 << shift : value);
  }
}

enum { ENCODED_OMITTED = 0xff, ENCODED_SIZE = 0x0f, ENCODED_BASE = 0x70, ENCODED_PCREL = 0x10, ENCODED_INDIRECT = 0x80 };

/* A pointer of that encoding. */
static uintptr_t read_encoded(struct reader *in, uint8_t encoding) {
  uintptr_t here = (uintptr_t)in->at, value = 0;
  switch (encoding & ENCODED_SIZE) {
    case 0x00: case 0x04: case 0x0c: value = READ(uint64_t); break;
    case 0x01: value = read_uleb(in); break;
    case 0x02: value = READ(uint16_t); break;
    case 0x03: value = READ(uint32_t); break;
    case 0x09: value = (uintptr_t)read_sleb(in); break;
    case 0x0a: value = (uintptr_t)(intptr_t)READ(int16_t); break;
    case 0x0b: value = (uintptr_t)(intptr_t)READ(int32_t); break;
    default: in->failed = true;
  }
  if ((encoding & ENCODED_BASE) == ENCODED_PCREL)
    value += here;
  else if (encoding & ENCODED_BASE)
    in->failed = true;
  return value; /* of an indirect one, which only a personality is: never used */
}

/* ---- from an address to its tables ---------------------------------------------------------------------------------- */

/* What the function has, and what it has in common with others. */
struct frame_table {
  struct reader common, own; /* programs */
  uintptr_t start, end;
  uint64_t code_factor;
  int64_t data_factor;
  uint64_t return_address; /* its register */
  bool is_signal_frame;    /* the address is of the next instruction, not behind a call */
};

static struct reader record_at(const uint8_t *at) {
  uint32_t bytes;
  memcpy(&bytes, at, sizeof bytes);
  bool known = bytes && bytes != UINT32_MAX; /* the end of all; one of 64 bits */
  return (struct reader){at + sizeof bytes, at + sizeof bytes + (known ? bytes : 0), !known};
}

static void read_augmentation(struct reader *in, const char *letters, struct frame_table *table, uint8_t *encoding) {
  if (*letters != 'z') {
    if (*letters) in->failed = true;
    return;
  }
  uint64_t bytes = read_uleb(in);
  struct reader data = {in->at, in->at + bytes, bytes > (size_t)(in->end - in->at)};
  if (data.failed) in->failed = true;
  for (letters++; *letters && !in->failed; letters++) switch (*letters) {
      case 'R': *encoding = read_byte(&data); break;
      case 'L': read_byte(&data); break;
      case 'P': {
        uint8_t of_personality = read_byte(&data);
        read_encoded(&data, of_personality & ENCODED_SIZE);
        break;
      }
      case 'S': table->is_signal_frame = true; break;
      case 'B': break; /* return addresses are signed with the other key */
      default: in->failed = true;
    }
  if (data.failed) in->failed = true;
  in->at += in->failed ? 0 : bytes;
}

static bool read_common(const uint8_t *at, struct frame_table *table, uint8_t *encoding, bool *augmented) {
  struct reader record = record_at(at), *in = &record;
  if (record.failed || READ(uint32_t) != 0) return false;
  uint8_t version = read_byte(in);
  const char *letters = (const char *)in->at;
  while (read_byte(in) && !in->failed) continue;
  if (version == 4) in->at += 2; /* sizes of an address and of a segment */
  table->code_factor = read_uleb(in);
  table->data_factor = read_sleb(in);
  table->return_address = version == 1 ? read_byte(in) : read_uleb(in);
  *encoding = 0;
  *augmented = *letters == 'z';
  read_augmentation(in, letters, table, encoding);
  table->common = *in;
  return !in->failed && version <= 4 && version != 2 && table->return_address < REGISTERS;
}

static bool read_own(const uint8_t *at, struct frame_table *table) {
  struct reader record = record_at(at), *in = &record;
  const uint8_t *field = in->at;
  uint32_t distance = record.failed ? 0 : READ(uint32_t);
  uint8_t encoding;
  bool augmented;
  if (!distance || !read_common(field - distance, table, &encoding, &augmented)) return false;
  table->start = read_encoded(in, encoding);
  table->end = table->start + read_encoded(in, encoding & ENCODED_SIZE);
  if (augmented) {
    uint64_t bytes = read_uleb(in);
    if (bytes > (size_t)(in->end - in->at)) return false;
    in->at += bytes;
  }
  table->own = *in;
  return !in->failed;
}

/* The sorted index that the linker makes: of each function where it starts, and where its record lies, both from here. */
struct index_entry {
  int32_t start, record;
};
enum { INDEX_OF_FOUR_BYTES = 0x3b, INDEX_COUNT_OF_FOUR_BYTES = 0x03 };

static const uint8_t *find_record(const uint8_t *index, uintptr_t pc) {
  if (!index || index[0] != 1 || index[2] != INDEX_COUNT_OF_FOUR_BYTES || index[3] != INDEX_OF_FOUR_BYTES) return NULL;
  struct reader head = {index + 4, index + 20, false};
  read_encoded(&head, index[1]);
  uint32_t count;
  memcpy(&count, head.at, sizeof count);
  const struct index_entry *entries = (const struct index_entry *)(head.at + sizeof count);
  intptr_t wanted = (intptr_t)(pc - (uintptr_t)index);
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (entries[middle].start <= wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low && !head.failed ? index + entries[low - 1].record : NULL;
}

static bool find_table(uintptr_t pc, struct frame_table *table) {
  *table = (struct frame_table){0};
  const uint8_t *record = find_record(image_of((const void *)pc).frames, pc);
  return record && read_own(record, table) && pc >= table->start && pc < table->end;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

enum rule_kind { SAME, UNDEFINED, SAVED_AT_OFFSET, IS_AT_OFFSET, IN_REGISTER, SAVED_AT_EXPRESSION, IS_EXPRESSION };

struct rule {
  enum rule_kind kind;
  uint32_t number;           /* a register; of an expression its bytes */
  union {
    int64_t offset;
    const uint8_t *expression;
  };
};

struct row {
  struct rule cfa, of[REGISTERS]; /* the CFA: IS_AT_OFFSET of a register, or IS_EXPRESSION */
};

static struct rule read_expression_rule(struct reader *in, enum rule_kind kind) {
  uint64_t bytes = read_uleb(in);
  struct rule rule = {kind, (uint32_t)bytes, {.expression = in->at}};
  if (bytes > (size_t)(in->end - in->at))
    in->failed = true;
  else
    in->at += bytes;
  return rule;
}

static void set_rule(struct row *row, uint64_t number, struct rule rule) {
  if (number < REGISTERS) row->of[number] = rule; /* others (vectors, flags) lead nowhere */
}

static struct rule at_offset(enum rule_kind kind, uint64_t number, int64_t offset) { return (struct rule){kind, (uint32_t)number, {.offset = offset}}; }

/* One instruction but those that move on. False: it is none that we know. */
static bool change_row(struct reader *in, uint8_t code, const struct frame_table *table, struct row *row, const struct row *first) {
  uint64_t number;
  switch (code) {
    case 0x00: return true; /* nop */
    case 0x05: number = read_uleb(in), set_rule(row, number, at_offset(SAVED_AT_OFFSET, 0, (int64_t)read_uleb(in) * table->data_factor)); return true;
    case 0x06: number = read_uleb(in), set_rule(row, number, number < REGISTERS ? first->of[number] : (struct rule){0}); return true;
    case 0x07: set_rule(row, read_uleb(in), at_offset(UNDEFINED, 0, 0)); return true;
    case 0x08: set_rule(row, read_uleb(in), at_offset(SAME, 0, 0)); return true;
    case 0x09: number = read_uleb(in), set_rule(row, number, at_offset(IN_REGISTER, read_uleb(in), 0)); return true;
    case 0x0c: number = read_uleb(in), row->cfa = at_offset(IS_AT_OFFSET, number, (int64_t)read_uleb(in)); return true;
    case 0x0d: row->cfa.number = (uint32_t)read_uleb(in); return row->cfa.kind == IS_AT_OFFSET;
    case 0x0e: row->cfa.offset = (int64_t)read_uleb(in); return row->cfa.kind == IS_AT_OFFSET;
    case 0x0f: row->cfa = read_expression_rule(in, IS_EXPRESSION); return true;
    case 0x10: number = read_uleb(in), set_rule(row, number, read_expression_rule(in, SAVED_AT_EXPRESSION)); return true;
    case 0x11: number = read_uleb(in), set_rule(row, number, at_offset(SAVED_AT_OFFSET, 0, read_sleb(in) * table->data_factor)); return true;
    case 0x12: number = read_uleb(in), row->cfa = at_offset(IS_AT_OFFSET, number, read_sleb(in) * table->data_factor); return true;
    case 0x13: row->cfa.offset = read_sleb(in) * table->data_factor; return row->cfa.kind == IS_AT_OFFSET;
    case 0x14: number = read_uleb(in), set_rule(row, number, at_offset(IS_AT_OFFSET, 0, (int64_t)read_uleb(in) * table->data_factor)); return true;
    case 0x15: number = read_uleb(in), set_rule(row, number, at_offset(IS_AT_OFFSET, 0, read_sleb(in) * table->data_factor)); return true;
    case 0x16: number = read_uleb(in), set_rule(row, number, read_expression_rule(in, IS_EXPRESSION)); return true;
    case 0x2d: return true; /* aarch64: whether the return address is signed, which is taken off anyway */
    case 0x2e: read_uleb(in); return true; /* bytes of arguments that were pushed */
    case 0x2f: number = read_uleb(in), set_rule(row, number, at_offset(SAVED_AT_OFFSET, 0, -(int64_t)read_uleb(in) * table->data_factor)); return true;
    default: return false;
  }
}

/* Bytes of code that an instruction moves on by, before the factor; or none: it is another one. */
static bool moves_on(struct reader *in, uint8_t code, uint64_t *by) {
  switch (code) {
    case 0x02: *by = READ(uint8_t); return true;
    case 0x03: *by = READ(uint16_t); return true;
    case 0x04: *by = READ(uint32_t); return true;
    default: *by = code & 63; return code >> 6 == 1;
  }
}

/* The program from `start` on, until it has passed the address. `first`: the row that it began with. */
static bool run_program(struct reader program, const struct frame_table *table, uintptr_t pc, struct row *row, const struct row *first) {
  struct reader *in = &program;
  struct row kept[ROWS_KEPT];
  size_t kept_count = 0;
  uintptr_t at = table->start;
  while (in->at < in->end) {
    uint8_t code = read_byte(in), number = code & 63;
    uint64_t by;
    if (moves_on(in, code, &by)) {
      at += by * table->code_factor;
      if (at > pc) break;
    } else if (code >> 6 == 2)
      set_rule(row, number, at_offset(SAVED_AT_OFFSET, 0, (int64_t)read_uleb(in) * table->data_factor));
    else if (code >> 6 == 3)
      set_rule(row, number, number < REGISTERS ? first->of[number] : (struct rule){0});
    else if (code == 0x0a && kept_count < ROWS_KEPT)
      kept[kept_count++] = *row;
    else if (code == 0x0b && kept_count)
      *row = kept[--kept_count];
    else if (!change_row(in, code, table, row, first))
      return false;
  }
  return !in->failed;
}

static bool find_row(const struct frame_table *table, uintptr_t pc, struct row *row) {
  *row = (struct row){.cfa = {.kind = IS_AT_OFFSET}}; /* riscv64's programs begin with the register alone */
  if (!run_program(table->common, table, UINTPTR_MAX, row, row)) return false;
  const struct row first = *row;
  return run_program(table->own, table, pc, row, &first);
}

/* ---- a step --------------------------------------------------------------------------------------------------------- */

/* Pages of the stack that were read, or may be: the frame of a coroutine's first function ends where its stack does, and has no caller's. */
struct view {
  uintptr_t low, high, from; /* from: no frame that is left lies below */
};

/* May a word be read there? The kernel looks at it before it finds that it does not know what is asked. (As abseil asks.) */
static bool is_readable(uintptr_t address) {
  enum { NO_SUCH_WAY = 0x7fff };
  return KERNEL(SYS_rt_sigprocmask, NO_SUCH_WAY, address, 0, sizeof(uint64_t)) != -EFAULT;
}

/* A word of the stack; `failed` where no stack can be. */
static uintptr_t load_word(uintptr_t address, struct view *view, bool *failed) {
  if (address % sizeof(uintptr_t) || address - view->from > FRAME_MAX) *failed = true;
  if (*failed) return 0;
  if (address < view->low || address >= view->high) {
    if (!is_readable(address)) {
      *failed = true;
      return 0;
    }
    uintptr_t page = round_down(address, SMALLEST_PAGE);
    if (page != view->high) view->low = page;
    view->high = page + SMALLEST_PAGE;
  }
  return *(const uintptr_t *)address;
}

struct machine {
  uintptr_t stack[EXPRESSION_DEPTH];
  size_t depth;
  bool failed;
};

static uintptr_t pop_word(struct machine *m) {
  if (m->depth == 0) m->failed = true;
  return m->failed ? 0 : m->stack[--m->depth];
}

static void push_word(struct machine *m, uintptr_t value) {
  if (m->depth == EXPRESSION_DEPTH)
    m->failed = true;
  else
    m->stack[m->depth++] = value;
}

static uintptr_t operate(uint8_t code, uintptr_t a, uintptr_t b, bool *known) {
  switch (code) {
    case 0x1a: return a & b;
    case 0x1c: return a - b;
    case 0x1e: return a * b;
    case 0x21: return a | b;
    case 0x22: return a + b;
    case 0x24: return b < 64 ? a << b : 0;
    case 0x25: return b < 64 ? a >> b : 0;
    case 0x27: return a ^ b;
    case 0x29: return a == b;
    case 0x2a: return (intptr_t)a >= (intptr_t)b;
    case 0x2b: return (intptr_t)a > (intptr_t)b;
    case 0x2c: return (intptr_t)a <= (intptr_t)b;
    case 0x2d: return (intptr_t)a < (intptr_t)b;
    case 0x2e: return a != b;
    default: *known = false; return 0;
  }
}

/* As much of DWARF's expressions as compilers and libc use for frames: no branches. */
static uintptr_t evaluate(const struct rule *rule, const struct registers *registers, const uintptr_t *initial, struct view *view, bool *failed) {
  struct reader reader = {rule->expression, rule->expression + rule->number, false}, *in = &reader;
  struct machine m = {.depth = 0};
  if (initial) push_word(&m, *initial);
  while (in->at < in->end && !m.failed && !in->failed) {
    uint8_t code = read_byte(in);
    uint64_t number = 0;
    if (code >= 0x30 && code < 0x50)
      push_word(&m, code - 0x30u);
    else if ((code >= 0x70 && code < 0x90) || code == 0x92) {
      number = code == 0x92 ? read_uleb(in) : code - 0x70u;
      push_word(&m, (number < REGISTERS ? registers->value[number] : 0) + (uintptr_t)read_sleb(in));
    } else
      switch (code) {
        case 0x03: case 0x0e: case 0x0f: push_word(&m, READ(uint64_t)); break;
        case 0x06: push_word(&m, load_word(pop_word(&m), view, &m.failed)); break;
        case 0x08: push_word(&m, READ(uint8_t)); break;
        case 0x09: push_word(&m, (uintptr_t)(intptr_t)READ(int8_t)); break;
        case 0x0a: push_word(&m, READ(uint16_t)); break;
        case 0x0b: push_word(&m, (uintptr_t)(intptr_t)READ(int16_t)); break;
        case 0x0c: push_word(&m, READ(uint32_t)); break;
        case 0x0d: push_word(&m, (uintptr_t)(intptr_t)READ(int32_t)); break;
        case 0x10: push_word(&m, read_uleb(in)); break;
        case 0x11: push_word(&m, (uintptr_t)read_sleb(in)); break;
        case 0x12: number = pop_word(&m), push_word(&m, number), push_word(&m, number); break;
        case 0x13: pop_word(&m); break;
        case 0x23: push_word(&m, pop_word(&m) + read_uleb(in)); break;
        case 0x96: break;
        default: {
          bool known = true;
          uintptr_t b = pop_word(&m), a = pop_word(&m);
          push_word(&m, operate(code, a, b, &known));
          if (!known) m.failed = true;
        }
      }
  }
  uintptr_t value = pop_word(&m);
  if (m.failed || in->failed) *failed = true;
  return value;
}

/* What the register was in the caller. */
static uintptr_t restored(const struct rule *rule, unsigned number, const struct registers *now, uintptr_t cfa, struct view *view, bool *failed) {
  switch (rule->kind) {
    case SAME: return now->value[number];
    case UNDEFINED: return 0;
    case SAVED_AT_OFFSET: return load_word(cfa + (uintptr_t)rule->offset, view, failed);
    case IS_AT_OFFSET: return cfa + (uintptr_t)rule->offset;
    case IN_REGISTER: return rule->number < REGISTERS ? now->value[rule->number] : 0;
    case SAVED_AT_EXPRESSION: return load_word(evaluate(rule, now, &cfa, view, failed), view, failed);
    case IS_EXPRESSION: return evaluate(rule, now, &cfa, view, failed);
  }
  return 0;
}

/* An address of code, without the signature that aarch64 may have put above it. */
static uintptr_t without_signature(uintptr_t address) {
#ifdef __aarch64__
  register uintptr_t x30 asm("x30") = address;
  __asm__("hint 7" : "+r"(x30)); /* xpaclri */
  return x30;
#else
  return address;
#endif
}

/* Where a handler goes back to the kernel there is a table on x86-64; elsewhere there is none, and it is told by its two instructions: the number of
 * rt_sigreturn, and the call. What was interrupted lies on the stack then, behind the siginfo_t. */
#if defined(__aarch64__)
static const uint32_t to_kernel[2] = {0xd2801168, 0xd4000001};
enum { SIGNAL_REGISTERS = offsetof(ucontext_t, uc_mcontext.regs), SIGNAL_COUNT = 32, SIGNAL_PC = 32 };
#elif defined(__riscv)
static const uint32_t to_kernel[2] = {0x08b00893, 0x00000073};
enum { SIGNAL_REGISTERS = offsetof(ucontext_t, uc_mcontext.__gregs), SIGNAL_COUNT = 32, SIGNAL_PC = 0 };
#else
static const uint32_t to_kernel[2];
enum { SIGNAL_REGISTERS, SIGNAL_COUNT = 0, SIGNAL_PC = 0 };
#endif

static bool is_to_kernel(uintptr_t pc) {
  return to_kernel[0] && is_readable(pc) && memcmp((const void *)pc, to_kernel, sizeof to_kernel) == 0;
}

static bool step_out_of_handler(struct registers *registers, struct view *view) {
  uintptr_t at = registers->value[STACK_POINTER] + sizeof(siginfo_t) + SIGNAL_REGISTERS;
  bool failed = false;
  for (int i = 0; i < SIGNAL_COUNT; i++) registers->value[i] = load_word(at + (size_t)i * sizeof(uintptr_t), view, &failed);
  registers->pc = load_word(at + SIGNAL_PC * sizeof(uintptr_t), view, &failed);
  return !failed;
}

/* To the caller; false: there is none, or it is not to be found. */
static bool step_out(struct registers *registers, struct view *view, bool *is_exact) {
  struct frame_table table;
  struct row row;
  view->from = registers->value[STACK_POINTER];
  uintptr_t pc = registers->pc - (*is_exact ? 0 : 1);
  if (!find_table(pc, &table)) return is_to_kernel(registers->pc) && (*is_exact = step_out_of_handler(registers, view));
  if (!find_row(&table, pc, &row)) return false;
  bool failed = false;
  if (row.cfa.kind == IS_AT_OFFSET && row.cfa.number >= REGISTERS) return false;
  uintptr_t cfa = row.cfa.kind == IS_EXPRESSION ? evaluate(&row.cfa, registers, NULL, view, &failed)
                                                : registers->value[row.cfa.number] + (uintptr_t)row.cfa.offset;
  struct registers caller;
  /* (Behind a signal's frame the stack may be another.) */
  if (failed || row.of[table.return_address].kind == UNDEFINED || (!table.is_signal_frame && cfa - view->from > FRAME_MAX)) return false;
  for (unsigned i = 0; i < REGISTERS; i++) caller.value[i] = restored(&row.of[i], i, registers, cfa, view, &failed);
  if (row.of[STACK_POINTER].kind == SAME) caller.value[STACK_POINTER] = cfa;
  caller.pc = without_signature(caller.value[table.return_address]);
  *is_exact = table.is_signal_frame;
  *registers = caller;
  return !failed && caller.pc != 0;
}

/* ---- from here ------------------------------------------------------------------------------------------------------ */

/* Where frames are found by: what a callee leaves as it was, and where this is. */
static inline __attribute__((always_inline)) void read_registers(struct registers *registers) {
  memset(registers, 0, sizeof *registers);
#if defined(__x86_64__)
  __asm__ volatile(
      "movq %%rbx, 24(%1)\n\tmovq %%rbp, 48(%1)\n\tmovq %%rsp, 56(%1)\n\tmovq %%r12, 96(%1)\n\tmovq %%r13, 104(%1)\n\tmovq %%r14, 112(%1)\n\tmovq %%r15, 120(%1)\n\t"
      "leaq 0(%%rip), %0"
      : "=&r"(registers->pc) : "r"(registers->value) : "memory");
#elif defined(__aarch64__)
  __asm__ volatile(
      "stp x19, x20, [%1, #152]\n\tstp x21, x22, [%1, #168]\n\tstp x23, x24, [%1, #184]\n\tstp x25, x26, [%1, #200]\n\tstp x27, x28, [%1, #216]\n\tstp x29, x30, [%1, #232]\n\t"
      "mov %0, sp\n\tstr %0, [%1, #248]\n\tadr %0, ."
      : "=&r"(registers->pc) : "r"(registers->value) : "memory");
#elif defined(__riscv)
  __asm__ volatile(
      "sd ra, 8(%1)\n\tsd sp, 16(%1)\n\tsd s0, 64(%1)\n\tsd s1, 72(%1)\n\tsd s2, 144(%1)\n\tsd s3, 152(%1)\n\tsd s4, 160(%1)\n\tsd s5, 168(%1)\n\t"
      "sd s6, 176(%1)\n\tsd s7, 184(%1)\n\tsd s8, 192(%1)\n\tsd s9, 200(%1)\n\tsd s10, 208(%1)\n\tsd s11, 216(%1)\n\tauipc %0, 0"
      : "=&r"(registers->pc) : "r"(registers->value) : "memory");
#endif
}

__attribute__((noinline)) size_t unwind(uintptr_t *frames, size_t most) {
  struct registers registers;
  bool is_exact = true;
  size_t count = 0;
  read_registers(&registers);
  uintptr_t here = round_down(registers.value[STACK_POINTER], SMALLEST_PAGE);
  struct view view = {here, here + SMALLEST_PAGE, 0};
  while (count < most && step_out(&registers, &view, &is_exact)) frames[count++] = registers.pc + is_exact; /* who looks at the byte before it finds what was interrupted */
  return count;
}
