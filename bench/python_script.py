"""Scripts as people write them. Says `ready`, waits for a line, does its work, and writes how much CPU time that took, in ns.

usage: python_script.py compile|json
"""

import contextlib
import json
import os
import runpy
import shutil
import sys
import sysconfig
import tempfile
import time

MODULES = ("argparse", "ast", "difflib", "inspect", "tarfile", "tempfile")
ROUND_TRIPS = 12


def main(work):
    with tempfile.TemporaryDirectory() as folder:
        do = {"compile": compile_folder, "json": round_trips}[work](folder)
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.process_time_ns()
        do()
        print(time.process_time_ns() - begin, flush=True)


def compile_folder(folder):
    """`python3 -m compileall` of modules that every Python has, into a folder that is new each time."""
    import concurrent.futures  # what is measured is the work, not the imports

    for module in MODULES:
        shutil.copy(os.path.join(sysconfig.get_path("stdlib"), f"{module}.py"), folder)

    def do():
        sys.argv = ["compileall", "-q", "-f", folder]
        with contextlib.suppress(SystemExit):
            runpy.run_module("compileall", run_name="__main__")

    return do


def round_trips(_folder):
    """A document to text and back."""
    document = [
        {"id": number, "name": f"name {number}", "tags": ["a", "b", str(number)], "size": number * 1.5}
        for number in range(1000)
    ]

    def do():
        for _ in range(ROUND_TRIPS):
            if json.loads(json.dumps(document)) != document:
                sys.exit("the document has changed")

    return do


main(sys.argv[1])
