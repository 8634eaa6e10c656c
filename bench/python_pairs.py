"""What an allocation costs that Python makes. Speaks as pairs.c does: reads milliseconds, allocates for so long at a stack of DEPTH
frames, and writes calls, CPU time in ns, wall time in ns, threads.

usage: python_pairs.py DEPTH
"""

import sys
import time

PER_LOOK = 256
# The module's own frame, and main's.
OUTSIDE = 2


def main(frames):
    for line in iter(sys.stdin.readline, ""):
        print(*descend(frames - OUTSIDE, int(line) * 1_000_000), 1, flush=True)


def descend(frames, length):
    if frames > 1:
        return descend(frames - 1, length)
    calls = 0
    begin, cpu = time.monotonic_ns(), time.thread_time_ns()
    while (wall := time.monotonic_ns() - begin) < length:
        for _ in range(PER_LOOK):
            bytes(600)
        calls += PER_LOOK
    return calls, time.thread_time_ns() - cpu, wall


main(int(sys.argv[1]))
