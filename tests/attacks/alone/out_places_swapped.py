"""Put a link, a pipe or a directory where the outputs are expected.

Held by the reader, which follows no link and takes no directory for a file.
"""

import os
import shutil


def run_trial(arm, seed, config, data):
    shutil.rmtree("/out/arrays")
    os.symlink("/etc", "/out/arrays")
    os.unlink("/out/trials.jsonl")
    os.symlink("/in/job.json", "/out/trials.jsonl")
    os.rename("/out/artifacts", "/out/.artifacts")
    os.symlink("/", "/out/artifacts")
    return {"many": [1.0] * 20}
