"""Nest a value so deep that a recursive reader falls over.

Held by a parser that measures depth before it reads.
"""

import json

from kit import forge, honest_lines

first, *rest = [json.dumps(line) for line in honest_lines()]
deep = first.replace("1.0", "[" * 100_000 + "]" * 100_000, 1)
forge("\n".join([deep, *rest, ""]).encode())
