"""Waits in code of various origins, one line of input each; prints `at` and its name before."""

import sys
import weakref


def wait(name):
    print("at", name, flush=True)
    sys.stdin.readline()


def made(name):
    space = {"wait": wait}
    exec(f"def {name}():\n    wait('{name}')", space)
    return space[name]


def from_file(name):
    space = {"wait": wait}
    with open(name, encoding="utf-8") as file:
        exec(compile(file.read(), name, "exec"), space)
    return space["here"]


from_file("relative.py")()
# A code object changes as it is used; what it is doesn't.
weak = weakref.ref(wait.__code__)
made("passing")()
# One of these takes the place of the code that has just been freed.
others = [made(f"another_{number}") for number in range(1000)]
others[-1]()
