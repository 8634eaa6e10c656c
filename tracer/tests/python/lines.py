"""Code objects of the standard library, and which line Python says that each instruction is of.

Prints a JSON object a line: `table` (co_linetable, as hexadecimal digits), `first` (co_firstlineno), `lines` (for each code unit
its line or null).
"""

import importlib.util
import json
import sys
import types

MODULES = (
    "argparse ast asyncio.base_events asyncio.tasks collections contextlib copy csv dataclasses datetime decimal difflib dis "
    "email.message enum fractions functools heapq html.parser http.client inspect io json.decoder logging multiprocessing.pool "
    "opcode os pathlib pdb pickle platform pprint random re shutil socket sqlite3.dbapi2 ssl statistics string subprocess tarfile "
    "tempfile textwrap threading tokenize traceback turtle typing unittest.case unittest.mock urllib.parse urllib.request uuid "
    "warnings xml.dom.minidom xml.etree.ElementTree zipfile"
).split()

# What the compiler does with odd source: lines far apart and back again, long lines, negative steps.
ODD = [
    "x = 1" + "\n" * 5000 + "y = (x +\n" + "\n" * 300 + " x)\nz = 2",
    "def f(a,\n b=[i for i in\n range(3)]):\n  return (a +\n\n b[0] if a else\n lambda:\n 3)",
    "try:\n pass\nfinally:\n for x in y:\n  with a as b, \\\n   c as d:\n   break\n else: raise",
    "x = f(" + " " * 3000 + "1,\n" + " " * 500 + "2)",
    "async def f():\n async with a:\n  async for b in c:\n   await d\n   yield e",
    "match x:\n case {'a': 1}:\n  pass\n case [a, *b] if \\\n   a:\n  pass",
    "class A:\n 'doc'\n x: int = 3\n @a\n @b(\n  1)\n def f(self): return super()",
    "def f():\n del a; global x; x = 1\n if not a: pass\n while 1:\n  continue\nassert a, \\\n b",
]


def lines_of(code):
    units = len(code.co_code) // 2
    if sys.version_info >= (3, 11):
        lines = [position[0] for position in code.co_positions()]
    else:
        lines = [None] * units
        for start, end, line in code.co_lines():
            lines[start // 2:end // 2] = [line] * ((end - start) // 2)
    assert len(lines) == units, (code, len(lines), units)
    return lines


def show(code):
    row = {"table": code.co_linetable.hex(), "first": code.co_firstlineno, "lines": lines_of(code)}
    print(json.dumps(row))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            show(constant)


for source in ODD:
    show(compile(source, "<odd>", "exec"))
for name in MODULES:
    try:
        path = importlib.util.find_spec(name).origin if "." not in name else importlib.import_module(name).__file__
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (ImportError, AttributeError, OSError):
        # Left out of this build.
        continue
    show(compile(text, path, "exec"))
