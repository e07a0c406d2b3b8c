"""Report a trial in a line of megabytes, and a number of a hundred thousand digits.

Held by a parser that measures a line before it reads, and by Python's limit on digits.
"""

import json

from kit import forge, honest_lines

first, *rest = [json.dumps(line) for line in honest_lines()]
long = first.replace("1.0", "1" * 100_000, 1)
forge("\n".join([long, *rest, ""]).encode())
