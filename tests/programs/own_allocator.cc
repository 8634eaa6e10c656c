// Brings an allocator of its own. Small blocks of operator new come from a list, large ones from malloc, and
// operator delete sends each back to where it came from.
//
// own_allocator ROUNDS. Each round allocates 6 blocks, and frees 5 of them.
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

// Ahead of each block, so that blocks stay aligned.
struct alignas(16) Head {
    Head *next;
    std::size_t size;
};

constexpr std::size_t small = 256;
alignas(16) char heap[16 << 20];
std::size_t used;
Head *free_small;
void *volatile shared;

[[gnu::noinline]] void *carve(std::size_t size)
{
    std::size_t need = sizeof(Head) + (size + 15) / 16 * 16;
    if (need < size || used + need > sizeof heap)
        return nullptr;
    Head *head = reinterpret_cast<Head *>(heap + used);
    used += need;
    head->size = size;
    return head + 1;
}

} // namespace

extern "C" {
[[gnu::noinline]] void *malloc(std::size_t size) noexcept
{
    return carve(size);
}

[[gnu::noinline]] void free(void *block) noexcept
{
    if (block)
        (static_cast<Head *>(block) - 1)->next = nullptr;
}

void *calloc(std::size_t count, std::size_t size) noexcept
{
    return carve(count * size);
}

void *realloc(void *, std::size_t size) noexcept
{
    return carve(size);
}

[[gnu::noinline]] void mark_iteration()
{
    __asm__ volatile("" ::: "memory");
}
}

[[gnu::noinline]] void *operator new(std::size_t size)
{
    if (size > small) {
        if (void *block = malloc(size))
            return block;
        throw std::bad_alloc();
    }
    if (Head *head = free_small) {
        free_small = head->next;
        head->size = size;
        return head + 1;
    }
    void *block = carve(small);
    if (!block)
        throw std::bad_alloc();
    (static_cast<Head *>(block) - 1)->size = size;
    return block;
}

[[gnu::noinline]] void operator delete(void *block) noexcept
{
    if (!block)
        return;
    Head *head = static_cast<Head *>(block) - 1;
    if (head->size > small) {
        free(block);
        return;
    }
    head->next = free_small;
    free_small = head;
}

void operator delete(void *block, std::size_t) noexcept
{
    operator delete(block);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? std::atoi(argv[1]) : 1;

    for (int i = 0; i < rounds; i++) {
        void *first = ::operator new(100);
        void *second = ::operator new(200);
        shared = first;
        ::operator delete(second);
        ::operator delete(first);
        shared = ::operator new(1000);
        ::operator delete(shared);
        shared = ::operator new(1000);
        ::operator delete(shared, std::size_t{1000});
        shared = malloc(50);
        free(shared);
        shared = ::operator new(24); // the leak
    }
    mark_iteration();
    return 0;
}
