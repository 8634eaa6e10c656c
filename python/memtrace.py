"""Mark iterations for memtrace from inside of a Python program.

One file without dependencies, for Python 3.8 and later; it may be copied into any program::

    import memtrace

    for batch in batches:
        with memtrace.iteration(f"batch {batch.number}"):
            work(batch)

    @memtrace.iteration            # each call is an iteration
    def handle(request): ...

    memtrace.mark("loaded")        # ends the iteration right here

An iteration runs from mark to mark, and a block or a call makes one mark: where it ends, however it ends. What is
allocated between two blocks belongs to the one that follows, and what the program does before its first block to the
first one (``memtrace --warmup 1`` leaves that out of growth).

``memtrace exec`` says by the variable MEMTRACE_CONTROL where it listens. Where that is not set, or nobody listens, nothing
is done. No function of this module raises an exception of its own or waits for ever (``TIMEOUT``); what a block or a
function raises passes through.
"""

from __future__ import annotations

import fcntl
import functools
import os
import select
import signal
import threading
import time

TYPE_CHECKING = False  # as type checkers know it; at run time nothing of `typing` is needed
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, List, Optional, Type, TypeVar, Union, overload

    _F = TypeVar("_F", bound=Callable[..., Any])
else:

    def overload(function):
        return function


__all__ = ["iteration", "mark", "missed"]

TIMEOUT = 2.0
"""Seconds that a mark waits for memtrace's answer, at most; and before that, for another thread's mark."""

LONGEST_LABEL = 200
"""Bytes of a label that memtrace takes; the rest is cut off."""

_VARIABLE = "MEMTRACE_CONTROL"

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # inspect.CO_…, without importing it

def mark(label: Optional[object] = None) -> bool:
    """End the iteration here, under this name.

    Returns when memtrace has cut it: what the calling thread allocates afterwards belongs to the next one. False where no
    mark was made: the program is not traced, or this is not the process that is, or the mark was missed.
    """
    channel = _channel
    return channel is not None and channel.mark(label)


def missed() -> int:
    """How many marks were asked for and not made, because memtrace did not answer in time or refused them.

    Marks that are made while nobody traces are not missed.
    """
    channel = _channel
    return 0 if channel is None else channel.missed


class _Block:
    """What ``with memtrace.iteration(LABEL)`` enters, and ``@memtrace.iteration(LABEL)`` decorates with."""

    __slots__ = ("_label",)

    def __init__(self, label: Optional[object]) -> None:
        self._label = label

    def __enter__(self) -> "_Block":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        mark(self._label)

    def __call__(self, function: _F) -> _F:
        return _marking(function, self._label)


@overload
def iteration(label: _F) -> _F: ...
@overload
def iteration(label: Optional[object] = None) -> _Block: ...
def iteration(label: Union[_F, object, None] = None) -> Union[_F, _Block]:
    """A block, or each call of a function, whose end is a mark.

    ``with iteration():``, ``with iteration("batch 7"):``, ``@iteration``, ``@iteration("request")``. A function that is
    decorated without a label gives its qualified name. A coroutine ends when it returns, a generator (also an asynchronous
    one) when it is exhausted or closed. Blocks may be nested; each makes its own mark.
    """
    if callable(label):
        return _marking(label, getattr(label, "__qualname__", None))
    return _Block(label)


def _marking(function: _F, label: Optional[object]) -> _F:
    """The function, with a mark at the end of each call; itself where there is nobody to mark for."""
    if _channel is None:
        return function
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    wrapper: Any

    if flags & _COROUTINE:

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            finally:
                mark(label)

    elif flags & _ASYNC_GENERATOR:

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            inner = function(*args, **kwargs)
            try:
                step = inner.__anext__()
                while True:
                    try:
                        value = await step
                    except StopAsyncIteration:
                        return
                    try:
                        sent = yield value
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as error:
                        step = inner.athrow(error)
                    else:
                        step = inner.asend(sent)
            finally:
                mark(label)

    elif flags & _GENERATOR:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return (yield from function(*args, **kwargs))
            finally:
                mark(label)

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                mark(label)

    return functools.wraps(function)(wrapper)


