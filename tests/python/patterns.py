"""The patterns that leaks in Python follow, and their mended forms: an iteration of each of them for each
line of standard input.

Argument: bad or good. The two are never in one process: what one of them frees, the interpreter keeps in lists of its own and
gives to the other, without a call of an allocator.

Answers each line with how many bytes each pattern has added that stay, as Python counts them.
"""

import sys
from collections import OrderedDict


def size_of(objects):
    return sum(map(sys.getsizeof, objects))


class Leaking:
    """An attribute that collects what it should only pass on."""

    def __init__(self):
        self.results = []

    def iteration(self, number):
        data = [str(i) * 10 for i in range(1000, 6000)]  # what it collects
        self.results.append(data)
        return sys.getsizeof(data) + size_of(data)


class Mended(Leaking):
    def iteration(self, number):
        data = [str(i) * 10 for i in range(1000, 6000)]
        self.results = [data]
        return 0


class Unlimited:
    """A cache that forgets nothing."""

    SIZE = 1000

    def __init__(self):
        self.cache = {}

    def make(self):
        return "v" * self.SIZE  # what it keeps

    def look_up(self, key):
        if key not in self.cache:
            self.cache[key] = self.make()
        return self.cache[key]

    def iteration(self, number):
        return size_of(self.look_up((number, i)) for i in range(500))


class Limited(Unlimited):
    """A cache that forgets the oldest. Full from the start."""

    LIMIT = 1000

    def __init__(self):
        self.cache = OrderedDict()
        for i in range(2 * self.LIMIT):
            self.look_up((-1, i))

    def look_up(self, key):
        if key not in self.cache:
            self.cache[key] = self.make()
            if len(self.cache) > self.LIMIT:
                self.cache.popitem(last=False)
        return self.cache[key]

    def iteration(self, number):
        super().iteration(number)
        return 0


class Emitter:
    def __init__(self):
        self.listeners = []

    def add(self, listener):
        self.listeners.append(listener)

    def remove(self, listener):
        self.listeners.remove(listener)


class Added:
    """Listeners that are added and never removed."""

    def __init__(self):
        self.emitter = Emitter()

    def listener(self):
        buffer = bytearray(2000)  # what it holds
        return buffer.__len__

    def iteration(self, number):
        listeners = [self.listener() for _ in range(200)]
        for listener in listeners:
            self.emitter.add(listener)
        return self.after(listeners)

    def after(self, listeners):
        return size_of(listener.__self__ for listener in listeners)


class Removed(Added):
    def after(self, listeners):
        for listener in listeners:
            self.emitter.remove(listener)
        return 0


PATTERNS = {
    "bad": (Leaking, Unlimited, Added),
    "good": (Mended, Limited, Removed),
}


def main():
    patterns = [pattern() for pattern in PATTERNS[sys.argv[1]]]
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        print(*[pattern.iteration(number) for pattern in patterns], flush=True)


main()
