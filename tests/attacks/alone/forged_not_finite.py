"""Report numbers that are none: NaN, infinities, and one that overflows to an infinity.

Held by a parser that takes finite numbers only.
"""

import json

from kit import forge, honest_lines

first, *rest = [json.dumps(line) for line in honest_lines()]
forge("\n".join([first.replace("1.0", "NaN", 1).replace("1.0", "1e999", 1), *rest, ""]).encode())
