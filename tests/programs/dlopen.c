/*
 * Loads a library that brings an allocator, and leaks 1000 blocks of 1000 bytes from it at once; then does it
 * once more after a while.
 *
 * dlopen LIBRARY ALLOCATE [wait]: with `wait`, a line on standard input comes first.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 1000, SIZE = 1000, LIFETIME_SECONDS = 120 };

typedef void *allocate_fn(size_t size, int flags);

static void *volatile shared;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void at_once(allocate_fn *allocate)
{
    for (int i = 0; i < BLOCKS; i++)
        shared = allocate(SIZE, 0); /* at once */
}

__attribute__((noinline)) static void later(allocate_fn *allocate)
{
    for (int i = 0; i < BLOCKS; i++)
        shared = allocate(SIZE, 0); /* later */
}

int main(int argc, char **argv)
{
    struct timespec second = {.tv_sec = 1};
    char line[64];
    void *library;
    allocate_fn *allocate;

    if (argc < 3)
        return 2;
    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    if (argc > 3 && !fgets(line, sizeof line, stdin))
        return 2;
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    allocate = (allocate_fn *)dlsym(library, argv[2]);
    if (!allocate)
        return 4;
    at_once(allocate);
    nanosleep(&second, NULL);
    later(allocate);
    mark_iteration();
    puts("done");
    if (argc > 3)
        while (fgets(line, sizeof line, stdin))
            ;
    return 0;
}
