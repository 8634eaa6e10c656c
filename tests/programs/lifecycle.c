// Things that happen to a process while it allocates. Each scenario counts what the process itself allocates and
// frees, as memtrace's ledger defines it, and prints
//   allocs=N frees=N alloc_bytes=N free_bytes=N
// after it has said "ready" and was sent a line. Then it waits for another line and ends.
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

struct counts {
    uint64_t allocs, frees, alloc_bytes, free_bytes;
};

static struct counts total;
static pthread_mutex_t total_lock = PTHREAD_MUTEX_INITIALIZER;

static void add(struct counts *sum, const struct counts *more) {
    sum->allocs += more->allocs;
    sum->frees += more->frees;
    sum->alloc_bytes += more->alloc_bytes;
    sum->free_bytes += more->free_bytes;
}

static void *get(struct counts *counts, size_t size) {
    void *block = malloc(size);
    if (block == NULL) abort();
    counts->allocs++;
    counts->alloc_bytes += size;
    return block;
}

static void drop(struct counts *counts, void *block, size_t size) {
    free(block);
    counts->frees++;
    counts->free_bytes += size;
}

static void pairs(struct counts *counts, int number) {
    for (int i = 0; i < number; i++) {
        size_t size = 16 + (size_t)(i * 37 % 900);
        drop(counts, get(counts, size), size);
    }
}

// `depth` frames further down, with room in between that nobody writes to.
__attribute__((noinline)) static void deeper(struct counts *counts, int depth, int number) {
    volatile char room[2048];
    room[0] = 1;
    if (depth > 0) {
        deeper(counts, depth - 1, number);
    } else {
        pairs(counts, number);
    }
    room[1] = room[0];
}

// fork: the child frees what it inherited and allocates. Neither is the parent's.
static void do_fork(void) {
    void *blocks[100];
    for (int i = 0; i < 100; i++) blocks[i] = get(&total, 1000);
    for (int round = 0; round < 5; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct counts unseen = {0};
            for (int i = 0; i < 100; i++) free(blocks[i]);
            pairs(&unseen, 1000);
            (void)!malloc(12345);
            _exit(0);
        }
        pairs(&total, 500);
        int status;
        if (waitpid(child, &status, 0) != child || status != 0) abort();
    }
    for (int i = 0; i < 50; i++) drop(&total, blocks[i], 1000);
}

// vfork: the child shares the address space until it executes, so its blocks are the parent's.
static void do_vfork(void) {
    static void *volatile from_child;
    for (int round = 0; round < 5; round++) {
        pid_t child = vfork();
        if (child == 0) {
            from_child = get(&total, 777);
            pairs(&total, 50);
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        drop(&total, from_child, 777);
        int status;
        if (waitpid(child, &status, 0) != child || status != 0) abort();
        get(&total, 10);
    }
}

static void *short_life(void *argument) {
    struct counts mine = {0};
    pairs(&mine, 20);
    *(void **)argument = get(&mine, 333);
    pthread_mutex_lock(&total_lock);
    add(&total, &mine);
    pthread_mutex_unlock(&total_lock);
    return NULL;
}

// Threads that come and go, each leaving one block that another thread frees.
static void do_threads(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    static char stack[1 << 20] __attribute__((aligned(4096)));
    pthread_attr_setstack(&attributes, stack, sizeof stack);
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        void *left = NULL;
        if (pthread_create(&thread, i % 2 ? &attributes : NULL, short_life, &left) != 0) abort();
        pthread_join(thread, NULL);
        drop(&total, left, 333);
    }
}

// Timer signals whose handler jumps out of whatever was interrupted, also out of malloc. That is the one thing here
// that a program must not do: so the allocations that are interrupted are realloc's of a block that nobody else
// uses, and failing ones, which take no lock. Then calls from further down and further up.
static sigjmp_buf out;
static volatile sig_atomic_t jumps;

