"""Knows nothing of memtrace. Its functions are marked from outside."""

import inspect
import os
import sys

import marked_module
from marked_module import Cart, registered

kept = []


def repeat(count):
    kept.append(bytes(count << 20))
    return count


if __name__ == "__main__":
    print([repeat(count) for count in (1, 2, 3)])
    print(registered["handle"](1), marked_module.handle(2), Cart().checkout(3), Cart.total([1, 2]))
    print(inspect.signature(registered["handle"]), registered["handle"].__doc__)
    try:
        marked_module.fails()
    except KeyError as error:
        print("caught", error)
    print(os.environ.get("PYTHONPATH"), len(sys.path), sys.gettrace())
    sys.exit(5)
