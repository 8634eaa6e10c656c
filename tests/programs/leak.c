/*
 * Leaks 100 blocks of 1000 bytes per iteration from one line, and frees everything else that it
 * allocates, in every way that C has.
 *
 * leak ITERATIONS [wait]: with `wait`, each iteration begins with a line on standard input.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 100, SIZE = 1000, LIFETIME_SECONDS = 120 };

struct kept {
    struct kept *next;
    char rest[SIZE - sizeof(struct kept *)];
};

static struct kept *kept;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void keep(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        struct kept *block = malloc(sizeof *block); /* the leak */

        if (!block)
            abort();
        block->next = kept;
        kept = block;
    }
}

static void *must(void *block)
{
    if (!block)
        abort();
    return block;
}

__attribute__((noinline)) static void allocate_and_free(void)
{
    void *aligned = NULL;
    char *grown = NULL;
    char *copies[20];
    size_t too_much = (size_t)-1 / 2;

    for (size_t size = 16; size <= 1 << 20; size *= 2) {
        grown = must(realloc(grown, size));
        memset(grown, 1, size);
    }
    grown = must(realloc(grown, 100));
    __asm__ volatile("" : "+r"(too_much)); /* or the compiler warns of what is meant to fail */
    if (realloc(grown, too_much))
        abort();
    free(grown);
    free(must(reallocarray(NULL, 30, 40)));
    free(must(calloc(50, 60)));
    if (posix_memalign(&aligned, 256, 3000))
        abort();
    free(aligned);
    free(must(aligned_alloc(64, 640)));
    free(must(memalign(128, 1000)));
    free(must(valloc(5000)));
    free(must(malloc(300 * 1024))); /* by mmap */
    free(malloc(0));
    free(NULL);
    for (int i = 0; i < 20; i++)
        copies[i] = must(strdup("a string that is copied a few times"));
    for (int i = 0; i < 20; i++)
        free(copies[i]);
}

int main(int argc, char **argv)
{
    int iterations = argc > 1 ? atoi(argv[1]) : 1;
    int waits = argc > 2 && !strcmp(argv[2], "wait");
    char line[64];

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    for (int i = 0; i < iterations; i++) {
        if (waits && !fgets(line, sizeof line, stdin))
            break;
        allocate_and_free();
        keep();
        mark_iteration();
    }
    puts("done");
    if (waits)
        while (fgets(line, sizeof line, stdin))
            ;
    return 0;
}
