"""Report a trial that was never issued in place of one that was.

Held by the host: a trial that was not issued is refused.
"""

from kit import forge, honest_lines

lines = honest_lines()
forge([*lines[:-1], {**lines[-1], "index": len(lines)}])
