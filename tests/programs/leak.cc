// Leaks 100 blocks of 1000 bytes per iteration from one line, and frees everything else.
//
// leak ITERATIONS [wait]: with `wait`, each iteration begins with a line on standard input.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

constexpr int blocks = 100;
constexpr unsigned lifetime_seconds = 120;

struct Kept {
    Kept *next;
    char rest[1000 - sizeof(Kept *)];
};

Kept *kept;

[[gnu::noinline]] void keep()
{
    for (int i = 0; i < blocks; i++) {
        Kept *block = new Kept; // the leak
        block->next = kept;
        kept = block;
    }
}

[[gnu::noinline]] void allocate_and_free()
{
    std::vector<int> numbers;
    for (int i = 0; i < 10000; i++)
        numbers.push_back(i);
    std::string text;
    for (int i = 0; i < 5000; i++)
        text += "grows";
    std::map<std::string, std::unique_ptr<std::string>> words;
    for (int i = 0; i < 100; i++)
        words["a key that is too long to be kept in place " + std::to_string(i)] =
            std::make_unique<std::string>(200, 'x');
    auto array = std::make_unique<double[]>(numbers.size() + text.size());
    array[0] = 1;
    std::shared_ptr<std::string> shared = std::make_shared<std::string>(300, 'y');
    struct alignas(128) Wide {
        char bytes[128];
    };
    delete new Wide;
    try {
        throw std::runtime_error("exceptions allocate, too: a text that is not a short one");
    } catch (const std::runtime_error &) {
    }
}

} // namespace

extern "C" [[gnu::noinline]] void mark_iteration()
{
    __asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
    int iterations = argc > 1 ? std::atoi(argv[1]) : 1;
    bool waits = argc > 2 && !std::strcmp(argv[2], "wait");
    char line[64];

    alarm(lifetime_seconds);
    setvbuf(stdout, nullptr, _IONBF, 0);
    setvbuf(stdin, nullptr, _IONBF, 0);
    std::puts("ready");
    for (int i = 0; i < iterations; i++) {
        if (waits && !std::fgets(line, sizeof line, stdin))
            break;
        allocate_and_free();
        keep();
        mark_iteration();
    }
    std::puts("done");
    if (waits)
        while (std::fgets(line, sizeof line, stdin)) {
        }
}
