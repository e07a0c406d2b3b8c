"""Report true and "1" where numbers belong.

Held by a parser that takes numbers only.
"""

from kit import forge, honest_lines

forge([{**line, "values": {"many": [True, "1", None] * 7}} for line in honest_lines()])
