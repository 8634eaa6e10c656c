"""Tests of mark_py.py in interpreters of their own: `python3 -m unittest test_mark_py` in this folder."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

from test_memtrace import FOLDER, Reader

MODULE = '''
import asyncio, functools
registered = {}
def register(function):
    registered[function.__name__] = function
    return function
@register
def handle(count, *, more=1):
    """Doc."""
    return count + more
class Base:
    def inherited(self): return 1
class Cart(Base):
    def __init__(self, start=5): super().__init__(); self.start = start
    def method(self, count=2): return self.start + count
    @classmethod
    def of_class(cls, count): return cls.__name__, count
    @staticmethod
    def static(count): return count
    @property
    def total(self): return 3
async def coroutine(count):
    await asyncio.sleep(0)
    return count
def generator(count):
    for number in range(count):
        got = yield number
        if got: yield got
    return 7
async def async_generator(count):
    for number in range(count): yield number
def fails(): raise ValueError("mine")
def make():
    one, two = 3, 4
    def inside(count): return count + one + two
    return inside
inside = make()
cached = functools.lru_cache(handle)
def never(): pass
'''

PROGRAM = '''
import asyncio, inspect, os, subprocess, sys
import module
from module import handle as mine, Cart
handle = module.registered["handle"]
print(mine(1, more=2), handle(1), inspect.signature(handle), handle.__name__, handle.__doc__)
print(Cart().method(), Cart(6).method(3), Cart.of_class(2), Cart.static(3), Cart().total, Cart().inherited())
print(asyncio.run(module.coroutine(4)), inspect.iscoroutinefunction(module.coroutine))
running = module.generator(2)
print(next(running), running.send(9), list(running), inspect.isgeneratorfunction(module.generator))
async def go_through(): return [number async for number in module.async_generator(3)]
print(asyncio.run(go_through()), inspect.isasyncgenfunction(module.async_generator))
print(module.inside(1), module.cached(1))
try: module.fails()
except ValueError as error: print(error)
def own(count): return count * 2
class Own:
    def method(self): return own(1)
print(own(3), Own().method())
print(os.environ.get("PYTHONPATH"), sys.path, "module" in sys.modules, [type(finder).__name__ for finder in sys.meta_path][-3:])
print(module.__loader__.__dict__.keys(), module.__spec__.loader is module.__loader__)
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "import os, sys; print(os.environ.get('PYTHONPATH'), sys.path)"])
print("chained" in os.environ)
'''


class MarkPy(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.hook = os.path.join(self.folder.name, "python")
        self.program = os.path.join(self.folder.name, "program")
        os.mkdir(self.hook)
        os.mkdir(self.program)
        shutil.copy(os.path.join(FOLDER, "mark_py.py"), os.path.join(self.hook, "sitecustomize.py"))
        shutil.copy(os.path.join(FOLDER, "memtrace.py"), self.hook)
        self.write("module.py", MODULE)
        self.write("program.py", PROGRAM)

    def write(self, name, text):
        with open(os.path.join(self.program, name), "w") as file:
            file.write(textwrap.dedent(text))

    def python(self, path, **variables):
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MEMTRACE_CONTROL")}
        environment.update(variables, PYTHONDONTWRITEBYTECODE="1")
        if path:
            environment["PYTHONPATH"] = path
        done = subprocess.run(
            [sys.executable, os.path.join(self.program, "program.py")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.decode()

    def marks(self, function, every=1, path=""):
        """How often the function's end is marked, and the hook's news. The program's output must be the same."""
        with open(self.hook + "/settings", "w") as file:
            file.write("%s\n%s\n%d\n" % (*function.split(":"), every))
        if os.path.exists(self.hook + "/news"):
            os.remove(self.hook + "/news")
        with Reader() as reader:
            hooked = self.hook + os.pathsep + path if path else self.hook
            self.assertEqual(self.python(hooked, MEMTRACE_CONTROL=reader.variable), self.python(path))
            self.assertEqual(set(reader.lines), {"snapshot " + function} if reader.lines else set())
            with open(self.hook + "/news") as file:
                return len(reader.lines), file.read().splitlines()

    def test_functions_of_all_kinds(self):
        for function, calls in [
            ("module:handle", 3),
            ("module:Cart.method", 2),
            ("module:Cart.__init__", 4),
            ("module:Cart.of_class", 1),
            ("module:Cart.static", 1),
            ("module:Cart.total", 1),
            ("module:Cart.inherited", 1),
            ("module:coroutine", 1),
            ("module:generator", 1),
            ("module:async_generator", 1),
            ("module:inside", 1),
            ("module:fails", 1),
            ("__main__:own", 2),
            ("__main__:Own.method", 1),
        ]:
            with self.subTest(function):
                self.assertEqual(self.marks(function), (calls, ["started", "found", "called"]))

    def test_every_nth_call(self):
        self.assertEqual(self.marks("module:handle", every=2)[0], 1)

    def test_what_can_not_be_marked(self):
        for function, why in [
            ("module:handel", "module has no handel; near names: handle"),
            ("module:Cart.metod", "module.Cart has no metod; near names: Cart.method"),
            ("modul:handle", "modul was never imported; near names: module"),
            ("module:cached", "it is of the type functools._lru_cache_wrapper; only functions that are written in "),
            ("time:sleep", "it is of the type builtins.builtin_function_or_method; only functions that are written "),
            ("__main__:owm", "__main__ has no owm; near names: own"),
        ]:
            with self.subTest(function):
                marks, news = self.marks(function)
                self.assertEqual((marks, news[0]), (0, "started"))
                self.assertEqual(news[1][: len(why) + 4], "why " + why)
        self.assertEqual(self.marks("module:never"), (0, ["started", "found"]))

    def test_the_programs_own_sitecustomize_runs(self):
        self.write("sitecustomize.py", "import os; os.environ['chained'] = '1'")
        self.assertEqual(self.marks("module:handle", path=self.program)[0], 3)
        self.assertTrue(self.python(self.program)[1].endswith("True\n"))

    def test_a_module_that_was_loaded_before(self):
        self.write("sitecustomize.py", "import module")
        self.assertEqual(self.marks("module:handle", path=self.program)[0], 3)

    def test_another_process_is_named(self):
        with open(self.hook + "/settings", "w") as file:
            file.write("module\nhandle\n1\n")
        with Reader() as reader:
            with open(reader.folder.name + "/ctl.pid", "w") as file:
                file.write("1")
            self.python(self.hook, MEMTRACE_CONTROL=reader.variable)
            self.assertEqual(reader.lines, [])
        with open(self.hook + "/news") as file:
            self.assertRegex(file.read(), r"^elsewhere \d+\n$")


if __name__ == "__main__":
    unittest.main()
