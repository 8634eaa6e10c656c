// Calls two functions three times each, whose names the compiler mangles or not.
#include <cstdlib>

extern "C" __attribute__((noinline)) void plain_mark()
{
    __asm__ volatile("" ::: "memory");
}

namespace shop {
struct Cart {
    __attribute__((noinline)) int checkout(int items);
};

int Cart::checkout(int items)
{
    __asm__ volatile("" ::: "memory");
    return items;
}
} // namespace shop

int main()
{
    shop::Cart cart;

    for (int i = 0; i < 3; i++) {
        free(malloc(100));
        plain_mark();
        cart.checkout(i);
    }
    return 0;
}
