/* SPDX-License-Identifier: MIT */
/* launch LIBRARY REPORT COMMAND...: runs COMMAND under LD_PRELOAD=LIBRARY and
 * writes what it and all its descendants used to the file REPORT, one line:
 *
 *     status user_us system_us wall_us peak_kib minor_faults
 *
 * status is the exit status, or 128 + signal. peak_kib is the largest single
 * process. Two reasons for a program of its own: a child starts with the peak
 * of the memory it was forked from, so a fat parent (python) would hide every
 * small command; and the library must not be loaded into the measuring side. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static long long microseconds(struct timeval t)
{
    return t.tv_sec * 1000000LL + t.tv_usec;
}

static void report(const char *path, int status, long long wall_us, const struct rusage *used)
{
    FILE *out = fopen(path, "w");
    if (!out)
        exit(127);
    fprintf(out, "%d %lld %lld %lld %ld %ld\n",
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            microseconds(used->ru_utime), microseconds(used->ru_stime), wall_us,
            used->ru_maxrss, used->ru_minflt);
    fclose(out);
}

int main(int argc, char **argv)
{
    int status = 127 << 8;
    struct rusage used = {0};
    if (argc < 4)
        return 2;
    setenv("LD_PRELOAD", argv[1], 1);
    long long start_us = now_us();
    pid_t child = vfork();
    if (child == 0) {
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    if (child > 0)
        wait4(child, &status, 0, &used);
    report(argv[2], status, now_us() - start_us, &used);
    return 0;
}
