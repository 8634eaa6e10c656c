// Many threads that allocate at the same time, each by turns on several stacks that no other thread has.
//
// concurrency THREADS MILLISECONDS: says "ready", goes on at a line, says "halfway" and "done", and ends with its input.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "known.h"

enum { LIFETIME_SECONDS = 180, STACKS = 4, MOST_THREADS = 256, FIRST_SIZE = 5001 };

struct job {
    // The way down, two bits at each step; the lowest are the outermost's.
    uint64_t path;
    int depth;
    size_t size;
    unsigned long number;
};

typedef void step_fn(struct job *job, int depth);
static step_fn step0, step1, step2, step3;
static step_fn *const steps[] = {step0, step1, step2, step3};

static void tell_nothing_before(const char *name, size_t size) { (void)name, (void)size; }
static void tell_nothing_after(size_t size) { (void)size; }

// Straight on, so that the call of malloc lies between the other two.
APART static void allocate(struct job *job) {
    int first = job->number++ == 0;
    void (*before)(const char *, size_t) = first ? known_before_size : tell_nothing_before;
    void (*after)(size_t) = first ? known_after : tell_nothing_after;
    before("one of many threads", job->size);
    void *block = malloc(job->size);
    after(job->size);
    free(block);
}

static void go_down(struct job *job, int depth) {
    if (depth == job->depth)
        allocate(job);
    else
        steps[job->path >> (2 * depth) & 3](job, depth + 1);
    STAY;
}

// Each with a frame of another size.
#define STEP(name, room)                                       \
    APART static void name(struct job *job, int depth) {       \
        volatile char space[room];                             \
        space[0] = 1;                                          \
        go_down(job, depth);                                   \
        space[room - 1] = space[0];                            \
    }
STEP(step0, 8)
STEP(step1, 40)
STEP(step2, 200)
STEP(step3, 1000)

static long milliseconds;

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void *work(void *argument) {
    size_t thread = (size_t)argument;
    struct job jobs[STACKS];
    for (size_t i = 0; i < STACKS; i++) {
        size_t number = thread * STACKS + i;
        // The number itself, which no other has, and more of the same kind to another depth.
        uint64_t path = number | number * 0x9e3779b97f4a7c00u;
        jobs[i] = (struct job){path, 5 + (int)(number * 7 % 26), FIRST_SIZE + 2 * number, 0};
    }
    unsigned random = (unsigned)thread;
    long end = now() + milliseconds;
    while (now() < end) {
        for (int i = 0; i < 100; i++) {
            random = random * 1103515245 + 12345;
            go_down(&jobs[random >> 16 & (STACKS - 1)], 0);
        }
    }
    for (int i = 0; i < STACKS; i++) known_count(jobs[i].size, jobs[i].number);
    return NULL;
}

int main(int argc, char **argv) {
    static pthread_t threads[MOST_THREADS];
    static char in[256];
    char line[64];
    if (argc < 3) return 2;
    size_t number = (size_t)atoi(argv[1]);
    milliseconds = atol(argv[2]);
    if (number > MOST_THREADS) return 2;
    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, in, _IOFBF, sizeof in);
    puts("ready");
    if (!fgets(line, sizeof line, stdin)) return 2;
    for (size_t i = 0; i < number; i++) {
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0) abort();
    }
    struct timespec half = {milliseconds / 2000, milliseconds / 2 % 1000 * 1000000};
    nanosleep(&half, NULL);
    puts("halfway");
    for (size_t i = 0; i < number; i++) pthread_join(threads[i], NULL);
    puts("done");
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}
