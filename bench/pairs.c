/* What allocation calls cost. Reads a number of milliseconds per line and allocates for so long, in each of
 * its threads, then writes: calls, CPU time of all threads in ns, wall time in ns, threads. CPU time, because
 * it is what a call costs even where other programs take a share of the machine.
 *
 * usage: pairs pair|large|realloc|fresh THREADS DEPTH
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 64, CALLS_PER_LOOK = 256 };

typedef void (*body)(void);

static body loop;
static int depth;
static long long deadline;

struct result {
    long long calls, cpu;
};

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Keeps the compiler from leaving out an allocation that nobody uses. */
static void *used(void *p) {
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void pairs(void) {
    for (int i = 0; i < CALLS_PER_LOOK; i++)
        free(used(malloc(100)));
}

/* As large as what Python takes from malloc in any build, with its header. */
static void large(void) {
    for (int i = 0; i < CALLS_PER_LOOK; i++)
        free(used(malloc(633)));
}

static void reallocs(void) {
    static __thread void *block;
    for (int i = 0; i < CALLS_PER_LOOK; i++)
        block = used(realloc(block, i & 1 ? 100 : 200));
}

/* Many functions, each of which calls another of them, that is drawn by lot, until DEPTH frames are there: so neither
 * the stack nor the functions in it are among the last few thousand. There are as many stacks as lots to begin with.
 * rdi: frames to go, rsi: the lot. */
enum { CLONES = 16384, STACKS = 16384 };
void wander(long frames, unsigned long lot);
__asm__(".text\n"
        ".p2align 5\n"
        "clones:\n"
        ".rept 16384\n"
        ".p2align 5\n"
        ".cfi_startproc\n"
        "sub $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "call wander\n"
        "add $8, %rsp\n"
        ".cfi_adjust_cfa_offset -8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".endr\n"
        ".globl wander\n"
        "wander:\n"
        ".cfi_startproc\n"
        "dec %rdi\n"
        "jz arrive\n"
        "imul $1664525, %rsi\n"
        "add $1013904223, %rsi\n"
        "mov %rsi, %rax\n"
        "shr $13, %rax\n"
        "and $16383, %eax\n"
        "shl $5, %rax\n"
        "lea clones(%rip), %rdx\n"
        "add %rdx, %rax\n"
        "jmp *%rax\n"
        ".cfi_endproc\n");

__attribute__((used)) static void arrive(void) {
    free(used(malloc(100)));
}

static void fresh(void) {
    static __thread unsigned long lot;
    for (int i = 0; i < CALLS_PER_LOOK; i++)
        wander(depth, ++lot % STACKS);
}

/* `noinline` and the empty assembly: as many frames as were asked for, none of them a tail call. */
__attribute__((noinline)) static struct result descend(int frames) {
    struct result result = {0, 0};
    if (frames > 1) {
        result = descend(frames - 1);
        __asm__ volatile("");
        return result;
    }
    long long start = now(CLOCK_THREAD_CPUTIME_ID);
    do {
        loop();
        result.calls += CALLS_PER_LOOK;
    } while (now(CLOCK_MONOTONIC) < deadline);
    result.cpu = now(CLOCK_THREAD_CPUTIME_ID) - start;
    return result;
}

static void *run(void *result) {
    *(struct result *)result = descend(loop == fresh ? 1 : depth);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    loop = !strcmp(argv[1], "realloc") ? reallocs
           : !strcmp(argv[1], "fresh") ? fresh
           : !strcmp(argv[1], "large") ? large
                                       : pairs;
    int threads = atoi(argv[2]);
    depth = atoi(argv[3]);
    if (threads < 1 || threads > MAX_THREADS || depth < 1)
        return 2;
    static char line[64];
    while (fgets(line, sizeof line, stdin)) {
        pthread_t ids[MAX_THREADS];
        struct result results[MAX_THREADS], sum = {0, 0};
        long long start = now(CLOCK_MONOTONIC);
        deadline = start + atoll(line) * 1000000;
        for (int i = 1; i < threads; i++)
            if (pthread_create(&ids[i], NULL, run, &results[i]))
                return 1;
        run(&results[0]);
        for (int i = 1; i < threads; i++)
            pthread_join(ids[i], NULL);
        for (int i = 0; i < threads; i++) {
            sum.calls += results[i].calls;
            sum.cpu += results[i].cpu;
        }
        printf("%lld %lld %lld %d\n", sum.calls, sum.cpu, now(CLOCK_MONOTONIC) - start, threads);
        fflush(stdout);
    }
    return 0;
}
