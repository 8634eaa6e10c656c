// Allocations in all circumstances that change how a stack is unwound, each told by itself (known.h). Compiled with
// many sets of flags, as a part of the program or as a library of it (unwinding.c).
#define _GNU_SOURCE
#include <alloca.h>
#include <malloc.h>
#include <pthread.h>
#include <search.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "known.h"

enum { ROOMY = 256 * 1024 };

void cases(const char *prefix, size_t base);

// One function after the other, with a different number of values that live across the call.
APART static int nested5(int a) {
    KNOWN("nested", malloc(size));
    return a + 1;
}

APART static int nested4(int a, int b, int c, int d, int e, int f, int g, int h) {
    int sum = nested5(a) + b;
    STAY;
    return sum + c * d + e * f + g * h;
}

APART static int nested3(int a, int b) {
    int c = a * 3, d = b * 5, e = a ^ b, f = a | b, g = a & b;
    __asm__ volatile("" : "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g));
    int sum = nested4(a, b, c, d, e, f, g, a + b);
    STAY;
    return sum + c + d + e + f + g + a + b;
}

APART static int nested2(const int *numbers) {
    int room[37];
    for (int i = 0; i < 37; i++) room[i] = numbers[i % 2];
    __asm__ volatile("" : : "r"(room) : "memory");
    int sum = nested3(room[3], room[8]);
    STAY;
    return sum + room[1];
}

APART static int nested(void) {
    int numbers[2] = {1, 2};
    int sum = nested2(numbers);
    STAY;
    return sum;
}

// The register that is otherwise the frame pointer is needed for values.
APART static unsigned busy(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f) {
    unsigned g = a + b, h = c + d, i = e + f, j = a * f;
    for (unsigned n = 0; n < a; n++) {
        KNOWN("all registers in use", malloc(size));
        g += h ^ n, h += i ^ b, i += j ^ c, j += g ^ d;
    }
    return g + h + i + j + e;
}

// Every function that allocates.
APART static void allocators(void) {
    static void *volatile old;
    KNOWN("calloc", calloc(1, size));
    KNOWN("realloc of nothing", realloc(NULL, size));
    old = malloc(16);
    KNOWN("realloc", realloc(old, size));
    KNOWN("reallocarray", reallocarray(NULL, 1, size));
    KNOWN("memalign", memalign(64, size));
    KNOWN("aligned_alloc", aligned_alloc(64, size));
    void *aligned = NULL;
    KNOWN("posix_memalign", posix_memalign(&aligned, 64, size) ? NULL : aligned);
#ifdef __GLIBC__
    KNOWN("valloc", valloc(size));
#endif
#ifdef SHARED_C_LIBRARY
    char text[20000];
    size_t expected = known_before_in("strdup", (const void *)strdup, 0);
    memset(text, 'x', expected - 1);
    text[expected - 1] = 0;
    char *copy = strdup(text);
    known_after(expected);
    __asm__ volatile("" : : "r"(copy) : "memory");
#endif
}

APART static int recursion(int depth) {
    int below = 0;
    if (depth > 0) {
        below = recursion(depth - 1);
        STAY;
        return below + depth;
    }
    KNOWN("recursion", malloc(size));
    return below;
}

APART static int endless(int depth) {
    int below = 0;
    if (depth > 0) {
        below = endless(depth - 1);
        STAY;
        return below + depth;
    }
    KNOWN("too deep", malloc(size));
    return below;
}

APART static void with_alloca(size_t length) {
    char *room = alloca(length);
    room[0] = 1;
    __asm__ volatile("" : : "r"(room) : "memory");
    KNOWN("alloca", malloc(size));
    __asm__ volatile("" : : "r"(room) : "memory");
}

APART static void with_array(size_t length) {
    char room[length];
    room[length - 1] = 1;
    __asm__ volatile("" : : "r"(room) : "memory");
    KNOWN("array of variable length", malloc(size));
    __asm__ volatile("" : : "r"(room) : "memory");
}

APART static void large(void) {
    volatile char room[70000];
    room[0] = 1;
    KNOWN("frame above 64 KiB", malloc(size));
    room[69999] = room[0];
}

APART static void larger(void) {
    volatile char room[300000];
    room[0] = 1;
    KNOWN("frame above 128 KiB", malloc(size));
    room[299999] = room[0];
}

// An array of 16 MiB would be more than the guards allow; this is well below.
APART static void largest(void) {
    volatile char room[4 << 20];
    room[0] = 1;
    KNOWN("frame of 4 MiB", malloc(size));
    room[(4 << 20) - 1] = room[0];
}

APART static void aligned(void) {
    char room[64] __attribute__((aligned(64)));
    __asm__ volatile("" : : "r"(room) : "memory");
    KNOWN("aligned frame", malloc(size));
    __asm__ volatile("" : : "r"(room) : "memory");
}

// Aligned, of variable length, and with arguments on the stack: the frame is found through memory.
APART static int aligned_more(size_t length, int a, int b, int c, int d, int e, int f, int g) {
    char room[128] __attribute__((aligned(128)));
    char *more = alloca(length);
    more[0] = (char)(a + b + c + d + e + f + g);
    __asm__ volatile("" : : "r"(room), "r"(more) : "memory");
    KNOWN("aligned frame and alloca", malloc(size));
    __asm__ volatile("" : : "r"(room), "r"(more) : "memory");
    return g + f;
}

// The last instruction of the caller is the call: the return address is in another function, or in none.
static jmp_buf back;

APART __attribute__((noreturn)) static void never_returns(void) {
    KNOWN("call at the end of a function", malloc(size));
    longjmp(back, 1);
}

APART __attribute__((noreturn)) static void ends_with_a_call(void) { never_returns(); }

APART static void jumped(void) {
    if (setjmp(back) == 0) ends_with_a_call();
    KNOWN("after longjmp", malloc(size));
}

// Callbacks through the C library.
static int compared;

APART static int compare(const void *a, const void *b) {
    if (compared++ == 3) KNOWN("qsort", malloc(size));
    return *(const int *)a - *(const int *)b;
}

APART static int compare_to_key(const void *key, const void *member) {
    if (compared++ == 1) KNOWN("bsearch", malloc(size));
    return *(const int *)key - *(const int *)member;
}

APART static int compare_nodes(const void *a, const void *b) {
    if (compared++ == 2) KNOWN("tsearch", malloc(size));
    return *(const int *)a - *(const int *)b;
}

static int walked;

APART static void visit(const void *node, VISIT which, int depth) {
    (void)node, (void)which;
    if (depth == 2 && walked++ == 0) KNOWN("twalk", malloc(size));
}

APART static void once(void) { KNOWN("pthread_once", malloc(size)); }

APART static void callbacks(void) {
    static int numbers[20];
    for (int i = 0; i < 20; i++) numbers[i] = i * 7 % 20;
    compared = 0;
    qsort(numbers, 20, sizeof *numbers, compare);
    int key = 13;
    compared = 0;
    (void)bsearch(&key, numbers, 20, sizeof *numbers, compare_to_key);
    void *root = NULL;
    compared = 0;
    walked = 0;
    for (int i = 0; i < 20; i++) tsearch(&numbers[i * 7 % 20], &root, compare_nodes);
    twalk(root, visit);
    static pthread_once_t done = PTHREAD_ONCE_INIT;
    pthread_once(&done, once);
}

// Threads.
APART static void *joined(void *argument) {
    KNOWN("thread", malloc(size));
    return argument;
}

static sem_t over;

APART static void *detached(void *argument) {
    KNOWN("detached thread", malloc(size));
    sem_post(&over);
    return argument;
}

APART static void clean_up(void *argument) {
    (void)argument;
    KNOWN("handler of a thread that is cancelled", malloc(size));
}

APART static void *cancelled(void *argument) {
    pthread_cleanup_push(clean_up, NULL);
    sem_post(&over);
    for (;;) pause();
    pthread_cleanup_pop(0);
    return argument;
}

APART static void destroy(void *value) {
    (void)value;
    KNOWN("destructor of a thread's data", malloc(size));
}

static pthread_key_t data;

APART static void *with_data(void *argument) {
    pthread_setspecific(data, &data);
    return argument;
}

APART static void threads(void) {
    pthread_t thread;
    pthread_key_create(&data, destroy);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 4 * ROOMY);
    if (pthread_create(&thread, &attributes, joined, NULL) != 0) abort();
    pthread_join(thread, NULL);
    if (pthread_create(&thread, &attributes, with_data, NULL) != 0) abort();
    pthread_join(thread, NULL);
    sem_init(&over, 0, 0);
    if (pthread_create(&thread, &attributes, cancelled, NULL) != 0) abort();
    sem_wait(&over);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, detached, NULL) != 0) abort();
    sem_wait(&over);
}

