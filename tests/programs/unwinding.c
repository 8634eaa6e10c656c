// Runs unwinding_cases.c: the one linked in (-DLINKED), or those in libraries.
//
// unwinding [wait] LIBRARY...: says "ready", with `wait` goes on at a line, and ends with its input.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "known.h"

enum { LIFETIME_SECONDS = 120, FIRST_SIZE = 10001, SIZES = 600, EARLY = 5001, LATE = 6001 };

typedef void cases_fn(const char *prefix, size_t base);

#ifdef LINKED
cases_fn cases;
#endif

APART __attribute__((constructor)) static void before_main(void) {
    known_begin("program: ", EARLY);
    KNOWN("constructor", malloc(size));
}

APART __attribute__((destructor)) static void after_main(void) {
    known_begin("program: ", LATE + 100);
    KNOWN("destructor", malloc(size));
}

APART static void at_end(void) {
    known_begin("program: ", LATE);
    KNOWN("atexit", malloc(size));
}

int main(int argc, char **argv) {
    static char in[256];
    char line[64];
    int first = argc > 1 && strcmp(argv[1], "wait") == 0 ? 2 : 1;
    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, in, _IOFBF, sizeof in);
    atexit(at_end);
#ifndef LINKED
    static cases_fn *run[16];
    for (int i = first; i < argc && i < 16; i++) {
        void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        if (!library || !(run[i] = (cases_fn *)dlsym(library, "cases"))) {
            fprintf(stderr, "%s\n", dlerror());
            return 3;
        }
    }
#endif
    puts("ready");
    if (first == 2 && !fgets(line, sizeof line, stdin)) return 2;
#ifdef LINKED
    cases("linked: ", FIRST_SIZE);
    STAY;
#else
    for (int i = first; i < argc && i < 16; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "library %d: ", i - first);
        run[i](prefix, FIRST_SIZE + (size_t)(i - first) * SIZES);
        STAY;
    }
#endif
    puts("done");
    if (first == 2)
        while (fgets(line, sizeof line, stdin))
            ;
    return 0;
}
