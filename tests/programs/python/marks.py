"""Marks iterations by the module `memtrace`; each keeps a block of a size that no other has."""

import asyncio
import os
import sys
import threading

import memtrace

MIB = 1 << 20
kept = []


@memtrace.iteration
def called(size):
    kept.append(bytes(size))
    return len(kept)


@memtrace.iteration("awaited")
async def awaited(size):
    await asyncio.sleep(0)
    kept.append(bytes(size))
    return len(kept)


def main():
    memtrace.mark("start")
    with memtrace.iteration("batch 1"):
        kept.append(bytes(1 * MIB))
    with memtrace.iteration("batch 2, größer"):
        kept.append(bytes(2 * MIB))
    print(called(3 * MIB))
    print(asyncio.run(awaited(4 * MIB)))
    try:
        with memtrace.iteration("raised"):
            kept.append(bytes(5 * MIB))
            raise ValueError("mine")
    except ValueError as error:
        print("caught", error)

    def thread():
        with memtrace.iteration("thread"):
            kept.append(bytes(6 * MIB))

    other = threading.Thread(target=thread)
    other.start()
    other.join()

    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os._exit(7 if memtrace.mark("child") else 0)
    print("child", os.waitpid(child, 0)[1])
    kept.append(bytes(7 * MIB))
    memtrace.mark()
    print("missed", memtrace.missed())


main()
sys.exit(3)
