// Allocates and frees at random from several threads, and counts what it does itself.
//
// usage: self_counting THREADS EVENTS SEED
// Starts its threads, waits for a line on stdin (the tracer is there), lets them work, and prints one line of
// its own counts:
//   allocs=N frees=N alloc_bytes=N free_bytes=N checksum=N
//
// "Events" are allocations and frees as memtrace's ledger defines them: a realloc that succeeds on a block is
// one allocation and one free; a call that fails is neither.
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 512 };

struct counts {
    uint64_t allocs, frees, alloc_bytes, free_bytes, checksum;
};

struct worker {
    pthread_t thread;
    uint64_t seed, events;
    struct counts counts;
};

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// Blocks that one thread allocates and another frees.
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *block;
    size_t size;
} shared[64];

static void *allocate(uint64_t kind, size_t size, struct counts *counts) {
    void *block = NULL;
    switch (kind) {
    case 0: block = malloc(size); break;
    case 1: block = calloc(size, 1); break;
    case 2: block = aligned_alloc(64, size); break;
    case 3:
        if (posix_memalign(&block, 128, size) != 0) block = NULL;
        break;
#ifdef WITHOUT_MEMALIGN // heaptrack doesn't see it
    case 4: block = malloc(size); break;
#else
    case 4: block = memalign(32, size); break;
#endif
    case 5: block = reallocarray(NULL, size, 1); break;
    case 6: block = realloc(NULL, size); break;
    default: block = valloc(size); break;
    }
    if (block != NULL) {
        counts->allocs++;
        counts->alloc_bytes += size;
        memset(block, (int)size, size < 16 ? size : 16);
    }
    return block;
}

static void release(void *block, size_t size, struct counts *counts) {
    if (size > 0) counts->checksum += *(unsigned char *)block;
    free(block);
    counts->frees++;
    counts->free_bytes += size;
}

static void fail_somehow(uint64_t kind) {
    void *block = NULL;
    volatile size_t huge = SIZE_MAX / 2;
    switch (kind % 4) {
    case 0: block = malloc(huge); break;
    case 1: block = calloc(huge, 4); break;
    case 2: (void)!posix_memalign(&block, 3, 10); break;
    default: block = reallocarray(NULL, huge, 4); break;
    }
    if (block != NULL) abort();
    free(NULL);
}

static pthread_barrier_t go;

static void *work(void *argument) {
    pthread_barrier_wait(&go);
    struct worker *worker = argument;
    struct counts *counts = &worker->counts;
    void *blocks[SLOTS] = {0};
    size_t sizes[SLOTS] = {0};
    while (counts->allocs + counts->frees < worker->events) {
        uint64_t random = next(&worker->seed);
        size_t slot = random % SLOTS;
        uint64_t what = (random >> 16) % 32;
        size_t size = (random >> 32) % 2000;
        if (what == 0) {
            fail_somehow(random >> 24);
        } else if (what == 1) {
            pthread_mutex_lock(&shared_lock);
            size_t place = (random >> 24) % 64;
            if (shared[place].block != NULL) {
                release(shared[place].block, shared[place].size, counts);
                shared[place].block = NULL;
            } else {
                shared[place].block = allocate(0, size, counts);
                shared[place].size = size;
            }
            pthread_mutex_unlock(&shared_lock);
        } else if (blocks[slot] == NULL) {
            blocks[slot] = allocate((random >> 24) % 8, size, counts);
            sizes[slot] = size;
        } else if (what < 8) {
            size_t huge = SIZE_MAX / 2;
            if (what == 2) {
                if (realloc(blocks[slot], huge) != NULL) abort();
                continue;
            }
            void *moved = realloc(blocks[slot], size + 1);
            if (moved == NULL) abort();
            counts->frees++;
            counts->free_bytes += sizes[slot];
            counts->allocs++;
            counts->alloc_bytes += size + 1;
            blocks[slot] = moved;
            sizes[slot] = size + 1;
            *(unsigned char *)moved = 1;
        } else {
            release(blocks[slot], sizes[slot], counts);
            blocks[slot] = NULL;
        }
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        if (blocks[slot] != NULL) release(blocks[slot], sizes[slot], counts);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int threads = atoi(argv[1]);
    uint64_t events = strtoull(argv[2], NULL, 10);
    // Neither stdio's buffers nor the threads' own memory may count.
    static char in[256], out[4096];
    setvbuf(stdin, in, _IOFBF, sizeof in);
    setvbuf(stdout, out, _IOFBF, sizeof out);
    static struct worker workers[256];
    pthread_barrier_init(&go, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        workers[i].seed = strtoull(argv[3], NULL, 10) * 7919 + (uint64_t)i * 104729 + 1;
        workers[i].events = events / (uint64_t)threads;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) abort();
    }
    char line[16];
    if (fgets(line, sizeof line, stdin) == NULL) return 3;
    pthread_barrier_wait(&go);
    struct counts sum = {0};
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        sum.allocs += workers[i].counts.allocs;
        sum.frees += workers[i].counts.frees;
        sum.alloc_bytes += workers[i].counts.alloc_bytes;
        sum.free_bytes += workers[i].counts.free_bytes;
        sum.checksum += workers[i].counts.checksum;
    }
    printf("allocs=%lu frees=%lu alloc_bytes=%lu free_bytes=%lu checksum=%lu\n", sum.allocs, sum.frees,
           sum.alloc_bytes, sum.free_bytes, sum.checksum);
    fflush(stdout);
    // Held here until the tracer has been stopped, so that what exit() frees is not in question.
    (void)!fgets(line, sizeof line, stdin);
    return 0;
}
