"""Exchange the arms of two trials.

Held by the host: index, arm and seed belong together as issued.
"""

from kit import forge, honest_lines

lines = honest_lines()
lines[0]["arm"], lines[1]["arm"] = lines[1]["arm"], lines[0]["arm"]
forge(lines)
