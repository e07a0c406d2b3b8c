"""Send the reader of a trial's arrays to another file.

Held by the host: a trial's arrays have one place.
"""

from kit import forge, honest_lines

forge([{**line, "values": {}, "arrays": "../../../etc/passwd"} for line in honest_lines()])