class _Channel:
    """memtrace's two FIFOs: lines into the first, an answer to each out of the second.

    They are opened for each mark and closed after it. So nothing is left open in forked children, nothing breaks in
    a program that closes descriptors which it doesn't know, and memtrace may come and go.
    """

    def __init__(self, control: str, ack: Optional[str]) -> None:
        self.missed = 0
        self._control = control
        self._ack = ack
        self._owner = _owner(control)
        self._lock = threading.Lock()
        self._open: List[int] = []
        self._unanswered = 0

    def mark(self, label: Optional[object]) -> bool:
        if os.getpid() != self._owner:
            return False
        # With a limit: the lock's holder may be this very thread, which a signal handler or a finaliser has interrupted.
        if not self._lock.acquire(timeout=TIMEOUT):
            self.missed += 1
            return False
        try:
            return self._exchange(_line(label), time.monotonic() + TIMEOUT)
        except OSError:
            return False  # nobody is there, or no longer
        finally:
            while self._open:
                os.close(self._open.pop())
            self._lock.release()

    def forked(self) -> None:
        """In a child: what another thread had open and locked is not the child's."""
        self._lock = threading.Lock()
        while self._open:
            os.close(self._open.pop())

    def _exchange(self, line: bytes, deadline: float) -> bool:
        # Never waits: without a reader it fails.
        control = self._opened(self._control, os.O_WRONLY)
        if self._ack is None:
            _write(control, line)
            return True
        answers = self._opened(self._ack, os.O_RDONLY)
        if not _lock_file(answers, deadline):
            self.missed += 1
            return False
        try:
            return self._say(control, answers, line, deadline)
        finally:
            fcntl.flock(answers, fcntl.LOCK_UN)  # by hand: a child may have inherited it

    def _say(self, control: int, answers: int, line: bytes, deadline: float) -> bool:
        # One that came too late is not the next one's. While none comes at all, the program isn't held up again.
        self._unanswered = max(0, self._unanswered - _read(answers).count(b"\n"))
        if self._unanswered:
            self.missed += 1
            return False
        try:
            _write(control, line)
        except BlockingIOError:  # the pipe is full: memtrace doesn't read
            self.missed += 1
            return False
        self._unanswered = 1
        answer = _answer(answers, deadline)
        if answer is None:
            self.missed += 1
            return False
        self._unanswered = 0
        if answer.startswith(b"error") and not answer.endswith(b"ended\n"):
            self.missed += 1
        return answer == b"ack\n"

    def _opened(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        self._open.append(descriptor)
        return descriptor


def _owner(control: str) -> int:
    """The process that may mark: memtrace writes down which one it traces; else the one that imports this first."""
    try:
        with open(control + ".pid", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return os.getpid()


def _line(label: Optional[object]) -> bytes:
    if label is None:
        return b"snapshot\n"
    try:
        text = "".join(c if c.isprintable() else " " for c in str(label))
    except Exception:  # of the label's own __str__
        return b"snapshot\n"
    cut = text.encode("utf-8", "replace")[:LONGEST_LABEL].decode("utf-8", "ignore")
    return f"snapshot {cut}\n".encode()


def _write(descriptor: int, line: bytes) -> None:
    """Writes without SIGPIPE, whatever the program does about that. A line is short enough to be written as a whole."""
    pipe = {signal.SIGPIPE}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, pipe)
    try:
        was_pending = bool(signal.sigpending() & pipe)
        try:
            os.write(descriptor, line)
        except BrokenPipeError:
            if not was_pending:
                signal.sigtimedwait(pipe, 0)
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except BlockingIOError:
        return b""


def _answer(descriptor: int, deadline: float) -> Optional[bytes]:
    """One line; None where none comes in time."""
    line = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        read = _read(descriptor)
        if not read:
            raise BrokenPipeError  # memtrace has gone
        line += read
    return line


def _lock_file(descriptor: int, deadline: float) -> bool:
    """Answers are told apart by nothing: one asks at a time, also of several copies of this module."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)


def _found() -> Optional[_Channel]:
    kind, _, paths = os.environ.get(_VARIABLE, "").partition(":")
    control, _, ack = paths.partition(",")
    if kind != "fifo" or not control:
        return None
    channel = _Channel(control, ack or None)
    os.register_at_fork(after_in_child=channel.forked)
    return channel


_channel = _found()
