"""Marks an iteration for each line of its input, and says that it did."""

import sys

import memtrace

print("ready", flush=True)
for line in sys.stdin:
    with memtrace.iteration(line.strip()):
        pass
    print("done", memtrace.missed(), flush=True)
