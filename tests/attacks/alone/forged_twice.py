"""Report one trial twice, the better one last.

Held by the host: one line a trial.
"""

from kit import forge, honest_lines

lines = honest_lines()
forge([lines[0], {**lines[0], "values": {"many": [9.0] * 20}}, *lines[2:]])
