"""Threads that wait at known places, and what Python itself says of their frames.

Prints `frames`, then a JSON object: for each thread by its kernel id a list of frames, innermost first, each file, line and
name; then waits for the end of its input.
"""

import asyncio
import functools
import importlib.util
import json
import os
import sys
import tempfile
import threading
import time

# In 3.10 each frame is a run, and 64 of these are kept.
DEPTH = 40 if sys.version_info < (3, 11) else 150
gate = threading.Event()
# By what Python calls them, their kernel ids.
threads = {}


def wait():
    gate.wait()


# Kept, or they would be freed. One thread each.
started = []


def start(function, *arguments):
    def run():
        threads[threading.get_ident()] = threading.get_native_id()
        function(*arguments)

    started.append(threading.Thread(target=run, daemon=True))
    started[-1].start()


def start_foreign(function):
    """On a thread that Python did not make; it gets a thread state for the time of the call."""
    try:
        import ctypes
    except ImportError:
        return

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def called(_):
        threads[threading.get_ident()] = threading.get_native_id()
        function()
        return 0

    started.append(called)
    ctypes.CDLL(None).pthread_create(ctypes.byref(ctypes.c_ulong()), None, called, None)


def recursive(depth):
    if depth:
        recursive(depth - 1)
    else:
        wait()


def by_sorting(depth):
    # Each round goes through C code.
    if depth:
        sorted([depth], key=lambda item: by_sorting(item - 1) or item)
    else:
        wait()


def generator(depth):
    if depth:
        yield from generator(depth - 1)
    else:
        yield wait()


async def coroutine(depth):
    if depth:
        return await coroutine(depth - 1)
    await asyncio.sleep(0)
    [wait() for _ in range(2)]


class Représenté:
    class Innermost:
        def __repr__(self):
            wait()
            return ""

    def méthode(self, *, 名前=None):
        return repr([self.Innermost()])

    @property
    def by_property(self):
        return self.méthode(名前=1)

    @staticmethod
    def by_decorator():
        @functools.lru_cache
        def cached(argument):
            return Représenté().by_property
        return cached(3)


def several_lines():
    return dict(
        a=1,
        b=[
            wait()
            for _ in (
                1,
            )
        ],
        c=(lambda:
           3)(),
    )


def by_import(folder):
    path = os.path.join(folder, "módulo_日本_🙀.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n\ndef fonction_é(function):\n    # A comment\n    return (\n        function()\n    )\n")
    spec = importlib.util.spec_from_file_location("módulo", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fonction_é


def latin(folder):
    path = os.path.join(folder, "müll.py")
    text = "def größe(f):\n" + "\n" * 300 + "    for _ in range(1): f(\n)\n"
    space = {}
    exec(compile(text, path, "exec"), space)
    return space["größe"]


def by_exec():
    exec("def made():\n    wait()\n\nmade()", {"wait": wait})


def by_temporary_code():
    eval(compile("\n\n(lambda f: f())(wait)", "<temporary>", "eval"))


class Closes:
    def __del__(self):
        wait()


def by_finalizer():
    thing = Closes()
    del thing


def by_exception():
    try:
        raise ValueError
    except ValueError:
        try:
            {}["missing"]
        except KeyError:
            wait()
        finally:
            pass


def by_with():
    class Context:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            wait()

    with Context():
        pass


def frames_of(frame):
    found = []
    while frame is not None:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        found.append([code.co_filename, frame.f_lineno, name])
        frame = frame.f_back
    return found


def main():
    folder = tempfile.mkdtemp()
    start(wait)
    start(recursive, DEPTH)
    start(by_sorting, 20)
    start(lambda: list(generator(10)))
    start(lambda: asyncio.run(coroutine(10)))
    start(Représenté.by_decorator)
    start(several_lines)
    start(by_import(folder), wait)
    start(latin(folder), wait)
    start(by_exec)
    start(by_temporary_code)
    start(by_finalizer)
    start(by_exception)
    start(by_with)
    start_foreign(functools.partial(recursive, 3))
    # A thread that waits in the same instruction twice is where it will stay.
    before = None
    while True:
        time.sleep(0.05)
        current = sys._current_frames()
        stacks = {
            threads[ident]: frames_of(frame)
            for ident, frame in current.items()
            if ident in threads
        }
        is_there = all(stack[0][2].endswith("wait") for stack in stacks.values())
        if stacks == before and is_there and len(stacks) == len(started):
            break
        before = {k: list(v) for k, v in stacks.items()}
    stop(stacks)


def stop(stacks):
    own = frames_of(sys._getframe())
    # Where this thread tells, and waits: in one line, for who looks may be quicker than it.
    own[0][1] += 5
    stacks[threading.get_native_id()] = own
    text = ("frames " + json.dumps(stacks) + "\n").encode()
    os.write(1, text), os.read(0, 1)
    os._exit(0)


if len(sys.argv) > 1 and sys.argv[1] == "fork":
    # The last of three generations is the one that is looked at.
    for _ in range(2):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os._exit(0)
    os.write(1, f"forked {os.getpid()}\n".encode())
main()