// Signals: in the middle of a function, at its first instruction, and between any two.
static volatile sig_atomic_t handled;
static char *page;

APART static void on_own_stack(int number) {
    (void)number;
    KNOWN("signal on a stack of its own", malloc(size));
}

APART static void on_same_stack(int number) {
    (void)number;
    KNOWN("signal on the same stack", malloc(size));
}

APART static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)info, (void)context;
    KNOWN("fault at the first instruction", malloc(size));
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE) != 0) abort();
}

APART static void on_alarm(int number) {
    (void)number;
    if (handled == 0) KNOWN("signal at any instruction", malloc(size));
    handled = 1;
}

void store_at_once(char *where);
// Before the function is other code, with another rule.
__asm__(".text\n"
        ".p2align 4\n"
        "unwinding_before:\n"
        ".cfi_startproc\n"
        "subq $56, %rsp\n"
        ".cfi_def_cfa_offset 64\n"
        "call abort@PLT\n"
        ".cfi_endproc\n"
        ".globl store_at_once\n"
        ".hidden store_at_once\n"
        ".type store_at_once, @function\n"
        "store_at_once:\n"
        ".cfi_startproc\n"
        "movb $1, (%rdi)\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size store_at_once, .-store_at_once\n");

APART static unsigned spin(unsigned number) {
    // A leaf: what it has on the stack is below the stack pointer.
    volatile unsigned room[8] = {number};
    while (!handled) room[0] += room[number % 8] * 3;
    return room[0];
}

