"""Greenlets that are started at one place and go on from others, so that their starters' frames are long gone. After each step it
says `ready` and waits for a byte on its standard input.
"""

import itertools
import os

import greenlet

MAIN = greenlet.getcurrent()
GREENLETS = 8
kept = [None] * 100_000
numbers = itertools.count()


def work():
    while True:
        keep()
        MAIN.switch()


def keep():
    kept[next(numbers)] = bytes(3000)


def start():
    worker = greenlet.greenlet(work)
    worker.switch()
    return worker


def by_map(depth, function):
    return next(map(lambda _: by_map(depth - 1, function), [0])) if depth else function()


def by_sorting(depth, function):
    results = []
    if depth:
        sorted([0], key=lambda _: results.append(by_sorting(depth - 1, function)) or 0)
    else:
        results.append(function())
    return results[0]


def wait():
    os.write(1, b"ready\n")
    os.read(0, 1)


workers = [by_map(number % 4, start) for number in range(GREENLETS)]
wait()
while True:
    for number in range(200):
        for worker in workers:
            by_sorting(number % 7, worker.switch)
    wait()
