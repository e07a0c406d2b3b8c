"""Make all results up, in perfect form, without running a trial.

Not held: whoever writes the code writes its results. What stands against it is a reviewer who reads the
code, seeds that nobody could know before, and a recheck with fresh ones.
"""

from kit import forge, honest_lines

forge(honest_lines())
