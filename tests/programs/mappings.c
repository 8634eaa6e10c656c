// Maps, unmaps and remaps in every way, and counts what it does itself.
//
// usage: mappings THREADS ROUNDS
// Starts its threads, says "ready", waits for a line on stdin (the tracer is there), lets them work, and prints
// one line of its own counts, in bytes:
//   mapped=N unmapped=N heap_mapped=N heap_unmapped=N allocs=N frees=N alloc_bytes=N free_bytes=N failed=N
//
// Mapped and unmapped are whole pages. What mremap moves is neither. heap_* is what malloc has to map for the
// blocks that are too large for its own heap: one range each, of the block and its header.
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, BLOCK = 200000, LARGER = 400000, HEADER = 16 };

struct counts {
    uint64_t mapped, unmapped, heap_mapped, heap_unmapped;
    uint64_t allocs, frees, alloc_bytes, free_bytes, failed;
};

struct worker {
    pthread_t thread;
    int rounds, moves_break;
    struct counts counts;
};

static pthread_barrier_t start;
// Whoever moves the break, or fails to, has it. glibc keeps the break in a variable that each call writes, also one
// that fails, with what the break was at the time: a thread that is interrupted there makes it an old one, and the next
// `sbrk` moves the break from where it is not. A malloc that is refused tries `sbrk`, too.
static pthread_mutex_t break_mutex = PTHREAD_MUTEX_INITIALIZER;

