"""Makes and keeps objects of known sizes, as standard input says, and says how many bytes and blocks that should be.

Bytes are what Python asks its allocator for (`sys.getsizeof` counts the collector's header, too).
"""

import gc
import os
import sys


class Point:
    __slots__ = ("x", "y")


kept = []


def make_bytes(n):
    for i in range(n):
        kept.append(bytes(i % 600 + 1))


def make_points(n):
    for _ in range(n):
        kept.append(Point())


def make_lists(n):
    # Each is enlarged step by step, across the 512 bytes that Python's pools end at.
    for _ in range(n):
        one = []
        for _ in range(100):
            one.append(None)
        kept.append(one)


def make_dicts(n):
    for _ in range(n):
        kept.append({"a": None, "b": None})


def now():
    # A list's size has its items' in it.
    return sum(sys.getsizeof(one) for one in kept) + sys.getsizeof(kept), sys.getallocatedblocks()


def say(what, before):
    after = now()
    print(what, after[0] - before[0], after[1] - before[1], flush=True)


def make(n):
    make_bytes(n)
    make_points(n)
    make_lists(n // 10)
    make_dicts(n // 10)


def main():
    if sys.argv[1:2] == ["once"]:
        # Ends without tidying up: what was made is alive at the end.
        make(int(sys.argv[2]))
        print("made", now()[0], os.environ.get("PYTHONMALLOC") or None, flush=True)
        os._exit(0)
    tracing = sys.argv[1:2] == ["tracemalloc"]
    if tracing:
        import tracemalloc

        tracemalloc.start()
    gc.collect()
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "make":
            before = now()
            traced = tracemalloc.get_traced_memory()[0] if tracing else 0
            make(int(words[1]))
            if tracing:
                print("traced", tracemalloc.get_traced_memory()[0] - traced, flush=True)
            say("made", before)
        elif words[0] == "half":
            before = now()
            del kept[::2]
            gc.collect()  # empties the free lists, too
            say("dropped", before)
        elif words[0] == "check":
            print("checked", sum(len(one) for one in kept if isinstance(one, bytes)), flush=True)


main()