static void jump(int signal) {
    (void)signal;
    jumps++;
    siglongjmp(out, 1);
}

static void do_longjmp(void) {
    struct sigaction action = {.sa_handler = jump};
    sigaction(SIGALRM, &action, NULL);
    volatile size_t huge = SIZE_MAX / 2 + 1;
    for (volatile int round = 0; round < 200; round++) {
        if (sigsetjmp(out, 1) == 0) {
            struct itimerval soon = {.it_value = {.tv_usec = 200 + round}};
            setitimer(ITIMER_REAL, &soon, NULL);
            for (;;) {
                if (malloc(huge) != NULL) abort();
            }
        }
        deeper(&total, round % 30, 20);
        pairs(&total, 20);
    }
}

// As above, but the calls that follow leave out the place where the interrupted call's return address was: nobody
// writes there, and it looks as if that call still went on.
__attribute__((noinline)) static void spin(void) {
    volatile size_t huge = SIZE_MAX / 2 + 1;
    for (;;) {
        if (malloc(huge) != NULL) abort();
    }
}

__attribute__((noinline)) static void below_a_hole(struct counts *counts, int number) {
    volatile char hole[1 << 16];
    hole[0] = 1;
    pairs(counts, number);
    hole[1] = hole[0];
}

static void do_hole(void) {
    struct sigaction action = {.sa_handler = jump};
    sigaction(SIGALRM, &action, NULL);
    for (volatile int round = 0; round < 20; round++) {
        if (sigsetjmp(out, 1) == 0) {
            struct itimerval soon = {.it_value = {.tv_usec = 200 + round}};
            setitimer(ITIMER_REAL, &soon, NULL);
            spin();
        }
        below_a_hole(&total, 1000);
    }
}

// Handlers that allocate, on a stack of their own, while the main program does not allocate.
static struct counts handled;

static void allocate_in_handler(int signal) {
    (void)signal;
    pairs(&handled, 5);
}

static void do_altstack(void) {
    static char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_handler = allocate_in_handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 300; i++) {
        raise(SIGUSR1);
        pairs(&total, 3);
    }
    add(&total, &handled);
}

// Two coroutines with stacks of their own, on one thread.
static ucontext_t main_context, contexts[2];

static void coroutine(int which) {
    for (int i = 0; i < 300; i++) {
        void *block = get(&total, 64 + (size_t)which);
        swapcontext(&contexts[which], which == 0 ? &contexts[1] : &main_context);
        drop(&total, block, 64 + (size_t)which);
    }
}

static void do_coroutines(void) {
    static char on_heap[2][1 << 16];
    for (int i = 0; i < 2; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = on_heap[i];
        contexts[i].uc_stack.ss_size = sizeof on_heap[i];
        contexts[i].uc_link = &main_context;
        makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
    }
    for (int i = 0; i < 300; i++) {
        swapcontext(&main_context, &contexts[0]);
        pairs(&total, 1);
    }
    // Both stand before their last free.
    contexts[0].uc_link = &contexts[1];
    swapcontext(&main_context, &contexts[0]);
}

// Threads that are cancelled at any instruction, also inside of malloc. The calls fail, so no lock is held.
static void *allocate_for_ever(void *argument) {
    (void)argument;
    volatile size_t huge = SIZE_MAX / 2 + 1;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;) {
        if (malloc(huge) != NULL) abort();
    }
}

static void do_cancel(void) {
    for (int round = 0; round < 60; round++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, allocate_for_ever, NULL) != 0) abort();
        pairs(&total, 100 + round);
        pthread_cancel(thread);
        pthread_join(thread, NULL);
        pairs(&total, 100);
    }
}

