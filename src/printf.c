/* SPDX-License-Identifier: MIT */
/* See printf.h. */
#include "printf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "os.h"

enum { CUT = -1 }; /* for fd: what does not fit is left away */

void printer_flush(struct printer *out) {
  sys_write(out->fd, out->bytes, out->length);
  out->length = 0;
}

static void put(struct printer *out, char c) {
  if (out->length == sizeof out->bytes && out->fd != CUT) printer_flush(out);
  if (out->length < sizeof out->bytes) out->bytes[out->length++] = c;
}

static void put_padded(struct printer *out, const char *s, size_t length, size_t width, bool left) {
  size_t padding = width > length ? width - length : 0;
  for (size_t i = 0; !left && i < padding; i++) put(out, ' ');
  for (size_t i = 0; i < length; i++) put(out, s[i]);
  for (size_t i = 0; left && i < padding; i++) put(out, ' ');
}

/* Digits of `n`, most significant first, at the end of `room`; returns where they start. */
static char *digits_of(uint64_t n, unsigned base, char *room_end) {
  char *at = room_end;
  do *--at = "0123456789abcdef"[n % base];
  while (n /= base);
  return at;
}

static void put_number(struct printer *out, uint64_t n, unsigned base, size_t width, bool left) {
  char room[20];
  char *digits = digits_of(n, base, room + sizeof room);
  put_padded(out, digits, (size_t)(room + sizeof room - digits), width, left);
}

static void put_string(struct printer *out, const char *s, size_t width, bool left) {
  size_t length = 0;
  while (s[length]) length++;
  put_padded(out, s, length, width, left);
}

static void put_all(struct printer *out, const char *format, va_list args) {
  for (const char *f = format; *f; f++) {
    if (*f != '%') {
      put(out, *f);
      continue;
    }
    bool left = *++f == '-';
    if (left) f++;
    size_t width = 0;
    for (; *f >= '0' && *f <= '9'; f++) width = width * 10 + (size_t)(*f - '0');
    switch (*f) {
      case 's': put_string(out, va_arg(args, const char *), width, left); break;
      case 'u': put_number(out, va_arg(args, unsigned), 10, width, left); break;
      case 'z': put_number(out, va_arg(args, size_t), 10, width, left); f++; break;
      case 'p':
        put_string(out, "0x", 0, false);
        put_number(out, (uintptr_t)va_arg(args, void *), 16, 0, false);
        break;
      case '%': put(out, '%'); break;
      default: DIE("print: unknown conversion");
    }
  }
}

void print(int fd, const char *format, ...) {
  struct printer out = {.fd = CUT};
  va_list args;
  va_start(args, format);
  put_all(&out, format, args);
  va_end(args);
  sys_write(fd, out.bytes, out.length);
}

void printer_print(struct printer *out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  put_all(out, format, args);
  va_end(args);
}
