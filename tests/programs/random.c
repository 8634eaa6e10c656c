// Runs random programs: sequences of calls of every allocation function with every kind of argument, good and bad.
// A seed determines its sequence. Before each there is a mark; blocks live on from one to the next.
//
// usage: random FIRST_SEED SEEDS [threads]
// Prints a checksum over the blocks' contents, which no tracer may change.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, THREADS = 8, BIG = 300000 };

struct worker {
    uint64_t state, sum;
    int steps;
    unsigned char *blocks[SLOTS];
    size_t sizes[SLOTS];
};

__attribute__((weak)) void oracle_mark(void);

__attribute__((noinline)) void mark_iteration(void) {
    if (oracle_mark != NULL) oracle_mark();
}

static uint64_t next(struct worker *w) {
    w->state ^= w->state << 13;
    w->state ^= w->state >> 7;
    w->state ^= w->state << 17;
    return w->state * 0x2545f4914f6cdd1du >> 8;
}

static void keep(struct worker *w, int slot, void *block, size_t size) {
    w->blocks[slot] = block;
    w->sizes[slot] = size;
    if (block == NULL) return;
    size_t filled = size < 64 ? size : 64;
    memset(block, (int)(size * 31 + (size_t)slot), filled);
}

static void check(struct worker *w, int slot) {
    size_t size = w->sizes[slot], filled = size < 64 ? size : 64;
    for (size_t i = 0; i < filled; i++) {
        if (w->blocks[slot][i] != (unsigned char)(size * 31 + (size_t)slot)) abort();
        w->sum = w->sum * 33 + w->blocks[slot][i];
    }
}

static void drop(struct worker *w, int slot) {
    check(w, slot);
    free(w->blocks[slot]);
    w->blocks[slot] = NULL;
}

static void must_fail(void *block) {
    if (block != NULL) abort();
}

static void fail(uint64_t random) {
    volatile size_t huge = SIZE_MAX / 2 + 1;
    void *block = NULL;
    switch (random % 12) {
    case 0: must_fail(malloc(huge)); break;
    case 1: must_fail(calloc(huge, 2)); break;
    case 2: must_fail(calloc(huge / 4, 9)); break;
    case 3: must_fail(realloc(NULL, huge)); break;
    case 4: must_fail(reallocarray(NULL, huge, 2)); break;
    case 5: must_fail(reallocarray(NULL, huge / 4, 9)); break;
    case 6:
        if (posix_memalign(&block, 3, 10) != EINVAL) abort();
        break;
    case 7:
        if (posix_memalign(&block, 64, huge) != ENOMEM) abort();
        break;
    case 8: must_fail(aligned_alloc(64, huge)); break;
    case 9: must_fail(memalign(huge + 1, 8)); break;
    case 10: must_fail(valloc(huge)); break;
    default: must_fail(pvalloc(huge)); break;
    }
    free(NULL);
}

static void allocate(struct worker *w, int slot, uint64_t random) {
    size_t size = (random >> 16) % 3000;
    if ((random >> 40) % 16 == 0) size = 0;
    if ((random >> 40) % 16 == 1) size = BIG + size; // beyond malloc's threshold: mmap
    size_t alignment = (size_t)8 << (random >> 48) % 9;
    void *block = NULL;
    switch (random % 12) {
    case 0:
    case 1: block = malloc(size); break;
    case 2: block = calloc(1, size); break;
    case 3: block = calloc(size, 3), size *= 3; break;
    case 4: block = realloc(NULL, size); break;
    case 5: block = reallocarray(NULL, size, 2), size *= 2; break;
    case 6:
        if (posix_memalign(&block, alignment, size) != 0) abort();
        break;
    case 7: block = aligned_alloc(alignment, size); break;
    case 8: block = aligned_alloc((random >> 48) % 70, size); break; // glibc rounds it up
    case 9: block = memalign((random >> 48) % 300, size); break;
    case 10: block = valloc(size); break;
    default: block = pvalloc(size); break;
    }
    if (block == NULL) abort();
    keep(w, slot, block, size);
}

