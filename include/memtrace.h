/*
 * memtrace.h: MEMTRACE_ITERATION() says where an iteration of a C or C++ program ends.
 *
 * It is one nop and a note in the executable, in the form of SystemTap's sys/sdt.h (probe memtrace:iteration): it
 * costs nothing until memtrace, bpftrace or perf sets a probe there, and needs no library.
 * For x86-64 Linux, GCC or Clang. May be copied into any program.
 */
#ifndef MEMTRACE_H
#define MEMTRACE_H

#if defined(__linux__) && defined(__x86_64__)
#define MEMTRACE_ITERATION()                                                     \
    __asm__ volatile(                                                            \
        "990: nop\n"                                                             \
        ".pushsection .note.stapsdt,\"?\",\"note\"\n"                            \
        ".balign 4\n"                                                            \
        ".4byte 992f-991f, 994f-993f, 3\n"                                       \
        "991: .asciz \"stapsdt\"\n"                                              \
        "992: .balign 4\n"                                                       \
        "993: .8byte 990b, _.stapsdt.base, 0\n"                                  \
        ".asciz \"memtrace\", \"iteration\", \"\"\n"                             \
        "994: .balign 4\n"                                                       \
        ".popsection\n"                                                          \
        ".ifndef _.stapsdt.base\n"                                               \
        ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"  \
        ".weak _.stapsdt.base\n"                                                 \
        ".hidden _.stapsdt.base\n"                                               \
        "_.stapsdt.base: .space 1\n"                                             \
        ".size _.stapsdt.base, 1\n"                                              \
        ".popsection\n"                                                          \
        ".endif\n"                                                               \
        : : : "memory")
#else
#define MEMTRACE_ITERATION() ((void)0)
#endif

#endif
