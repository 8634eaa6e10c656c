// See known.h. Allocates nothing, and may be called in signal handlers.
#define _GNU_SOURCE
#include "known.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#include <unwind.h>

enum { MOST = 360, ROOM = 96 * 1024, LINE = 1024, ENTRY_LENGTH = 64 };

struct frames {
    int number;
    _Unwind_Ptr address[MOST];
};

struct text {
    size_t length;
    char bytes[ROOM];
};

struct object {
    uintptr_t address, bias, eh_frame, start, end;
    const char *name;
};

static char names_begin_with[64];
static size_t next_size = 1;
static char program[512];

#ifndef __GLIBC__
// The compiler's unwinder is built for a C library that has this function.
struct found {
    unsigned long long flags;
    void *start, *end;
    struct link_map *map;
    void *eh_frame;
    unsigned long long reserved[7];
};
int _dl_find_object(void *address, struct found *found);
#endif

static int has(struct dl_phdr_info *info, size_t length, void *argument) {
    (void)length;
    struct object *object = argument;
    int here = 0;
    uintptr_t eh_frame = 0, start = UINTPTR_MAX, end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + header->p_vaddr, to = from + header->p_memsz;
        if (header->p_type == PT_GNU_EH_FRAME) eh_frame = from;
        if (header->p_type != PT_LOAD) continue;
        if (object->address >= from && object->address < to) here = 1;
        if (from < start) start = from;
        if (to > end) end = to;
    }
    if (!here) return 0;
    object->bias = info->dlpi_addr;
    object->name = info->dlpi_name;
    object->eh_frame = eh_frame;
    object->start = start;
    object->end = end;
    return 1;
}

static int find(uintptr_t address, struct object *object) {
    *object = (struct object){.address = address};
    return dl_iterate_phdr(has, object);
}

#ifndef __GLIBC__
int _dl_find_object(void *address, struct found *found) {
    struct object object;
    if (!find((uintptr_t)address, &object)) return -1;
    *found = (struct found){
        .start = (void *)object.start, .end = (void *)object.end, .eh_frame = (void *)object.eh_frame};
    return 0;
}
#endif

static int file = -1;

// Before a library goes, so that it can come back often.
__attribute__((destructor)) static void end(void) {
    if (file >= 0) close(file);
    file = -1;
}

static void flush(struct text *text) {
    if (file < 0) {
        const char *path = getenv("KNOWN_FILE");
        file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : STDERR_FILENO;
    }
    if (write(file, text->bytes, text->length) != (ssize_t)text->length) abort();
    text->length = 0;
}

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...) {
    va_list arguments;
    if (text->length + LINE > ROOM) flush(text);
    va_start(arguments, format);
    text->length += (size_t)vsnprintf(text->bytes + text->length, LINE, format, arguments);
    va_end(arguments);
}

static const char *path_of(const struct object *object) {
    // The program itself has no name, or, with musl, perhaps a relative one or none that means the same elsewhere.
    if (object->name && object->name[0] == '/' && strncmp(object->name, "/proc/", 6) != 0) return object->name;
    if (program[0] == 0) {
        ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
        if (length < 0) abort();
    }
    return program;
}

static void add_address(struct text *text, const char *kind, uintptr_t address) {
    struct object object;
    if (find(address, &object))
        add(text, "%s %lx %s\n", kind, address - object.bias, path_of(&object));
    else
        add(text, "%s %lx -\n", kind, address);
}

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *argument) {
    struct frames *frames = argument;
    if (frames->number == MOST) return _URC_NORMAL_STOP;
    frames->address[frames->number++] = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}

static void add_function(struct text *text, const void *function, size_t length) {
    uintptr_t start = (uintptr_t)function;
    struct object object;
#ifdef __GLIBC__
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    if (length == 0) {
        if (!dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) || symbol == NULL) abort();
        length = symbol->st_size;
    }
#endif
    if (find(start, &object)) {
        start -= object.bias;
        add(text, "in %lx %lx %s\n", start, start + length, path_of(&object));
    } else {
        add(text, "in %lx %lx -\n", start, start + length);
    }
}

// To be called with the frame of the public function as the second one.
__attribute__((noinline)) static void tell(const char *name, size_t size, const void *function, size_t length,
                                           const void *among) {
    struct frames frames;
    struct text text;
    struct object object;
    frames.number = 0;
    text.length = 0;
    add(&text, "stack %zu %s%s\n", size, names_begin_with, name);
    if (function) add_function(&text, function, length);
    if (among) {
        if (!find((uintptr_t)among, &object)) abort();
        add(&text, "some %s\n", path_of(&object));
    }
    _Unwind_Backtrace(note, &frames);
    // The outermost function's caller is 0; where the unwinder is lost, the last address is where.
    int whole = frames.number > 0 && frames.address[frames.number - 1] == 0;
    for (int i = 2; i < frames.number - whole; i++) add_address(&text, "frame", frames.address[i]);
    // What is before the compiler's own part of a static program, it does not know: the entry point is whole too.
    uintptr_t last = frames.number > 0 ? frames.address[frames.number - 1] : 0;
    uintptr_t entry = getauxval(AT_ENTRY);
    whole = whole || (last > entry && last < entry + ENTRY_LENGTH);
    add(&text, "end %s\n", whole ? "outermost" : "lost");
    flush(&text);
}

void known_begin(const char *prefix, size_t base) {
    snprintf(names_begin_with, sizeof names_begin_with, "%s", prefix);
    next_size = base;
}

__attribute__((noinline)) size_t known_before(const char *name) {
    size_t size = __atomic_fetch_add(&next_size, 2, __ATOMIC_RELAXED);
    tell(name, size, NULL, 0, NULL);
    return size;
}

__attribute__((noinline)) void known_before_size(const char *name, size_t size) {
    tell(name, size, NULL, 0, NULL);
    STAY;
}

__attribute__((noinline)) size_t known_before_in(const char *name, const void *function, size_t length) {
    size_t size = __atomic_fetch_add(&next_size, 2, __ATOMIC_RELAXED);
    tell(name, size, function, length, NULL);
    return size;
}

__attribute__((noinline)) void known_before_size_in(const char *name, size_t size, const void *function) {
    tell(name, size, function, 0, NULL);
    STAY;
}

__attribute__((noinline)) void known_before_size_some(const char *name, size_t size, const void *function) {
    tell(name, size, NULL, 0, function);
    STAY;
}

__attribute__((noinline)) void known_after(size_t size) {
    struct text text;
    struct object object;
    text.length = 0;
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uintptr_t bias = find(here, &object) ? object.bias : 0;
    add(&text, "after %zu %lx\n", size, here - bias);
    flush(&text);
}

void known_count(size_t size, unsigned long number) {
    struct text text;
    text.length = 0;
    add(&text, "count %zu %lu\n", size, number);
    flush(&text);
}
