/*
 * Ends an iteration ITERATIONS times, RATE times a second. Each allocates three blocks and frees two of them: 16 bytes
 * stay.
 *
 * many RATE ITERATIONS: begins at a line of standard input, and says "done" in the end.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LIFETIME_SECONDS = 300 };

struct kept {
    struct kept *next;
    long number;
};

static struct kept *kept;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

static void *must(void *block)
{
    if (!block)
        abort();
    return block;
}

__attribute__((noinline)) static void iterate(long number)
{
    void *first = must(malloc(100));
    void *second = must(calloc(10, 20));
    struct kept *block = must(malloc(sizeof *block)); /* the leak */

    block->next = kept;
    block->number = number;
    kept = block;
    free(first);
    free(second);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long pause = 1000000000 / atol(argv[1]), iterations = atol(argv[2]);
    struct timespec at;
    char line[64];

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    if (!fgets(line, sizeof line, stdin))
        return 3;
    clock_gettime(CLOCK_MONOTONIC, &at);
    struct timespec start = at;
    for (long i = 0; i < iterations; i++) {
        at.tv_nsec += pause;
        if (at.tv_nsec >= 1000000000) {
            at.tv_nsec -= 1000000000;
            at.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        iterate(i);
        mark_iteration();
    }
    clock_gettime(CLOCK_MONOTONIC, &at);
    printf("done in %.3f s\n", (double)(at.tv_sec - start.tv_sec) + (double)(at.tv_nsec - start.tv_nsec) / 1e9);
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}