static void reallocate(struct worker *w, int slot, uint64_t random) {
    volatile size_t huge = SIZE_MAX / 2 + 1;
    size_t size = 1 + (random >> 16) % 3000;
    check(w, slot);
    void *block = w->blocks[slot];
    switch (random % 10) {
    case 0: must_fail(realloc(block, 0)), keep(w, slot, NULL, 0); return; // glibc frees it
    case 1: must_fail(reallocarray(block, 0, 7)), keep(w, slot, NULL, 0); return;
    case 2: must_fail(realloc(block, huge)); return;
    case 3: must_fail(reallocarray(block, huge, 2)); return;     // the product wraps to 0
    case 4: must_fail(reallocarray(block, huge / 4, 9)); return; // to something
    case 5: size += BIG; block = realloc(block, size); break;    // may be mremap
    case 6: block = reallocarray(block, size, 2), size *= 2; break;
    case 7: size = 1 + w->sizes[slot] / 2; block = realloc(block, size); break;
    default: block = realloc(block, size); break;
    }
    if (block == NULL) abort();
    keep(w, slot, block, size);
}

// What the C library allocates by itself.
static void use_library(struct worker *w, uint64_t random) {
    char *text = NULL;
    size_t room = 0;
    FILE *file;
    switch (random % 4) {
    case 0:
        text = strdup("a string of some length");
        break;
    case 1:
        if (asprintf(&text, "%0*d", (int)(random >> 16) % 300 + 1, 7) < 0) abort();
        break;
    case 2:
        file = fopen("/proc/sys/kernel/ostype", "r");
        if (file == NULL || getline(&text, &room, file) < 0) abort();
        fclose(file);
        break;
    default:
        file = open_memstream(&text, &room);
        for (uint64_t i = 0; i < (random >> 16) % 100; i++) fprintf(file, "%d of many words ", 7);
        fclose(file);
        break;
    }
    w->sum = w->sum * 33 + (unsigned char)text[0];
    free(text);
}

static void *work(void *argument);

static void step(struct worker *w) {
    uint64_t random = next(w), what = random % 32;
    int slot = (int)((random >> 5) % SLOTS);
    random >>= 11;
    if (what == 0) {
        fail(random);
    } else if (what == 1) {
        use_library(w, random);
    } else if (w->blocks[slot] == NULL) {
        allocate(w, slot, random);
    } else if (what < 16) {
        reallocate(w, slot, random);
    } else {
        drop(w, slot);
    }
}

static void *work(void *argument) {
    struct worker *w = argument;
    for (int i = 0; i < w->steps; i++) step(w);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    uint64_t first = strtoull(argv[1], NULL, 10), seeds = strtoull(argv[2], NULL, 10);
    int threads = argc > 3 ? THREADS : 1;
    static struct worker workers[THREADS];
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        mark_iteration();
        pthread_t ids[THREADS];
        for (int i = 0; i < threads; i++) {
            workers[i].state = seed * 0x9e3779b97f4a7c15u + (uint64_t)i + 1;
            workers[i].steps = 50 + (int)(seed % 200);
            if (threads == 1) {
                work(&workers[i]);
            } else if (pthread_create(&ids[i], NULL, work, &workers[i]) != 0) {
                abort();
            }
        }
        for (int i = 0; threads > 1 && i < threads; i++) pthread_join(ids[i], NULL);
        // Each thread's blocks go on to the next one, which frees what it did not allocate.
        for (int slot = 0; slot < SLOTS; slot++) {
            for (int i = 0; i + 1 < threads; i++) {
                unsigned char *block = workers[i].blocks[slot];
                size_t size = workers[i].sizes[slot];
                workers[i].blocks[slot] = workers[i + 1].blocks[slot];
                workers[i].sizes[slot] = workers[i + 1].sizes[slot];
                workers[i + 1].blocks[slot] = block;
                workers[i + 1].sizes[slot] = size;
            }
        }
    }
    mark_iteration();
    uint64_t sum = 0;
    for (int i = 0; i < threads; i++) sum ^= workers[i].sum;
    printf("checksum %lu\n", sum);
    return 0;
}
