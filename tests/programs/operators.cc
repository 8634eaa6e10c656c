// Calls every form of operator new and operator delete a known number of times, and makes it fail in between.
//
// operators ROUNDS. Each round allocates 12 blocks that count, of which 11 are freed, and fails with 2 others:
// one throws, one gives null. What the exception itself takes is freed, too.
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

// Read and written by everyone, so that no pair of calls can be left out.
void *volatile shared;

// No cleanups here, so that nothing overwrites what the operator's frame leaves on the stack when it throws.
[[gnu::noinline]] void *ask(std::size_t size)
{
    return ::operator new(size);
}

[[gnu::noinline]] bool fails(std::size_t size)
{
    try {
        shared = ask(size);
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

// Leaves most of its frame as it finds it.
[[gnu::noinline]] void *deeper(std::size_t size)
{
    char room[4096];
    shared = room;
    void *block = std::malloc(size);
    shared = block;
    return block;
}

void *seen(void *block)
{
    if (!block)
        std::abort();
    shared = block;
    return shared;
}

void round(std::size_t huge)
{
    constexpr std::align_val_t wide{256};

    if (!fails(huge))
        std::abort();
    std::free(deeper(100));
    shared = ask(1000); // the leak
    std::free(deeper(200));
    shared = ::operator new(huge, std::nothrow);
    if (shared)
        std::abort();

    ::operator delete(seen(::operator new(10)));
    ::operator delete(seen(::operator new(20)), std::size_t{20});
    ::operator delete(seen(::operator new(30, std::nothrow)), std::nothrow);
    ::operator delete(seen(::operator new(512, wide)), wide);
    ::operator delete(seen(::operator new(256, wide)), std::size_t{256}, wide);
    ::operator delete[](seen(::operator new[](40)));
    ::operator delete[](seen(::operator new[](50)), std::size_t{50});
    ::operator delete[](seen(::operator new[](1024, wide, std::nothrow)), wide, std::nothrow);
    ::operator delete(seen(::operator new(300 * 1024)));
    ::operator delete(nullptr);
}

} // namespace

extern "C" [[gnu::noinline]] void mark_iteration()
{
    __asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? std::atoi(argv[1]) : 1;
    volatile std::size_t huge = ~std::size_t{0} / 4;

    for (int i = 0; i < rounds; i++)
        round(huge);
    mark_iteration();
    return 0;
}
