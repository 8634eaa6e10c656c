// Compiled without call frame information: a function that allocates, and one that calls back.
#include <stddef.h>
#include <stdlib.h>

void *unframed_malloc(size_t size) {
    void *block = malloc(size);
    __asm__ volatile("" ::: "memory");
    return block;
}

void unframed_call(void (*function)(void)) {
    function();
    __asm__ volatile("" ::: "memory");
}
