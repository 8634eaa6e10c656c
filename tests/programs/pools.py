"""Keeps objects of two sizes that nothing else has, made on two lines, after a third line has made and dropped many of both. After
each step it says `ready` and waits for a byte on its standard input.
"""

import os

kept = []


def drop():
    return [[bytes(200), bytes(430)] for _ in range(10_000)]  # what it drops


def keep(small, large):
    kept.extend(bytes(200) for _ in range(small))  # the smaller ones
    kept.extend(bytes(430) for _ in range(large))  # the larger ones


def wait():
    os.write(1, b"ready\n")
    os.read(0, 1)


wait()
drop()
keep(20_000, 5_000)
wait()
keep(10_000, 2_500)
wait()
