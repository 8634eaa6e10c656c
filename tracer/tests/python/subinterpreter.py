"""Waits for the end of its input in another interpreter, on the same thread. Prints `up`, or `none` where there is no other."""

try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        print("up: none", flush=True)
        raise SystemExit from None

PROGRAM = """
import os
def inner():
    os.write(1, b"up\\n")
    os.read(0, 1)
inner()
"""


def outer():
    run = getattr(interpreters, "run_string", None) or interpreters.exec
    run(interpreters.create(), PROGRAM)


outer()
