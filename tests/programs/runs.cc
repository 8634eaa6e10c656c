// Keeps at its exit what depends on how often it has been run: the number is in the file that its first argument
// names, and each run adds 1 to it. Further arguments: `fail N`, `crash N`: the Nth run does; `wait N FILE`: it goes on
// when FILE is there.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

static char *kept[1000];
static int count;

static void keep(char *block) {
    kept[count++] = block;
}

static int next_run(const char *path) {
    int run = 0;
    if (FILE *file = std::fopen(path, "r")) {
        if (std::fscanf(file, "%d", &run) != 1)
            run = 0;
        std::fclose(file);
    }
    ++run;
    if (FILE *file = std::fopen(path, "w")) {
        std::fprintf(file, "%d", run);
        std::fclose(file);
    }
    return run;
}

int main(int argc, char **argv) {
    alarm(120);
    const int run = next_run(argv[1]);
    for (int i = 0; i < 10 * run; ++i)
        keep(new char[1000]); // more in each run
    keep(new char[5000]); // the same in each run
    for (int i = run; i < 10; ++i)
        keep(new char[100]); // less in each run
    for (int i = 0; i < 50; ++i) {
        char *volatile gone = new char[30000]; // nothing in any run
        delete[] gone;
    }
    if (argc > 3 && run == std::atoi(argv[3])) {
        if (!std::strcmp(argv[2], "fail"))
            return 7;
        if (!std::strcmp(argv[2], "crash"))
            std::raise(SIGTERM);
        std::puts("waiting");
        std::fflush(stdout);
        while (access(argv[4], F_OK) != 0)
            usleep(1000);
    }
    return 0;
}
