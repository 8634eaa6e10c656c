/* A library that says where iterations end. */
#include "../../include/memtrace.h"

void iterate(int times);

void iterate(int times)
{
    for (int i = 0; i < times; i++)
        MEMTRACE_ITERATION();
}
