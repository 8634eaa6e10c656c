// A library that is loaded and unloaded. Two of them, with other values of ROOM, have the same code in the same places,
// but other frames.
#include <stdlib.h>

#include "known.h"

enum { SIZE = 2001 };

void allocate(void);

APART static void *innermost(size_t size) {
    volatile char room[ROOM];
    room[0] = 1;
    known_before_size("library", size);
    void *block = malloc(size);
    known_after(size);
    room[ROOM - 1] = room[0];
    return block;
}

APART static void *inner(size_t size) {
    volatile char room[ROOM * 2];
    room[0] = 1;
    void *block = innermost(size);
    room[ROOM * 2 - 1] = room[0];
    return block;
}

void allocate(void) { free(inner(SIZE)); }

#ifndef QUIET
APART __attribute__((constructor)) static void load(void) {
    known_before_size("library's constructor", SIZE + 2);
    void *block = malloc(SIZE + 2);
    known_after(SIZE + 2);
    free(block);
}
#endif