static void check(int condition, const char *what) {
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static uint64_t pages(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static char *map(struct counts *counts, uint64_t len) {
    char *range = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // map here
    check(range != MAP_FAILED, "mmap");
    counts->mapped += pages(len);
    return range;
}

static void unmap(struct counts *counts, char *range, uint64_t len) {
    check(munmap(range, len) == 0, "munmap");
    counts->unmapped += pages(len);
}

static char *remap(struct counts *counts, char *range, uint64_t old, uint64_t len, int flags, void *to) {
    char *moved = mremap(range, old, len, flags, to);
    check(moved != MAP_FAILED, "mremap");
    if (pages(len) > pages(old)) counts->mapped += pages(len) - pages(old);
    if (pages(len) < pages(old)) counts->unmapped += pages(old) - pages(len);
    return moved;
}

// Head, tail, middle; then the two pieces that are left, one of them mapped over itself before.
static void unmap_in_parts(struct counts *counts) {
    char *range = map(counts, 16 * PAGE - 100);
    unmap(counts, range, PAGE);
    unmap(counts, range + 15 * PAGE, 10);
    unmap(counts, range + 7 * PAGE, 2 * PAGE);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    check(mmap(range + PAGE, 3 * PAGE, PROT_READ, flags, -1, 0) == range + PAGE, "mmap over itself");
    counts->mapped += 3 * PAGE;
    counts->unmapped += 3 * PAGE;
    unmap(counts, range + PAGE, 6 * PAGE);
    unmap(counts, range + 9 * PAGE, 6 * PAGE);
}

static void remap_in_all_ways(struct counts *counts) {
    char *range = map(counts, 8 * PAGE);
    range = remap(counts, range, 8 * PAGE, 5 * PAGE, 0, NULL);              // in place, smaller
    range = remap(counts, range, 5 * PAGE, 100 * PAGE, MREMAP_MAYMOVE, NULL); // wherever there is room
    char *target = map(counts, 120 * PAGE);
    // By move, over a range that goes.
    range = remap(counts, range, 100 * PAGE, 120 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    counts->unmapped += 120 * PAGE;
    check(range == target, "mremap to a fixed place");
    // A second range for the same pages; the first one stays, empty.
    char *second = mremap(range, 120 * PAGE, 120 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    check(second != MAP_FAILED, "mremap that leaves the old range");
    counts->mapped += 120 * PAGE;
    unmap(counts, range, 120 * PAGE);
    // From its middle.
    char *middle = remap(counts, second + 10 * PAGE, 10 * PAGE, 20 * PAGE, MREMAP_MAYMOVE, NULL);
    unmap(counts, middle, 20 * PAGE);
    unmap(counts, second, 10 * PAGE);
    unmap(counts, second + 20 * PAGE, 100 * PAGE);
}

static void fail(void) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    check(mmap(NULL, 0, PROT_READ, flags, -1, 0) == MAP_FAILED, "mmap of nothing");
    check(mmap(NULL, 1UL << 60, PROT_READ, flags, -1, 0) == MAP_FAILED, "mmap of too much");
    check(munmap((void *)0x10001, PAGE) != 0, "munmap of half a page");
    check(munmap((void *)0x10000, 0) != 0, "munmap of nothing");
    pthread_mutex_lock(&break_mutex);
    check(sbrk(1L << 60) == (void *)-1, "sbrk of too much");
    pthread_mutex_unlock(&break_mutex);
    check(mremap((void *)0x1000, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED, "mremap of nothing");
}

static void fail_to_remap(struct counts *counts) {
    char *range = map(counts, 4 * PAGE);
    check(mremap(range, 4 * PAGE, 1UL << 60, MREMAP_MAYMOVE) == MAP_FAILED, "mremap to too much");
    unmap(counts, range, 4 * PAGE);
}

// musl refuses to move the break, and its malloc maps in its own way.
#ifdef __GLIBC__
static void move_break_to(struct counts *counts, int64_t by, int by_address) {
    uint64_t before = pages((uint64_t)sbrk(0));
    if (by_address)
        check(brk((char *)sbrk(0) + by) == 0, "brk");
    else
        check(sbrk(by) != (void *)-1, "sbrk");
    uint64_t after = pages((uint64_t)sbrk(0));
    if (after > before) counts->mapped += after - before;
    if (after < before) counts->unmapped += before - after;
}

static void move_break(struct counts *counts) {
    pthread_mutex_lock(&break_mutex);
    move_break_to(counts, 5 * PAGE + 100, 0);
    move_break_to(counts, 10, 0);
    move_break_to(counts, -2 * PAGE, 0);
    move_break_to(counts, 3 * PAGE, 1);
    move_break_to(counts, -4 * PAGE, 1);
    pthread_mutex_unlock(&break_mutex);
}

static void set_up_malloc(void) {
    // One heap for all threads, and a fixed size from which on malloc maps.
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}
#else
static void move_break(struct counts *counts) { (void)counts; }
static void set_up_malloc(void) {}
#endif

static void allocate(struct counts *counts) {
    char *kept = malloc(BLOCK); // kept for ever
    char *gone = malloc(BLOCK);
    check(kept != NULL && gone != NULL, "malloc");
    gone = realloc(gone, LARGER);
    check(gone != NULL, "realloc");
    memset(gone, 1, LARGER);
    free(gone);
    counts->allocs += 3;
    counts->alloc_bytes += 2 * BLOCK + LARGER;
    counts->frees += 2;
    counts->free_bytes += BLOCK + LARGER;
    counts->heap_mapped += pages(BLOCK + HEADER) + pages(LARGER + HEADER);
    counts->heap_unmapped += pages(LARGER + HEADER);
    pthread_mutex_lock(&break_mutex);
    char *none = malloc((size_t)1 << 60);
    pthread_mutex_unlock(&break_mutex);
    counts->failed += none == NULL;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct counts *counts = &worker->counts;
    pthread_barrier_wait(&start);
    for (int round = 0; round < worker->rounds; round++) {
        map(counts, 3 * PAGE); // kept for ever
        unmap_in_parts(counts);
        remap_in_all_ways(counts);
        fail();
        fail_to_remap(counts);
        if (worker->moves_break) move_break(counts);
        allocate(counts);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    int rounds = argc > 2 ? atoi(argv[2]) : 1;
    set_up_malloc();
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    check(workers != NULL, "calloc");
    pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        workers[i].rounds = rounds;
        workers[i].moves_break = i == 0; // what it counts is the difference that it made itself
        check(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "pthread_create");
    }
    puts("ready");
    fflush(stdout);
    char line[8];
    check(read(STDIN_FILENO, line, sizeof line) > 0, "stdin");
    pthread_barrier_wait(&start);
    struct counts sum = {0};
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        uint64_t *to = (uint64_t *)&sum, *from = (uint64_t *)&workers[i].counts;
        for (size_t at = 0; at < sizeof sum / sizeof *to; at++) to[at] += from[at];
    }
    printf("mapped=%lu unmapped=%lu heap_mapped=%lu heap_unmapped=%lu allocs=%lu frees=%lu alloc_bytes=%lu "
           "free_bytes=%lu failed=%lu\n",
           sum.mapped, sum.unmapped, sum.heap_mapped, sum.heap_unmapped, sum.allocs, sum.frees,
           sum.alloc_bytes, sum.free_bytes, sum.failed);
    fflush(stdout);
    _exit(0);
}
