// In each of as many rounds as its argument says: blocks that it frees at once, blocks that it frees in the next round,
// and one that it enlarges. Marks at each round's end. Says "ready", and begins at a line of standard input.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OLD = 10 };

__attribute__((noinline)) void mark(void) { __asm__ volatile("nop; nop; nop; nop; nop" ::: "memory"); }

int main(int argc, char **argv) {
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    alarm(120);
    static void *old[OLD];
    void *grows = NULL;
    puts("ready");
    getchar();
    for (int round = 0; round < (argc > 1 ? atoi(argv[1]) : 0); round++) {
        for (int i = 0; i < 1000; i++) {
            void *volatile block = malloc(100); // freed at once
            free(block);
        }
        for (int i = 0; i < OLD; i++) {
            free(old[i]);
            old[i] = malloc(5000); // freed in the next round
        }
        for (int size = 100; size <= 300; size += 100) {
            grows = realloc(grows, 1000 * round + size); // enlarged thrice in each round
        }
        mark();
    }
    puts("done");
    getchar();
    return 0;
}
