"""Makes and drops objects, and stands still after each step: it writes how many blocks of each size its allocator has in use to
standard error, `ready` to standard output, and waits for SIGUSR1. Nothing is allocated between the first and the last.
"""

import os
import signal
import sys

stats, write, wait = sys._debugmallocstats, os.write, signal.sigwait
SIGNALS = {signal.SIGUSR1}
READY = b"ready\n"


class Point:
    __slots__ = ("x", "y")


kept = []


def few():
    kept.extend(Point() for _ in range(20_000))
    kept.extend((i, i) for i in range(5_000))


def many():
    # Dozens of arenas: the array that the allocator keeps them in is enlarged, and moves.
    kept.extend(bytes(100) for _ in range(300_000))
    kept.extend([] for _ in range(10_000))


def less():
    # Whole arenas are given back.
    del kept[1_000:]


signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
steps = {"few": few, "many": many, "less": less}
for step in [steps[name] for name in sys.argv[1:]]:
    stats()
    write(1, READY)
    wait(SIGNALS)
    step()
stats()
write(1, READY)
wait(SIGNALS)
