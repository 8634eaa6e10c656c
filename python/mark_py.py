"""What `memtrace exec --mark-py MODULE:FUNCTION` puts before a Python program, as its `sitecustomize`.

It takes itself out of the way, lets the program's own `sitecustomize` run, and waits for the function to be defined.
Then it changes the function itself, in place: whoever has got hold of it already (a decorator that registers it, `from
module import function`) calls the marking one. In the traced process it loads memtrace.py and the modules of the standard
library that this needs; elsewhere it only steps aside.

Beside this file: `settings` (MODULE, FUNCTION, every how many calls; one a line), `memtrace.py`, and `news`, which
is written here and read by memtrace at the end.
"""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def _step_aside():
    """The program and its children are to see what they would have seen."""
    sys.path[:] = [entry for entry in sys.path if entry != _FOLDER]
    sys.path_importer_cache.pop(_FOLDER, None)
    first, _, rest = os.environ.get("PYTHONPATH", "").partition(os.pathsep)
    if first == _FOLDER:
        if rest:
            os.environ["PYTHONPATH"] = rest
        else:
            del os.environ["PYTHONPATH"]


def _tell(news):
    """One line for memtrace. Appended in one piece, as threads may."""
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        file = os.open(_FOLDER + "/news", flags, 0o600)
        try:
            os.write(file, (news.replace("\n", " ") + "\n").encode("utf-8", "replace"))
        finally:
            os.close(file)
    except OSError:
        pass  # memtrace has gone, and its folder with it


def _near(wanted, names):
    """The names that look like the one that was asked for, for an error message."""
    import difflib

    names = sorted({name for name in names if isinstance(name, str)})
    return difflib.get_close_matches(wanted, names, 3, 0.6)


class _Hook:
    """Waits for one function, and changes it."""

    def __init__(self, module, function, every, marks):
        self.module = module
        self.function = function
        self.every = every
        self.marks = marks
        self.pid = os.getpid()
        self.is_done = False
        self.why = ""
        self.calls = 0

    # As a finder of modules: sys.meta_path asks it first.

    def find_spec(self, name, path=None, target=None):
        if name != self.module:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                self._watch(spec.loader)
                return spec
        return None

    def _watch(self, loader):
        """Has this one loader call us back when it has run the module. It is left as it was after that."""
        original = getattr(loader, "exec_module", None)
        if original is None or isinstance(loader, type):
            self.why = "the loader of %s can't be watched" % self.module
            return

        def exec_module(module):
            # One loader may be for several modules.
            if module.__name__ != self.module:
                return original(module)
            try:
                del loader.exec_module
            except AttributeError:
                pass
            original(module)
            self.look_into(module.__dict__)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            self.why = "the loader of %s can't be watched" % self.module

    # As a trace function: `__main__` is imported by nobody. Only until the function is there.

    def trace(self, frame, event, argument):
        try:
            main = sys.modules.get("__main__")
            if main is not None and frame.f_globals is main.__dict__:
                if frame.f_code.co_name == "<module>":
                    return self.trace_main
        except Exception:
            self.untrace()
        return None

    def trace_main(self, frame, event, argument):
        try:
            if not self.is_done and (event == "return" or self.is_in(frame.f_globals)):
                self.look_into(frame.f_globals)
            if self.is_done or event == "return":
                self.untrace()
                frame.f_trace = None
                return None
        except Exception:
            self.untrace()
            return None
        return self.trace_main

    def untrace(self):
        if sys.gettrace() == self.trace:
            sys.settrace(None)

    # The function.

    def is_in(self, names):
        """Whether a module has the function by now."""
        return _found_in(names, self.function.split("."))[0] is not None

    def look_into(self, names):
        """Changes the function if a module has it. Never raises: what is wrong is told at the end."""
        try:
            if not self.is_done:
                self.why = self._change(names)
                self.is_done = not self.why
                if self.is_done:
                    _tell("found")
        except Exception as error:
            self.why = "%s: %s" % (type(error).__name__, error)

    def _change(self, names):
        """Why it can't be done; nothing if it was."""
        path = self.function.split(".")
        function, depth, inside = _found_in(names, path)
        if function is None:
            near = [".".join(path[:depth] + [name]) for name in _near(path[depth], inside)]
            place = ".".join([self.module] + path[:depth])
            return "%s has no %s%s" % (place, path[depth], _names(near))
        if isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        elif isinstance(function, property):
            function = function.fget
        if type(function) is not type(_near):
            kind = type(function)
            return "it is of the type %s.%s; only functions that are written in Python can be marked" % (
                kind.__module__,
                kind.__qualname__,
            )
        _make_marking(function, self.mark)
        return ""

    def mark(self):
        """At the end of each call."""
        if os.getpid() != self.pid:
            return
        self.calls += 1  # a race of two threads may lose one of `every`; no lock is held up for that
        if self.calls == 1:
            _tell("called")
        if self.calls % self.every == 0:
            self.marks.mark(self.module + ":" + self.function)

    def at_exit(self):
        if self.is_done or os.getpid() != self.pid:
            return
        if not self.why and self.module in sys.modules:
            self.look_into(sys.modules[self.module].__dict__)
            if self.is_done:
                return
        if not self.why:
            near = _near(self.module, list(sys.modules))
            self.why = "%s was never imported%s" % (self.module, _names(near))
        _tell("why " + self.why)