APART static void signals(void) {
    stack_t alternate = {.ss_sp = malloc(ROOMY), .ss_size = ROOMY}, before;
    struct sigaction action = {.sa_handler = on_own_stack, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, &before);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    action = (struct sigaction){.sa_handler = on_same_stack};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);

    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    sigaction(SIGSEGV, &fault, NULL);
    store_at_once(page);
    STAY;
    fault.sa_handler = SIG_DFL;
    fault.sa_flags = 0;
    sigaction(SIGSEGV, &fault, NULL);

    struct sigaction alarmed = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK};
    struct sigaction old;
    sigaction(SIGVTALRM, &alarmed, &old);
    handled = 0;
    struct itimerval soon = {.it_value = {.tv_usec = 2000}};
    setitimer(ITIMER_VIRTUAL, &soon, NULL);
    spin(1);
    STAY;
    sigaction(SIGVTALRM, &old, NULL);
    sigaltstack(&before, NULL);
}

#ifdef __GLIBC__
// On a stack of the program's own.
static ucontext_t main_context, other_context;

APART static void coroutine(void) {
    KNOWN("coroutine", malloc(size));
    swapcontext(&other_context, &main_context);
    KNOWN("coroutine that goes on", malloc(size));
    swapcontext(&other_context, &main_context);
}

APART static void coroutines(void) {
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = malloc(4 * ROOMY);
    other_context.uc_stack.ss_size = 4 * ROOMY;
    makecontext(&other_context, coroutine, 0);
    swapcontext(&main_context, &other_context);
    KNOWN("between coroutines", malloc(size));
    swapcontext(&main_context, &other_context);
}
#endif

// Processes.
APART static void processes(void) {
    int status;
    pid_t child = vfork();
    if (child == 0) {
        KNOWN("child of vfork", malloc(size));
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child) abort();
    KNOWN("parent after vfork", malloc(size));
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 1000; i++) free(malloc(4000));
        _exit(0);
    }
    KNOWN("parent after fork", malloc(size));
    if (waitpid(child, &status, 0) != child) abort();
}

// Code without call frame information.
void *unframed_malloc(size_t size);
void unframed_call(void (*function)(void));

APART static void called_back(void) { KNOWN("called back by unframed code", malloc(size)); }

APART static void unframed(void) {
#ifdef SHARED_C_LIBRARY
    KNOWN_IN("unframed code", unframed_malloc, unframed_malloc(size));
#endif
    KNOWN_OUTER("called back by unframed code", unframed_call(called_back));
}

// Code that was made while the program runs: calls its first argument with the second.
APART static void generated(void) {
    static const unsigned char framed[] = {
        0x55,             // push %rbp
        0x48, 0x89, 0xe5, // mov %rsp, %rbp
        0x48, 0x89, 0xf8, // mov %rdi, %rax
        0x48, 0x89, 0xf7, // mov %rsi, %rdi
        0xff, 0xd0,       // call *%rax
        0x5d,             // pop %rbp
        0xc3,             // ret
    };
    static const unsigned char bare[] = {
        0x48, 0x83, 0xec, 0x18, // sub $24, %rsp
        0x48, 0x89, 0xf8,       // mov %rdi, %rax
        0x48, 0x89, 0xf7,       // mov %rsi, %rdi
        0xff, 0xd0,             // call *%rax
        0x48, 0x83, 0xc4, 0x18, // add $24, %rsp
        0xc3,                   // ret
    };
    typedef void *call(void *(*allocate)(size_t), size_t size);
    char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, framed, sizeof framed);
    memcpy(code + 64, bare, sizeof bare);
    if (mprotect(code, 4096, PROT_READ | PROT_EXEC) != 0) abort();
    size_t size = known_before_in("generated code", code, sizeof framed);
    (void)((call *)(void *)code)(malloc, size);
    known_after(size);
    size = known_before_in("generated code without frame pointer", code + 64, sizeof bare);
    (void)((call *)(void *)(code + 64))(malloc, size);
    known_after(size);
}

void cases(const char *prefix, size_t base) {
    known_begin(prefix, base);
    nested();
    STAY;
    busy(1, 3, 4, 5, 6, 7);
    allocators();
    recursion(200);
    endless(300);
    with_alloca(1000);
    with_array(1000);
    large();
    larger();
    largest();
    aligned();
    aligned_more(100, 1, 2, 3, 4, 5, 6, 7);
    jumped();
    callbacks();
    threads();
    signals();
#ifdef __GLIBC__
    coroutines();
#endif
    processes();
    unframed();
    generated();
    STAY;
}
