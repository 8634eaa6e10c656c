"""Allocates blocks of sizes of their own at places of all kinds, and writes down what Python says of each place:
one line of JSON for each, with the size and the frames (file, line, name), innermost first.

Arguments: the file to write to; the library made of python_native.c.
"""

import asyncio
import ctypes
import functools
import gc
import json
import sys
import threading

SMALLEST = 1_000_000
places = []
kept = []


def frames_from(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        frames.append([code.co_filename, frame.f_lineno, getattr(code, "co_qualname", code.co_name)])
        frame = frame.f_back
    return frames


def next_size():
    # Far enough apart that what an object adds to its contents makes no difference.
    return SMALLEST + 1000 * len(places)


def note(case, size, frames):
    places.append({"case": case, "size": size, "frames": frames})


def place(case):
    """A block from the interpreter itself, with the GIL."""
    size = next_size()
    kept.append(bytes(size)); frames = frames_from(sys._getframe())
    note(case, size + sys.getsizeof(b""), frames)


native = ctypes.CDLL(sys.argv[2])
held = ctypes.PyDLL(sys.argv[2])
for library in (native, held):
    library.take.argtypes = [ctypes.c_size_t]
    library.take_in_thread.argtypes = [ctypes.c_size_t]
    library.call_in_thread.argtypes = [ctypes.c_char_p]


def place_in_c(case, library):
    """A block from C, without the GIL or with it."""
    size = next_size()
    library.take(size); frames = frames_from(sys._getframe())
    note(case, size, frames)


def plain():
    place("a function")


class Owner:
    def method(self):
        place("a method")

    @classmethod
    def of_class(cls):
        place("a class method")

    @property
    def attribute(self):
        place("a property")
        return 1

    def __repr__(self):
        place("repr, from C")
        return "owner"

    def __lt__(self, other):
        place("a comparison, from C")
        return True

    def __del__(self):
        place("a finalizer")


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@decorated
@decorated
def wrapped():
    place("a decorated function")


def generator():
    yield 1
    place("a generator")
    yield 2


def delegating():
    yield from generator()


def recursion(depth):
    if depth == 0:
        place("recursion")
    else:
        recursion(depth - 1)


def recursion_in_c(depth):
    if depth == 0:
        place("recursion through C")
    else:
        sorted([1], key=lambda _: recursion_in_c(depth - 1))


async def inner_task():
    await asyncio.sleep(0)
    place("a task")


async def tasks():
    await asyncio.gather(inner_task(), inner_task())


def several_lines():
    values = [
        1,
        (
            lambda:
                place("a line of several")
        )(),
        [
            place("a comprehension")
            for _ in range(1)
        ],
    ]
    return values, dict(
        one=1,
        two=place(
            "an argument"
        ),
    )


def handling():
    try:
        raise ValueError("of the test's own")
    except ValueError:
        place("a handler")
    finally:
        place("a finally")


def names_in_other_scripts():
    def größe_日本():
        place("a name in other scripts")

    größe_日本()


def executed():
    for number in range(30):
        source = "\n" * number + "def made():\n    place('code made at run time')\nmade()\ndel made\n"
        exec(compile(source, f"made-{number}", "exec"), {"place": place})
    exec(compile("place('a name in other scripts')", "größe-日本-🐍", "exec"), {"place": place})


def in_threads():
    def work():
        place("a thread")
        place_in_c("a thread without the GIL", native)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        # One after the other: sizes are told apart by their number.
        thread.start()
        thread.join()


def called_back():
    place("a thread of C's")


def in_subinterpreter():
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        try:
            import _interpreters as interpreters
        except ImportError:
            return
    identity = interpreters.create()
    size = next_size()
    script = f"""
import sys
def inside():
    kept = bytes({size})
    sys.kept = kept
inside()
"""
    interpreters.run_string(identity, script)
    # Its own stack begins at its script: Python says nothing of the frames outside.
    note("a subinterpreter", size + sys.getsizeof(b""),
         [["<string>", 4, "inside"], ["<string>", 6, "<module>"]])


plain()
Owner().method()
Owner.of_class()
Owner().attribute
repr(Owner())
sorted([Owner(), Owner()])
wrapped()
list(delegating())
recursion(40)
recursion_in_c(10)
asyncio.run(tasks())
several_lines()
handling()
names_in_other_scripts()
executed()
(lambda: place("a lambda"))()
place_in_c("C without the GIL", native)
place_in_c("C with the GIL", held)
in_threads()
cycle = [Owner()]
cycle.append(cycle)
del cycle
gc.collect()
sys.setrecursionlimit(5000)
recursion(900)

size = next_size()
native.take_in_thread(size)
note("a thread that runs no Python", size, [])
native.call_in_thread(b"import __main__; __main__.called_back()")
if "--subinterpreter" in sys.argv:
    in_subinterpreter()

with open(sys.argv[1], "w") as out:
    for it in places:
        print(json.dumps(it), file=out)
