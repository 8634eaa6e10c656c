"""Works without a pause in three threads, in all the ways that Python calls: generators, coroutines, exec'd code, deep recursion,
exceptions, C code that calls back. Writes what came of it, a line per round that depends on the round alone, until its standard
input ends or has a line in it, and goes on to the end of the round.

usage: busy.py [ROUNDS]
"""

import asyncio
import hashlib
import json
import queue
import sys
import threading


def numbers(n):
    for i in range(n):
        yield from (i, i * i)


async def add(a, b):
    await asyncio.sleep(0)
    return a + b


async def gathered(n):
    return sum(await asyncio.gather(*(add(i, n) for i in range(20))))


def deep(n):
    return [n] + deep(n - 1) if n else []


class Shape:
    def __init__(self, side):
        self.side = side

    def __lt__(self, other):
        return self.side > other.side


def fail(n):
    try:
        return 1 // (n % 2)
    except ZeroDivisionError as error:
        return str(error)


def work(number):
    space = {}
    exec(f"def made(x):\n    return [x + {number}, 'é' * x]\n", space)
    document = {str(i): [i, i / 7, None, "x" * (i % 600)] for i in range(number % 50 + 100)}
    return [
        list(numbers(50)),
        asyncio.run(gathered(number)),
        deep(100),
        [shape.side for shape in sorted(Shape(i * 37 % 101) for i in range(100))],
        fail(number),
        space["made"](number % 10),
        json.loads(json.dumps(document)) == document,
        sorted("alpha beta gamma".split(), key=lambda word: word[number % 4]),
    ]


def worker(todo, done):
    for number in iter(todo.get, None):
        done.put((number, hashlib.sha256(repr(work(number)).encode()).hexdigest()))


def main():
    rounds = int(sys.argv[1]) if sys.argv[1:] else None
    told = threading.Event()
    if rounds is None:
        threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    todo, done = queue.Queue(), queue.Queue()
    threads = [threading.Thread(target=worker, args=(todo, done)) for _ in range(3)]
    for thread in threads:
        thread.start()
    number = 0
    while number != rounds and not told.is_set():
        for i in range(6):
            todo.put(6 * number + i)
        print(number, *(digest for _, digest in sorted(done.get() for _ in range(6))), flush=True)
        number += 1
    for _ in threads:
        todo.put(None)
    for thread in threads:
        thread.join()
    print("ended after", number, flush=True)


main()
