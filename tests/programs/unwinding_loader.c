// Code that comes and goes while the program runs.
//
// unwinding_loader MODE ARGUMENT...: says "ready", goes on at a line, says "done", and ends with its input.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "known.h"

enum { LIFETIME_SECONDS = 120, PAUSE_MICROSECONDS = 10000, TIMES = 200 };

typedef void allocate_fn(void);

static void *load(const char *path, allocate_fn **allocate) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library || !(*allocate = (allocate_fn *)dlsym(library, "allocate"))) {
        fprintf(stderr, "%s\n", dlerror());
        exit(3);
    }
    return library;
}

// One library, used for some time: in the end, the tracer has heard of it.
APART static void stay(const char *path) {
    allocate_fn *allocate;
    load(path, &allocate);
    for (int i = 0; i < TIMES; i++) {
        allocate();
        usleep(PAUSE_MICROSECONDS);
    }
}

// Two libraries by turns, mostly at the same address. Now and then one stays for a while.
APART static void reuse(const char *first, const char *second, int rounds) {
    allocate_fn *allocate, *before = NULL;
    int reused = 0;
    for (int i = 0; i < rounds; i++) {
        void *library = load(i % 2 ? second : first, &allocate);
        reused += allocate == before;
        before = allocate;
        for (int j = 0; j < 5; j++) {
            allocate();
            if (i % 8 >= 6) usleep(PAUSE_MICROSECONDS);
        }
        dlclose(library);
    }
    printf("reused=%d\n", reused);
}

// Writes a file anew, in place: it stays the same to whoever knows it by its number.
APART static void overwrite(const char *path, const char *with) {
    static char content[1 << 20];
    int from = open(with, O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t size = read(from, content, sizeof content);
    if (size <= 0 || size == sizeof content || write(to, content, (size_t)size) != size) abort();
    close(from);
    close(to);
}

// A library that is written anew while it is not loaded.
APART static void reload(const char *path, const char *first, const char *second, int rounds) {
    allocate_fn *allocate;
    for (int i = 0; i < rounds; i++) {
        overwrite(path, i % 2 ? second : first);
        void *library = load(path, &allocate);
        for (int j = 0; j < 20; j++) {
            allocate();
            usleep(PAUSE_MICROSECONDS);
        }
        dlclose(library);
    }
}

// The program becomes another one, this one.
APART static void become(char *program) {
    KNOWN("loader: before execve", malloc(size));
    execl(program, program, "goes-on", (char *)NULL);
    abort();
}

APART static void go_on(void) {
    known_begin("", 3001);
    for (int i = 0; i < TIMES; i++) {
        size_t again = 3999;
        known_before_size("loader: after execve", again);
        void *block = malloc(again);
        known_after(again);
        free(block);
        usleep(PAUSE_MICROSECONDS);
    }
}

// Other processes come and go, from several threads.
APART static void in_between(size_t size) {
    known_before_size("loader: among processes", size);
    void *block = malloc(size);
    known_after(size);
    free(block);
}

static void *many(void *argument) {
    extern char **environ;
    const size_t size = 4001;
    char *forks[] = {"true", NULL};
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            free(malloc(4000));
            execv("/bin/true", forks);
            _exit(1);
        }
        in_between(size);
        int status;
        if (waitpid(child, &status, 0) != child || status != 0) abort();
        in_between(size);
        if (posix_spawn(&child, "/bin/true", NULL, NULL, forks, environ) != 0) abort();
        in_between(size);
        if (waitpid(child, &status, 0) != child || status != 0) abort();
    }
    return argument;
}

APART static void storm(void) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, many, NULL) != 0) abort();
    }
    for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
    static char in[256];
    char line[64];
    const char *mode = argc > 1 ? argv[1] : "";
    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, in, _IOFBF, sizeof in);
    if (strcmp(mode, "goes-on") == 0) {
        go_on();
    } else {
        puts("ready");
        if (!fgets(line, sizeof line, stdin)) return 2;
        known_begin("", 3001);
        if (strcmp(mode, "stay") == 0 && argc > 2) stay(argv[2]);
        if (strcmp(mode, "reuse") == 0 && argc > 4) reuse(argv[2], argv[3], atoi(argv[4]));
        if (strcmp(mode, "reload") == 0 && argc > 5)
            reload(argv[2], argv[3], argv[4], atoi(argv[5]));
        if (strcmp(mode, "become") == 0) become(argv[0]);
        if (strcmp(mode, "storm") == 0) storm();
    }
    puts("done");
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}
