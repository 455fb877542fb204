/* SPDX-License-Identifier: MIT */
/* fork: every lock is held across it, and the child goes on with what it finds. */
#ifndef OSMEM_FORK_H
#define OSMEM_FORK_H

/* Once, at the start. */
void fork_set_up(void);

/* Have glibc's function register handlers, at no time at which that would be a deadlock. Its answer. */
typedef int fork_registrar(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
int fork_register(fork_registrar *registrar, void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);

#endif
