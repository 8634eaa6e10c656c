// Makes its resident memory grow by 64 MiB in the way that its argument names: `leak`, `map`, `retain`, or `reserve`,
// which touches none of it. Says "ready", and marks after each line of its standard input; works before the second mark.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BYTES = 64 << 20, BLOCK = 4000, SMALL = 1000, SMALLS = BYTES / (SMALL + 8) };

static char *kept[SMALLS];

__attribute__((noinline)) void mark(void) { __asm__ volatile("nop; nop; nop; nop; nop" ::: "memory"); }

static void work(const char *how) {
    if (!strcmp(how, "leak")) {
        for (int i = 0; i < BYTES / BLOCK; i++) memset(malloc(BLOCK), 1, BLOCK); // the leak
    } else if (!strcmp(how, "map")) {
        char *range = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(range, BYTES, MADV_NOHUGEPAGE);
        memset(range, 1, BYTES);
    } else if (!strcmp(how, "retain")) {
        for (int i = 0; i < SMALLS; i++) memset(kept[i] = malloc(SMALL), 1, SMALL);
        kept[0] = memset(malloc(SMALL), 1, SMALL); // above all others
        for (int i = 1; i < SMALLS; i++) free(kept[i]);
    } else {
        for (int i = 0; i < BYTES / BLOCK / 100; i++) kept[i] = malloc(100 * BLOCK);
    }
}

int main(int argc, char **argv) {
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    alarm(120);
    memset(kept, 1, sizeof kept);
    free(malloc(1));
    puts("ready");
    char line[16];
    for (int marks = 0; fgets(line, sizeof line, stdin); marks++) {
        if (marks == 1 && argc > 1) work(argv[1]);
        mark();
        puts("marked");
    }
    return 0;
}
