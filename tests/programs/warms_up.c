// A round for each line of its standard input, as long as there are any: keeps 1000 bytes in each of the first so many
// as its argument says, and says "round" after each. Frees as much as it allocates apart from that.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) void mark(void) { __asm__ volatile("nop; nop; nop; nop; nop" ::: "memory"); }

int main(int argc, char **argv) {
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    alarm(120);
    const int growing = argc > 1 ? atoi(argv[1]) : 0;
    static void *volatile kept;
    static void *used;
    puts("ready");
    char line[16];
    for (int round = 1; fgets(line, sizeof line, stdin); round++) {
        if (round <= growing) kept = malloc(1000); // kept at first
        free(used);
        used = malloc(round % 2 ? 70000 : 50000); // up and down
        mark();
        puts("round");
    }
    (void)kept;
    return 0;
}
