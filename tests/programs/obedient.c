/*
 * Does what the lines of its standard input say, and answers each with "done":
 *
 *   + BLOCKS SIZE   allocates so many blocks, and keeps them
 *   -               frees all that it keeps
 *   m               passes the probe memtrace:iteration
 *   g               passes such a probe behind a semaphore, as sys/sdt.h and others have it
 *   s               says what that semaphore is at
 *   c               calls mark_iteration()
 */
#include "../../include/memtrace.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 100000, LIFETIME_SECONDS = 120 };

__attribute__((section(".probes"))) volatile unsigned short memtrace_iteration_semaphore;

static void *kept[MOST];
static int keeps;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void pass_guarded(void)
{
    __asm__ volatile("990: nop\n"
                     ".pushsection .note.stapsdt,\"?\",\"note\"\n"
                     ".balign 4\n"
                     ".4byte 992f-991f, 994f-993f, 3\n"
                     "991: .asciz \"stapsdt\"\n"
                     "992: .balign 4\n"
                     "993: .8byte 990b, _.stapsdt.base, memtrace_iteration_semaphore\n"
                     ".asciz \"memtrace\", \"iteration\", \"\"\n"
                     "994: .balign 4\n"
                     ".popsection\n" ::
                         : "memory");
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
        case 'g':
            if (memtrace_iteration_semaphore)
                pass_guarded();
            break;
        case 's':
            printf("semaphore %d\n", memtrace_iteration_semaphore);
            break;
        case 'c':
            mark_iteration();
            break;
        }
        puts("done");
    }
    return 0;
}
