"""Leave arrays that are hostile themselves: too deep, of unequal rows, NaN, a name that stands twice.

Held by the same parser, in a process with limits of its own.
"""

import os

from kit import forge, honest_lines

os.makedirs("/out/arrays", exist_ok=True)
lines = [{**line, "values": {}, "arrays": f"arrays/{line['index']}.json"} for line in honest_lines()]
for line, content in zip(lines, ('{"many": ' + "[" * 5000 + "]" * 5000 + "}", '{"many": [[1, 2], [3]]}')):
    with open(f"/out/{line['arrays']}", "w") as file:
        file.write(content)
forge(lines)
