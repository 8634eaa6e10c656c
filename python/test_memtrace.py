"""Tests of memtrace.py against a stand-in for memtrace: `python3 -m unittest test_memtrace` in this folder."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))


def load(variable):
    """The module as a program has it whose environment says so."""
    with open(os.path.join(FOLDER, "memtrace.py"), encoding="utf-8") as file:
        code = compile(file.read(), "memtrace.py", "exec")
    module = types.ModuleType("memtrace")
    before = os.environ.pop("MEMTRACE_CONTROL", None)
    if variable is not None:
        os.environ["MEMTRACE_CONTROL"] = variable
    try:
        exec(code, module.__dict__)
    finally:
        os.environ.pop("MEMTRACE_CONTROL", None)
        if before is not None:
            os.environ["MEMTRACE_CONTROL"] = before
    return module


class Reader:
    """Stands for memtrace: reads lines, keeps them, answers."""

    def __init__(self, answer=b"ack\n"):
        self.folder = tempfile.TemporaryDirectory()
        self.lines = []
        self.answer = answer
        for name in ("ctl", "ack"):
            os.mkfifo(os.path.join(self.folder.name, name), 0o600)
        self.variable = "fifo:%s/ctl,%s/ack" % (self.folder.name, self.folder.name)
        # Both ways, so that each opens at once and none sees the other end go.
        self.control = os.open(self.folder.name + "/ctl", os.O_RDWR)
        self.answers = os.open(self.folder.name + "/ack", os.O_RDWR)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        left = b""
        while True:
            left += os.read(self.control, 4096)
            *lines, left = left.split(b"\n")
            for line in lines:
                if line == b"end":
                    return
                self.lines.append(line.decode())
                if self.answer:
                    os.write(self.answers, self.answer)

    def end(self):
        os.write(self.control, b"end\n")
        self.thread.join()
        os.close(self.control)
        os.close(self.answers)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.thread.is_alive():
            self.end()
        self.folder.cleanup()


class Marks(unittest.TestCase):
    def test_a_block_marks_its_end(self):
        with Reader() as reader:
            memtrace = load(reader.variable)
            with memtrace.iteration("one"):
                self.assertEqual(reader.lines, [])
            self.assertEqual(reader.lines, ["snapshot one"])
            with memtrace.iteration():
                pass
            self.assertTrue(memtrace.mark(7))
            self.assertEqual(reader.lines[1:], ["snapshot", "snapshot 7"])
            self.assertEqual(memtrace.missed(), 0)

    def test_what_is_raised_passes_and_is_marked(self):
        with Reader() as reader:
            memtrace = load(reader.variable)

            @memtrace.iteration
            def fails():
                raise KeyError("mine")

            with self.assertRaisesRegex(KeyError, "mine"):
                fails()
            with self.assertRaises(ZeroDivisionError):
                with memtrace.iteration("block"):
                    1 / 0
            self.assertEqual([line.split(".")[-1] for line in reader.lines], ["fails", "snapshot block"])

    def test_a_label_is_one_printable_line_of_200_bytes(self):
        class Bad:
            def __str__(self):
                raise RuntimeError("no")

        with Reader() as reader:
            memtrace = load(reader.variable)
            for label in ("a\nsnapshot b\x1b[2J", "ä" * 150, "\ud800x", Bad(), ""):
                self.assertTrue(memtrace.mark(label))
            lines = reader.lines
            self.assertEqual(lines[0], "snapshot a snapshot b [2J")
            self.assertEqual(lines[1], "snapshot " + "ä" * 100)
            self.assertEqual(lines[2:], ["snapshot  x", "snapshot", "snapshot "])

    def test_functions_of_all_kinds(self):
        with Reader() as reader:
            memtrace = load(reader.variable)

            @memtrace.iteration("sync")
            def sync(a, *, b):
                """Doc."""
                return a + b

            @memtrace.iteration("async")
            async def coroutine(a):
                await asyncio.sleep(0)
                return a

            @memtrace.iteration("generator")
            def generator():
                got = yield 1
                try:
                    yield got
                except KeyError:
                    yield "caught"
                return "returned"

            @memtrace.iteration("async generator")
            async def async_generator():
                got = yield 1
                try:
                    yield got
                except KeyError:
                    yield "caught"

            self.assertEqual((sync(1, b=2), sync.__name__, sync.__doc__), (3, "sync", "Doc."))
            self.assertEqual(asyncio.run(coroutine(4)), 4)
            self.assertEqual(reader.lines, ["snapshot sync", "snapshot async"])
            running = generator()
            self.assertEqual((next(running), running.send(5), running.throw(KeyError())), (1, 5, "caught"))
            self.assertEqual(len(reader.lines), 2)
            with self.assertRaises(StopIteration) as stopped:
                next(running)
            self.assertEqual(stopped.exception.value, "returned")
            self.assertEqual(reader.lines[2:], ["snapshot generator"])
            running = generator()
            next(running)
            running.close()
            self.assertEqual(len(reader.lines), 4)

            async def go_through():
                running = async_generator()
                got = [await running.__anext__(), await running.asend(5), await running.athrow(KeyError())]
                self.assertEqual([value async for value in running], [])
                closed = async_generator()
                await closed.__anext__()
                await closed.aclose()
                return got

            self.assertEqual(asyncio.run(go_through()), [1, 5, "caught"])
            self.assertEqual(reader.lines[4:], ["snapshot async generator"] * 2)

    def test_threads_wait_for_each_other(self):
        with Reader() as reader:
            memtrace = load(reader.variable)

            def work(number):
                for turn in range(25):
                    memtrace.mark("%d.%d" % (number, turn))

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            wanted = sorted("snapshot %d.%d" % (n, turn) for n in range(4) for turn in range(25))
            self.assertEqual(sorted(reader.lines), wanted)
            self.assertEqual(memtrace.missed(), 0)


class Elsewhere(unittest.TestCase):
    def test_without_the_variable_nothing_is_there(self):
        for variable in (None, "", "fifo:", "fd:3", "/tmp"):
            memtrace = load(variable)

            def function():
                return 1

            self.assertIs(memtrace.iteration(function), function)
            with memtrace.iteration("x"):
                pass
            self.assertFalse(memtrace.mark())
            self.assertEqual(memtrace.missed(), 0)

    def test_nobody_listens(self):
        with tempfile.TemporaryDirectory() as folder:
            variable = "fifo:%s/ctl,%s/ack" % (folder, folder)
            memtrace = load(variable)
            self.assertFalse(memtrace.mark("no FIFO"))
            os.mkfifo(folder + "/ctl")
            os.mkfifo(folder + "/ack")
            self.assertFalse(memtrace.mark("no reader"))
            self.assertEqual(memtrace.missed(), 0)

    def test_memtrace_goes_between_two_marks(self):
        with Reader() as reader:
            memtrace = load(reader.variable)
            self.assertTrue(memtrace.mark("one"))
            reader.end()
            self.assertFalse(memtrace.mark("two"))
            self.assertEqual(memtrace.missed(), 0)

    def test_a_forked_child_does_not_mark(self):
        with Reader() as reader:
            memtrace = load(reader.variable)
            child = os.fork()
            if child == 0:
                os._exit(1 if memtrace.mark("child") else 0)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertTrue(memtrace.mark("parent"))
            self.assertEqual(reader.lines, ["snapshot parent"])

    def test_only_the_process_that_is_traced_marks(self):
        with Reader() as reader:
            with open(reader.folder.name + "/ctl.pid", "w") as file:
                file.write(str(os.getppid()))
            self.assertFalse(load(reader.variable).mark())
            with open(reader.folder.name + "/ctl.pid", "w") as file:
                file.write(str(os.getpid()))
            self.assertTrue(load(reader.variable).mark())

    def test_a_reader_that_never_answers_costs_one_wait(self):
        with Reader(answer=b"") as reader:
            memtrace = load(reader.variable)
            memtrace.TIMEOUT = 0.2
            start = time.monotonic()
            self.assertFalse(memtrace.mark("first"))
            self.assertGreaterEqual(time.monotonic() - start, 0.2)
            start = time.monotonic()
            for _ in range(100):
                self.assertFalse(memtrace.mark("others"))
            self.assertLess(time.monotonic() - start, 0.2)
            self.assertEqual(memtrace.missed(), 101)
            # It comes to itself: the late answer is the first mark's.
            os.write(reader.answers, b"ack\n")
            reader.answer = b"ack\n"
            self.assertTrue(memtrace.mark("again"))
            self.assertEqual(reader.lines, ["snapshot first", "snapshot again"])

    def test_what_is_refused_is_missed_but_for_the_end(self):
        with Reader(answer=b"error marks come too fast\n") as reader:
            memtrace = load(reader.variable)
            self.assertFalse(memtrace.mark())
            self.assertEqual(memtrace.missed(), 1)
            reader.answer = b"error the trace has ended\n"
            self.assertFalse(memtrace.mark())
            self.assertEqual(memtrace.missed(), 1)

    def test_a_mark_inside_of_a_mark_does_not_wait_for_ever(self):
        with Reader(answer=b"") as reader:
            memtrace = load(reader.variable)
            memtrace.TIMEOUT = 0.3
            inner = []
            before = signal.signal(signal.SIGALRM, lambda *_: inner.append(memtrace.mark("inner")))
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                self.assertFalse(memtrace.mark("outer"))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            self.assertEqual(inner, [False])
            self.assertEqual(memtrace.missed(), 2)

    def test_sigpipe_does_not_end_the_program(self):
        # In a process of its own: there SIGPIPE has its default effect.
        script = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import memtrace
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
read, write = os.pipe()
os.close(read)
try:
    memtrace._write(write, b"x")
except BrokenPipeError:
    pass
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPIPE})
print("alive", signal.sigpending())
"""
        done = subprocess.run([sys.executable, "-c", script, FOLDER], stdout=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stdout), (0, b"alive set()\n"))

    def test_nothing_is_left_open(self):
        with Reader() as reader:
            memtrace = load(reader.variable)
            memtrace.mark()
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                memtrace.mark()
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    unittest.main()