// The same address over and over, by all ways of giving it back.
static void do_reuse(void) {
    for (int i = 0; i < 2000; i++) {
        void *block = get(&total, 100);
        if (i % 3 == 0) {
            void *moved = realloc(block, 90000);
            total.allocs++, total.alloc_bytes += 90000;
            total.frees++, total.free_bytes += 100;
            drop(&total, moved, 90000);
        } else if (i % 3 == 1) {
            if (realloc(block, 0) != NULL) abort();
            total.frees++, total.free_bytes += 100;
        } else {
            drop(&total, block, 100);
        }
    }
}

// Two large blocks in each other's way: nearly all the time is spent inside of realloc, which copies them.
static void do_large_realloc(void) {
    mallopt(M_MMAP_MAX, 0);
    char *blocks[2] = {0};
    for (size_t i = 0; i < 4000; i++) {
        char *moved = realloc(blocks[i % 2], (32u << 20) + i * 8192);
        if (moved == NULL) abort();
        if (blocks[i % 2] == NULL) memset(moved, 1, 32u << 20);
        blocks[i % 2] = moved;
    }
}

static void report(void) {
    printf("allocs=%lu frees=%lu alloc_bytes=%lu free_bytes=%lu\n", total.allocs, total.frees, total.alloc_bytes,
           total.free_bytes);
    fflush(stdout);
}

static void wait_for_line(void) {
    char line[16];
    (void)!fgets(line, sizeof line, stdin);
}

// The main thread ends; another goes on.
static void *go_on(void *argument) {
    pthread_join(*(pthread_t *)argument, NULL);
    pairs(&total, 500);
    puts("the main thread has ended");
    fflush(stdout);
    wait_for_line();
    pairs(&total, 500);
    report();
    wait_for_line();
    exit(0);
}

static void do_main_exits(void) {
    static pthread_t self, other;
    self = pthread_self();
    pairs(&total, 500);
    if (pthread_create(&other, NULL, go_on, &self) != 0) abort();
    pthread_exit(NULL);
}

// All threads but one allocate; that one ends the process.
static void *load(void *argument) {
    struct counts *mine = argument;
    for (;;) pairs(mine, 100);
    return NULL;
}

static void do_exit_group(void) {
    pthread_t thread;
    static struct counts unused[8];
    for (int i = 0; i < 8; i++) {
        if (pthread_create(&thread, NULL, load, &unused[i]) != 0) abort();
    }
    usleep(100000);
    _exit(7);
}

// The process becomes another program, this one, from its main thread or from another.
static char *program, *next_scenario;

static void *become(void *argument) {
    (void)argument;
    struct counts lost = {0};
    for (int i = 0; i < 100; i++) get(&lost, 5000);
    execl(program, program, next_scenario, (char *)NULL);
    abort();
}

static void do_exec_from_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, become, NULL) != 0) abort();
    pthread_join(thread, NULL);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"fork", do_fork},
    {"vfork", do_vfork},
    {"threads", do_threads},
    {"longjmp", do_longjmp},
    {"hole", do_hole},
    {"altstack", do_altstack},
    {"coroutines", do_coroutines},
    {"cancel", do_cancel},
    {"reuse", do_reuse},
    {"large-realloc", do_large_realloc},
    {"main-exits", do_main_exits},
    {"exit-group", do_exit_group},
    {"exec-from-thread", do_exec_from_thread},
};

int main(int argc, char **argv) {
    // Stdio's buffers must not count.
    static char in[256], text[4096];
    setvbuf(stdin, in, _IOFBF, sizeof in);
    setvbuf(stdout, text, _IOFBF, sizeof text);
    if (argc < 2) return 2;
    program = argv[0];
    puts("ready");
    fflush(stdout);
    wait_for_line();
    const char *wanted = argv[1];
    if (strcmp(wanted, "exec") == 0 && argc > 2) {
        next_scenario = argv[2];
        become(NULL);
    }
    if (strcmp(wanted, "exec-from-thread") == 0) next_scenario = argv[2];
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(wanted, scenarios[i].name) == 0) {
            scenarios[i].run();
            report();
            wait_for_line();
            return 0;
        }
    }
    return 2;
}
