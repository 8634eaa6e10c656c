/*
 * THREADS threads allocate and free without end, while another one ends an iteration RATE times a second, and knows what
 * each of them has in it:
 *
 * marker THREADS RATE ITERATIONS FILE
 *
 * A thread holds the lock for reading from before a call of the allocator until that is in its books; the marker holds it
 * for writing while it adds up these books and calls mark_iteration(). So when a mark is made, no call is under way, and
 * what the books say is what happened before it. Begins at a line of standard input, says "done" after the last mark, and
 * writes the books into FILE when its input has ended: the counts of `tests/src/book.rs`.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 64, SLOTS = 64, LIFETIME_SECONDS = 120 };

struct counts {
    int64_t allocs, frees, alloc_bytes, free_bytes, failed, unknown;
};

struct worker {
    _Alignas(64) struct counts counts;
    pthread_t thread;
    uint64_t seed;
};

static pthread_rwlock_t lock;
static struct worker workers[MOST_THREADS];
static volatile int begun, ended;

__attribute__((noinline)) void mark_iteration(void)
{
    __asm__ volatile("" ::: "memory");
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct counts *counts = &worker->counts;
    void *blocks[SLOTS] = {0};
    size_t sizes[SLOTS] = {0};

    while (!begun)
        usleep(1000);
    while (!ended) {
        uint64_t random = next(&worker->seed);
        size_t slot = random % SLOTS, size = 1 + (random >> 32) % 500;

        pthread_rwlock_rdlock(&lock);
        if (blocks[slot]) {
            free(blocks[slot]);
            blocks[slot] = NULL;
            counts->frees++;
            counts->free_bytes += (int64_t)sizes[slot];
        } else {
            blocks[slot] = random >> 63 ? malloc(size) : calloc(1, size);
            if (!blocks[slot])
                abort();
            sizes[slot] = size;
            counts->allocs++;
            counts->alloc_bytes += (int64_t)size;
        }
        pthread_rwlock_unlock(&lock);
    }
    return NULL;
}

static struct counts sum(int threads)
{
    struct counts sum = {0};

    for (int i = 0; i < threads; i++) {
        sum.allocs += workers[i].counts.allocs;
        sum.frees += workers[i].counts.frees;
        sum.alloc_bytes += workers[i].counts.alloc_bytes;
        sum.free_bytes += workers[i].counts.free_bytes;
    }
    return sum;
}

static void must_write(int file, const void *bytes, size_t size)
{
    if (write(file, bytes, size) != (ssize_t)size)
        abort();
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int threads = atoi(argv[1]);
    long pause = 1000000000 / atol(argv[2]);
    int64_t iterations = atol(argv[3]);
    struct counts *books = calloc((size_t)iterations, sizeof *books);
    struct counts end;
    struct timespec at;
    pthread_rwlockattr_t kind;
    char line[64];

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    pthread_rwlockattr_init(&kind);
    pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&lock, &kind);
    if (!books || threads > MOST_THREADS)
        return 2;
    for (int i = 0; i < threads; i++) {
        workers[i].seed = (uint64_t)i * 7919 + 1;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            abort();
    }
    puts("ready");
    if (!fgets(line, sizeof line, stdin))
        return 3;
    begun = 1;
    clock_gettime(CLOCK_MONOTONIC, &at);
    struct timespec start = at;
    for (int64_t i = 0; i < iterations; i++) {
        at.tv_nsec += pause;
        if (at.tv_nsec >= 1000000000) {
            at.tv_nsec -= 1000000000;
            at.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        pthread_rwlock_wrlock(&lock);
        books[i] = sum(threads);
        mark_iteration();
        pthread_rwlock_unlock(&lock);
    }
    clock_gettime(CLOCK_MONOTONIC, &at);
    pthread_rwlock_wrlock(&lock); /* all stand still */
    end = sum(threads);
    printf("done in %.3f s\n", (double)(at.tv_sec - start.tv_sec) + (double)(at.tv_nsec - start.tv_nsec) / 1e9);
    while (fgets(line, sizeof line, stdin))
        ;
    int file = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must_write(file, &end, sizeof end);
    must_write(file, &iterations, sizeof iterations);
    must_write(file, books, (size_t)iterations * sizeof *books);
    _exit(0);
}
