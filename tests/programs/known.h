// What a program knows of its own stacks, for tests that compare memtrace's stacks with it (`tests/src/known.rs`).
//
// Each allocation that is compared has a size of its own. Right before it, in the same function, the program unwinds
// its own stack with the compiler's unwinder, and right after it tells where it is now: the call of the allocator lies
// in between, all callers are known to the byte. Never from inside of an allocator: there memtrace's return probe
// would be in the way.
//
// Everything goes to the file that KNOWN_FILE names, a line each:
//   stack SIZE NAME
//   in LOW HIGH PATH     a frame further in, somewhere in this function, innermost first
//   some PATH            frames further in, one or more, in this object
//   frame ADDRESS PATH   by the object's own headers; PATH is "-" for code in no object
//   end outermost|lost   at the outermost function, or at code that the unwinder knows nothing of
//   after SIZE ADDRESS   in the function of the first frame
//   count SIZE NUMBER    allocations of this size; otherwise there are as many as stacks
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Names begin with `prefix` and sizes at `base` from now on. Copied.
void known_begin(const char *prefix, size_t base);

// The stack of the caller; the size that it is to allocate.
size_t known_before(const char *name);

// The same where the size is not free to choose.
void known_before_size(const char *name, size_t size);

// The same where the function at `function` is called, and that one allocates. `length` is 0 where the symbol tells.
size_t known_before_in(const char *name, const void *function, size_t length);
void known_before_size_in(const char *name, size_t size, const void *function);

// The same where several functions of the object that has `function` lie in between.
void known_before_size_some(const char *name, size_t size, const void *function);

// Right after the allocation.
void known_after(size_t size);

// How many allocations of a size there were, where not each was told.
void known_count(size_t size, unsigned long number);

// An allocation whose result nobody needs. It stays, so that the figures do.
#define KNOWN(name, allocation)             \
    do {                                    \
        size_t size = known_before(name);   \
        void *block = (allocation);         \
        known_after(size);                  \
        __asm__ volatile("" : : "r"(block)); \
    } while (0)

// By a function of another object that calls the allocator itself.
#define KNOWN_IN(name, function, allocation)                            \
    do {                                                                \
        size_t size = known_before_in(name, (const void *)(function), 0); \
        void *block = (allocation);                                     \
        known_after(size);                                              \
        __asm__ volatile("" : : "r"(block));                            \
    } while (0)

// A call that leads through code of which the compiler's unwinder knows nothing. The stacks of the same name that are
// lost there go on with this one.
#define KNOWN_OUTER(name, call)                       \
    do {                                              \
        size_t outer = known_before("outer " name);   \
        call;                                         \
        known_after(outer);                           \
    } while (0)

// Nothing after a call may be moved before it, and no call may be a jump.
#define STAY __asm__ volatile("" ::: "memory")
#define APART __attribute__((noinline, noclone, noipa))

#ifdef __cplusplus
}
#endif