def _found_in(names, path):
    """What a path of names leads to, as its owner has it; or None, how many of them are there, and what is instead."""
    found = None
    for depth, part in enumerate(path):
        owners = getattr(found, "__mro__", (found,)) if depth else ()
        insides = [getattr(owner, "__dict__", {}) for owner in owners] if depth else [names]
        inside = next((inside for inside in insides if part in inside), None)
        if inside is None:
            return None, depth, [name for inside in insides for name in inside]
        found = inside[part]
    return found, len(path), []


def _names(near):
    return "; near names: " + ", ".join(near) if near else ""


# One for each kind of function. The two numbers stand for the function as it was and for what marks; they are
# replaced in the compiled code, so that no name of the program's can be in the way.
_ORIGINAL, _MARK = 7349872398472, 7349872398473

_BODIES = {
    "coroutine": ("async def", "return await original(*args, **kwargs)"),
    "generator": ("def", "return (yield from original(*args, **kwargs))"),
    "function": ("def", "return original(*args, **kwargs)"),
    "async generator": (
        "async def",
        """inner = original(*args, **kwargs)
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
                    step = inner.asend(sent)""",
    ),
}

_TEMPLATE = """def outer({variables}):
    {define} marking(*args, **kwargs):
        original, mark = {original}, {mark}
        try:
            {body}
        finally:
            mark()
        {variables}
    return marking
"""


def _make_marking(function, mark):
    """Changes a function so that each of its calls ends with a mark. What refers to it goes on doing so."""
    code = function.__code__
    kind = (
        "coroutine" if code.co_flags & 0x80
        else "async generator" if code.co_flags & 0x200
        else "generator" if code.co_flags & 0x20
        else "function"
    )
    original = type(function)(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    original.__qualname__ = function.__qualname__
    original.__annotations__ = function.__annotations__
    original.__dict__.update(function.__dict__)
    # A function's code can only be replaced by one with as many variables from outside.
    variables = ", ".join("v%d" % number for number in range(len(code.co_freevars)))
    define, body = _BODIES[kind]
    source = _TEMPLATE.format(
        variables=variables, define=define, body=body, original=_ORIGINAL, mark=_MARK
    )
    names = {}
    exec(compile(source, "<memtrace --mark-py>", "exec"), names)
    template = names["outer"](*code.co_freevars).__code__
    values = {_ORIGINAL: original, _MARK: mark}
    changes = {
        "co_consts": tuple(_replaced(constant, values) for constant in template.co_consts),
        "co_name": code.co_name,
    }
    if hasattr(code, "co_qualname"):
        changes["co_qualname"] = code.co_qualname
    function.__code__ = template.replace(**changes)
    function.__wrapped__ = original  # inspect.signature and the like look there


def _replaced(constant, values):
    if isinstance(constant, tuple):
        return tuple(_replaced(part, values) for part in constant)
    return values.get(constant, constant) if type(constant) is int else constant


def _begin():
    with open(_FOLDER + "/settings", encoding="utf-8") as file:
        module, function, every = file.read().splitlines()
    import importlib.util

    spec = importlib.util.spec_from_file_location("_memtrace_marks", _FOLDER + "/memtrace.py")
    marks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(marks)
    channel = marks._channel
    if channel is None or channel._owner != os.getpid():
        _tell("elsewhere %d" % os.getpid())
        return
    _tell("started")
    import atexit

    hook = _Hook(module, function, int(every), marks)
    atexit.register(hook.at_exit)
    if module == "__main__":
        if sys.gettrace() is None:
            sys.settrace(hook.trace)
        else:
            hook.why = "another trace function is at work (sys.settrace)"
        return
    sys.meta_path.insert(0, hook)
    if module in sys.modules:
        hook.look_into(sys.modules[module].__dict__)


def _chain():
    """The program's own, if it has one, takes our place. Else an import by that name goes on finding us."""
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


_step_aside()
if __name__ == "sitecustomize":
    try:
        _begin()
    except Exception as error:
        _tell("why %s: %s" % (type(error).__name__, error))
    _chain()
