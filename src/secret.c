/* SPDX-License-Identifier: MIT */
/* See secret.h.
 *
 * The kernel gives a process 16 random bytes at exec; the C library makes the stack canary of the first eight and guards its pointers
 * with the others. What stands in our memory can be read out of it by a program that leaks memory, so it must not lead back
 * there: SipHash-2-4, keyed with all 16, is known to be one-way. No system call. */
#include "secret.h"

#include "os.h"

struct secrets secrets;

static uint64_t rotate(uint64_t word, unsigned by) { return word << by | word >> (64 - by); }

static void sip_rounds(uint64_t v[4], int rounds) {
  while (rounds-- > 0) {
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
  }
}

/* SipHash-2-4 of a message of eight bytes. */
static uint64_t sip_hash(const uint64_t key[2], uint64_t message) {
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
  const uint64_t words[] = {message, (uint64_t)sizeof message << 56};
  for (int i = 0; i < 2; i++) {
    v[3] ^= words[i];
    sip_rounds(v, 2);
    v[0] ^= words[i];
  }
  v[2] ^= 0xff;
  sip_rounds(v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void secrets_make(void) {
  uint64_t key[2];
  sys_random(key);
  secrets = (struct secrets){sip_hash(key, 0), sip_hash(key, 1), sip_hash(key, 2), {sip_hash(key, 3), sip_hash(key, 4)}};
}

uint64_t secret_salt(void) {
  static uint64_t births; /* atomic */
  uint64_t salt = sip_hash(secrets.slab, __atomic_add_fetch(&births, 1, __ATOMIC_RELAXED));
  return salt;
}
