// Allocations of a C++ program, each told by itself (known.h): by operators, containers and exceptions.
//
// Says "ready", goes on at a line, and ends with its input.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "known.h"

extern "C" void *__cxa_allocate_exception(size_t) noexcept;

namespace {

constexpr unsigned lifetime_seconds = 120;

// Tells each of its allocations that a container makes.
template <typename T> struct Telling {
    using value_type = T;
    const char *name;
    explicit Telling(const char *name) : name(name) {}
    template <typename U> Telling(const Telling<U> &other) : name(other.name) {}
    APART T *allocate(size_t number) {
        // What the container needs is not what makes it unique: there is room for more.
        size_t size = known_before(name);
        if (number * sizeof(T) > size) abort();
        void *block = malloc(size);
        known_after(size);
        return static_cast<T *>(block);
    }
    // The blocks stay.
    void deallocate(T *, size_t) {}
    template <typename U> bool operator==(const Telling<U> &) const { return true; }
    template <typename U> bool operator!=(const Telling<U> &) const { return false; }
};

APART void operators() {
    const auto plain = static_cast<void *(*)(size_t)>(::operator new);
    KNOWN_IN("operator new", plain, ::operator new(size));
}

// The library's own code, of which not each frame is known.
APART void strings() {
    const void *library = reinterpret_cast<const void *>(static_cast<void *(*)(size_t)>(::operator new));
    auto *text = new std::string;
    // Room for the 0 at the end is in the block.
    known_before_size_some("string", 21001, library);
    text->assign(21000, 'x');
    known_after(21001);
    asm volatile("" : : "r"(text) : "memory");
    known_before_size_some("string that grows", 51001, library);
    text->reserve(51000);
    known_after(51001);
    asm volatile("" : : "r"(text) : "memory");
}

APART void containers() {
    auto *numbers = new std::vector<int, Telling<int>>(Telling<int>("vector"));
    numbers->push_back(1);
    auto *list = new std::list<long, Telling<long>>(Telling<long>("list"));
    list->push_back(1);
    auto *map = new std::map<int, int, std::less<int>, Telling<std::pair<const int, int>>>(
        Telling<std::pair<const int, int>>("map"));
    map->emplace(3, 4);
    auto shared = std::allocate_shared<long>(Telling<long>("shared pointer"), 7);
    asm volatile("" : : "r"(numbers), "r"(list), "r"(map), "r"(&shared) : "memory");
}

APART void functions() {
    volatile int captured = 3;
    std::function<void(int)> function = [&captured](int more) {
        captured = captured + more;
        KNOWN("std::function", malloc(size));
    };
    function(4);
    std::vector<int> numbers = {5, 2, 9, 1, 7};
    int compared = 0;
    std::sort(numbers.begin(), numbers.end(), [&compared](int a, int b) {
        if (compared++ == 2) KNOWN("comparison of std::sort", malloc(size));
        return a < b;
    });
    static std::once_flag once;
    std::call_once(once, [] { KNOWN("std::call_once", malloc(size)); });
}

struct Shape {
    APART Shape() { KNOWN("base's constructor", malloc(size)); }
    APART virtual ~Shape() { KNOWN("base's destructor", malloc(size)); }
    virtual int area(int) = 0;
};

struct Other {
    virtual ~Other() = default;
    virtual int other(int) = 0;
};

struct Square final : Other, Shape {
    APART ~Square() override { KNOWN("destructor", malloc(size)); }
    APART int area(int side) override {
        KNOWN("virtual function by a thunk", malloc(size));
        return side * side;
    }
    APART int other(int side) override { return side; }
};

APART void virtual_functions() {
    auto *square = new Square;
    Shape *shape = square;
    asm volatile("" : "+r"(shape));
    (void)shape->area(3);
    STAY;
    Other *other = square;
    asm volatile("" : "+r"(other));
    delete other;
    STAY;
}

APART int first_use() {
    KNOWN("initialization of a static variable", malloc(size));
    return 1;
}

APART int with_static() {
    static int value = first_use();
    return value;
}

// Exceptions.
struct Guard {
    const char *name;
    explicit Guard(const char *name) : name(name) {}
    APART ~Guard() { KNOWN(name, malloc(size)); }
};

struct Large {
    char bytes[23001];
};

APART void throw_it(int what) {
    Guard guard("destructor while an exception passes");
    if (what == 1) throw std::string("thrown");
    if (what == 2) throw 7;
    STAY;
}

APART void between(int what) {
    volatile char room[200];
    room[0] = static_cast<char>(what);
    throw_it(what);
    room[1] = room[0];
}

APART void throw_large() {
    static Large large;
    // Before the object itself the runtime has 128 bytes.
    known_before_size_in("the exception itself", sizeof large + 128, reinterpret_cast<const void *>(__cxa_allocate_exception));
    throw large;
}

APART void rethrow() {
    try {
        Guard guard("destructor before a handler");
        throw 1;
    } catch (int) {
        KNOWN("handler that throws on", malloc(size));
        throw;
    }
}

APART void exceptions() {
    try {
        between(1);
    } catch (const std::string &text) {
        KNOWN("handler", malloc(size));
        asm volatile("" : : "r"(text.c_str()) : "memory");
    }
    try {
        throw_large();
    } catch (const Large &) {
        STAY;
    }
    try {
        rethrow();
    } catch (int) {
        KNOWN("handler of what was thrown on", malloc(size));
    }
    try {
        try {
            throw 1;
        } catch (int) {
            try {
                throw 2;
            } catch (int) {
                KNOWN("handler in a handler", malloc(size));
            }
        }
    } catch (...) {
        abort();
    }
}

struct ThreadLocal {
    int value = 1;
    APART ~ThreadLocal() { KNOWN("destructor of a thread's variable", malloc(size)); }
};

thread_local ThreadLocal own;

APART void threads() {
    std::thread([] {
        own.value++;
        KNOWN("std::thread", malloc(size));
    }).join();
    std::thread([](int what) {
        try {
            between(what);
        } catch (int) {
            KNOWN("handler in a thread", malloc(size));
        }
    }, 3).join();
}

struct Early {
    APART Early() {
        known_begin("c++: ", 7001);
        KNOWN("constructor of a global variable", malloc(size));
    }
    APART ~Early() {
        known_begin("c++: ", 7101);
        KNOWN("destructor of a global variable", malloc(size));
    }
};

Early early;

} // namespace

int main() {
    char line[64];
    static char in[256];
    alarm(lifetime_seconds);
    setvbuf(stdout, nullptr, _IONBF, 0);
    setvbuf(stdin, in, _IOFBF, sizeof in);
    puts("ready");
    if (!fgets(line, sizeof line, stdin)) return 2;
    known_begin("c++: ", 30001);
    operators();
    strings();
    containers();
    functions();
    virtual_functions();
    with_static();
    exceptions();
    threads();
    puts("done");
    while (fgets(line, sizeof line, stdin)) {
    }
    return 0;
}
