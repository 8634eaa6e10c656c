"""The patterns that leaks in Python follow, and their mended forms, one iteration for each line of standard input.

Argument: the pattern. Answers each line with how many bytes the iteration has added that stay, as Python counts them.
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
        data = [i for i in range(1000, 11000)]
        self.results.append(data)
        return sys.getsizeof(data) + size_of(data)


class Mended(Leaking):
    def iteration(self, number):
        data = [i for i in range(1000, 11000)]
        self.results = [data]
        return 0


class Unlimited:
    """A cache that forgets nothing."""

    def __init__(self):
        self.cache = {}

    def look_up(self, key):
        if key not in self.cache:
            self.cache[key] = "v" * 1000
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
            self.cache[key] = "v" * 1000
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
        buffer = bytearray(2000)
        return lambda: buffer

    def iteration(self, number):
        listeners = [self.listener() for _ in range(200)]
        for listener in listeners:
            self.emitter.add(listener)
        return self.after(listeners)

    def after(self, listeners):
        return size_of(listener() for listener in listeners)


class Removed(Added):
    def after(self, listeners):
        for listener in listeners:
            self.emitter.remove(listener)
        return 0


pattern = globals()[sys.argv[1]]()
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    print(pattern.iteration(number), flush=True)
