"""Name a value twice in one object, for two readers that each believe another one.

Held by a parser that refuses it.
"""

import json

from kit import forge, honest_lines

first, *rest = [json.dumps(line) for line in honest_lines()]
forge("\n".join([first.replace('"index": 0', '"index": 1, "index": 0'), *rest, ""]).encode())
