"""Makes objects of many kinds, each kind on a line of its own, and keeps them.

Argument: nothing, or `tracemalloc`.

Says `ready`, then makes them when it is sent a line, and says `made`; ends with the next line. With `tracemalloc` that line is
answered by a JSON object: what tracemalloc has of it, as a list of [file, line, bytes, blocks].
"""

import collections
import dataclasses
import io
import json
import os
import sys
import tracemalloc

KEPT = []
COUNT = 500
DOCUMENT = json.dumps([{"name": f"name {n}", "tags": ["a", str(n)], "size": n * 1.5} for n in range(COUNT)])


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = f"number {number}"


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left, right):
        self.left = left
        self.right = right


@dataclasses.dataclass
class Record:
    key: int
    tags: list = dataclasses.field(default_factory=list)


def texts():
    KEPT.append(["text " + str(n) for n in range(COUNT)])
    KEPT.append([chr(0x20AC) * (n % 50 + 1) for n in range(COUNT)])
    KEPT.append(" ".join(map(str, range(10 * COUNT))).split())
    KEPT.append("x" * 100_000)


def raw_bytes():
    KEPT.append([bytes(n % 1000 + 1) for n in range(COUNT)])
    KEPT.append([bytearray(n % 1000) for n in range(COUNT)])
    KEPT.append(io.BytesIO(b"y" * 50_000).read(40_000))


def numbers():
    KEPT.append([n * 1.25 for n in range(10 * COUNT)])
    KEPT.append([n << 70 for n in range(10 * COUNT)])
    KEPT.append([complex(n, 1) for n in range(COUNT)])


def containers():
    KEPT.append([(n, -n, "t") for n in range(10 * COUNT)])
    KEPT.append([[n] * 5 for n in range(COUNT)])
    KEPT.append([{n: n} for n in range(COUNT)])
    KEPT.append({n: None for n in range(5 * COUNT)})
    KEPT.append([{n, n + 1} for n in range(COUNT)])
    KEPT.append(frozenset(range(COUNT)))
    KEPT.append(collections.deque(range(5 * COUNT)))
    KEPT.append(collections.OrderedDict.fromkeys(range(COUNT)))


def instances():
    KEPT.append([Plain(n) for n in range(COUNT)])
    KEPT.append([Slotted(n, str(n)) for n in range(COUNT)])
    KEPT.append([Record(n) for n in range(COUNT)])
    KEPT.append([lambda n=n: n for n in range(COUNT)])


def growing():
    """Blocks that grow by `realloc`, most of them from below 512 bytes to above, and some that shrink again."""
    for length in range(0, COUNT // 4):
        items = []
        for n in range(length):
            items.append(n)
        KEPT.append(items)
    for length in range(0, COUNT // 4):
        data = bytearray()
        for _ in range(length):
            data += b"abc"
        KEPT.append(data)
    for length in range(0, COUNT // 10):
        text = ""
        for n in range(length):
            text += "word"
        KEPT.append(text)
    for length in range(COUNT // 4):
        items = list(range(300))
        del items[length % 100 :]
        KEPT.append(items)


def dropped():
    """What is gone again must be in neither figure."""
    for n in range(COUNT):
        gone = [bytes(300), {n: str(n)}, bytes(3000)]
    KEPT.append(gone)


def parsed():
    KEPT.append(json.loads(DOCUMENT))
    KEPT.append(json.dumps(KEPT[-1], indent=1))


def make():
    for part in (texts, raw_bytes, numbers, containers, instances, growing, dropped, parsed):
        part()


def traced():
    """What tracemalloc has, but for what it keeps itself."""
    snapshot = tracemalloc.take_snapshot()
    for statistic in snapshot.statistics("lineno"):
        frame = statistic.traceback[0]
        yield frame.filename, frame.lineno, statistic.size, statistic.count


def wait():
    """For a line, which is empty. Not by `sys.stdin`, whose buffers would be among what is compared."""
    os.read(0, 1)


def main():
    with_tracemalloc = sys.argv[1:] == ["tracemalloc"]
    print("ready", flush=True)
    wait()
    if with_tracemalloc:
        tracemalloc.start(1)
    make()
    print("made", flush=True)
    wait()
    if with_tracemalloc:
        print(json.dumps(list(traced())), flush=True)


main()
