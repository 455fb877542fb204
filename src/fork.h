/* fork: every lock is held across it, and the child goes on with what it finds. */
#ifndef OSMEM_FORK_H
#define OSMEM_FORK_H

/* Once, at the start. */
void fork_set_up(void);

#endif
