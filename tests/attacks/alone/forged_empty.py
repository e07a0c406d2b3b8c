"""End at once, without an error and without a trial.

Held by the host: no trial, no completed run.
"""

import os

os._exit(0)
