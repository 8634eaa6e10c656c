"""Allocates at line 2000 of code objects whose line tables are longer than what is copied of one: a million bytes in one that is
kept, two million in one that is gone at once.
"""

import time

blocks = []
source = "n = 1\n" * 1999 + "blocks.append(bytes(size))\n"
kept = compile(source, "kept", "exec")
exec(kept, {"blocks": blocks, "size": 1_000_000})
exec(compile(source, "gone", "exec"), {"blocks": blocks, "size": 2_000_000})
# Lines of the first one are read from here.
time.sleep(1)
