// Fills memtrace's tables: with many live blocks, or with many stacks.
//
// usage: capacity blocks N | stacks N
// Says "ready", waits for a line, allocates, says "full", waits, frees it all, says "empty", waits, ends.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 100, BITS = 15 };

static void **blocks;

static void say(const char *what) {
    char line[16];
    puts(what);
    fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
}

// One stack per number: each of its bits is a frame, left or right.
static void descend(unsigned number, unsigned bits);

__attribute__((noinline)) static void left(unsigned number, unsigned bits) {
    descend(number, bits);
    __asm__ volatile("");
}

__attribute__((noinline)) static void right(unsigned number, unsigned bits) {
    descend(number, bits);
    __asm__ volatile("");
}

__attribute__((noinline)) static void descend(unsigned number, unsigned bits) {
    if (bits == 0) {
        blocks[number] = malloc(SIZE);
    } else if (number >> (bits - 1) & 1) {
        left(number, bits - 1);
    } else {
        right(number, bits - 1);
    }
    __asm__ volatile("");
}

int main(int argc, char **argv) {
    static char in[256], out[256];
    setvbuf(stdin, in, _IOFBF, sizeof in);
    setvbuf(stdout, out, _IOFBF, sizeof out);
    if (argc != 3) return 2;
    unsigned number = (unsigned)atoi(argv[2]);
    int stacks = strcmp(argv[1], "stacks") == 0;
    if (stacks && number > 1u << BITS) return 2;
    blocks = calloc(number, sizeof *blocks);
    say("ready");
    for (unsigned i = 0; i < number; i++) {
        if (stacks) {
            descend(i, BITS);
        } else {
            blocks[i] = malloc(SIZE);
        }
    }
    say("full");
    for (unsigned i = 0; i < number; i++) free(blocks[i]);
    say("empty");
    return 0;
}
