/* Exports what an interpreter of CPython 3.12 exports, with nothing sane behind it. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

const uint32_t Py_Version = 0x030c01f0;
/* `_PyRuntime` is initialized, it says, and its interpreters are where nothing is. */
uint64_t _PyRuntime[64] = {0, 0, 1, 0, 0, 0x1234567890, 0, 0, 1};
uint64_t PyCode_Type[64], PyUnicode_Type[64], PyBytes_Type[64], _Py_NoneStruct[4];

const char *Py_GetVersion(void) { return "3.12.1"; }
int Py_IsInitialized(void) { return *(volatile int *)&_PyRuntime[2]; }
void *PyInterpreterState_Head(void) { return *(void *volatile *)&_PyRuntime[5]; }
__attribute__((noinline)) void *passed_on(void *key) { __asm__ volatile(""); return key; }
void *PyGILState_GetThisThreadState(void) { return passed_on(&_PyRuntime[8]) == 0 ? 0 : _PyRuntime; }

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        /* What the types say of themselves is right, so that the threads are looked for. */
        PyCode_Type[3] = (uint64_t)"code";
        PyCode_Type[4] = 192;
        PyUnicode_Type[3] = (uint64_t)"str\0....";
        PyUnicode_Type[4] = 64;
        PyBytes_Type[3] = (uint64_t)"bytes\0..";
        PyBytes_Type[4] = 33;
    }
    alarm(120);
    puts("ready");
    fflush(stdout);
    return getchar() == EOF;
}
