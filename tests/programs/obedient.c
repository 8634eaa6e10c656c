/*
 * Does what the lines of its standard input say, and answers each with "done":
 *
 *   + BLOCKS SIZE   allocates so many blocks, and keeps them
 *   -               frees all that it keeps
 *   m               passes the probe memtrace:iteration
 *   c               calls mark_iteration()
 */
#include "../../include/memtrace.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 100000, LIFETIME_SECONDS = 120 };

static void *kept[MOST];
static int keeps;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void keep(int blocks, size_t size)
{
    for (int i = 0; i < blocks && keeps < MOST; i++) {
        kept[keeps] = malloc(size); /* what it keeps */
        if (!kept[keeps++])
            abort();
    }
}

int main(void)
{
    char line[64];
    int blocks;
    size_t size;

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        switch (line[0]) {
        case '+':
            if (sscanf(line + 1, "%d %zu", &blocks, &size) == 2)
                keep(blocks, size);
            break;
        case '-':
            while (keeps > 0)
                free(kept[--keeps]);
            break;
        case 'm':
            MEMTRACE_ITERATION();
            break;
        case 'c':
            mark_iteration();
            break;
        }
        puts("done");
    }
    return 0;
}
