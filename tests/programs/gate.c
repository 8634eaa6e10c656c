/*
 * A program for gates, built with and without -DLEAK: with it, 10 blocks of 1000 bytes stay in each iteration. 100 bytes stay
 * in both builds, by a line that the other build has elsewhere.
 *
 * gate ITERATIONS STATUS [wait]: ends with STATUS; with `wait`, each iteration begins with a line on standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 10, SIZE = 1000, KNOWN = 100, LIFETIME_SECONDS = 120 };

struct kept {
    struct kept *next;
};

static struct kept *kept;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

static void keep(struct kept *block)
{
    block->next = kept;
    kept = block;
}

__attribute__((noinline)) static void serve(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        struct kept *block = malloc(SIZE); /* the leak */

        if (!block)
            abort();
#ifdef LEAK
        keep(block);
#else
        memset(block, i, SIZE);
        __asm__ volatile("" : : "r"(block) : "memory");
        free(block);
#endif
    }
}

#ifdef LEAK
#line 1000
#endif
__attribute__((noinline)) static void remember(void)
{
    struct kept *block = malloc(KNOWN); /* what is known to stay */

    if (!block)
        abort();
    keep(block);
}

int main(int argc, char **argv)
{
    int iterations = argc > 1 ? atoi(argv[1]) : 1;
    int status = argc > 2 ? atoi(argv[2]) : 0;
    int waits = argc > 3 && !strcmp(argv[3], "wait");
    char line[64];

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    for (int i = 0; i < iterations; i++) {
        if (waits && !fgets(line, sizeof line, stdin))
            break;
        serve();
        remember();
        mark_iteration();
    }
    puts("done");
    if (waits)
        while (fgets(line, sizeof line, stdin))
            ;
    return status;
}
