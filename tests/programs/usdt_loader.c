/* Loads a library at the first line of standard input, and has it end five iterations at the second. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

enum { LIFETIME_SECONDS = 120 };

int main(int argc, char **argv)
{
    char line[64];
    void *library;
    void (*iterate)(int) = NULL;

    alarm(LIFETIME_SECONDS);
    setvbuf(stdout, NULL, _IONBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    if (argc != 2 || !fgets(line, sizeof line, stdin))
        return 2;
    library = dlopen(argv[1], RTLD_NOW);
    if (library)
        *(void **)&iterate = dlsym(library, "iterate");
    if (!iterate || !fgets(line, sizeof line, stdin))
        return 3;
    iterate(5);
    puts("done");
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}
