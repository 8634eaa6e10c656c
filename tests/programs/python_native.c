// For tests/python/stacks.py: blocks from C, and threads that Python did not start.

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

int PyGILState_Ensure(void);
void PyGILState_Release(int state);
int PyRun_SimpleString(const char *command);

static void *volatile kept;

void take(size_t size) { kept = malloc(size); }

static void *take_here(void *size) {
    take((size_t)size);
    return NULL;
}

static void *call_here(void *command) {
    int state = PyGILState_Ensure();
    PyRun_SimpleString(command);
    PyGILState_Release(state);
    return NULL;
}

static void run(void *(*function)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) == 0) {
        pthread_join(thread, NULL);
    }
}

void take_in_thread(size_t size) { run(take_here, (void *)size); }

// Without the GIL, or it waits for ever.
void call_in_thread(const char *command) { run(call_here, (void *)command); }
