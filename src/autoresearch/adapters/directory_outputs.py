"""Takes the outputs of an ended run from a directory that nothing writes to any more."""

import os
import stat
from pathlib import Path

from autoresearch import jobs
from autoresearch.contents import chunks_of_file


def read_directory(out: Path, outputs: jobs.Outputs) -> jobs.Outputs:
    """Regular files below `out`, through the same filter as the container's."""
    taken: set[int] = set()
    for directory, subdirectories, names in os.walk(out):
        subdirectories.sort()
        for name in sorted(names):
            file = Path(directory) / name
            path = file.relative_to(out).as_posix()
            status = file.lstat()
            why = jobs.why_refused(path)
            if not stat.S_ISREG(status.st_mode):
                why = "only regular files are taken"
            elif status.st_ino in taken:
                why = "a second name of another file; only regular files are taken"
            if why is not None:
                outputs.refuse(path, why)
            elif outputs.fits(status.st_size):
                outputs.take(path, chunks_of_file(file))
                taken.add(status.st_ino)
            else:
                outputs.refuse(path, "the outputs are larger than the limit; nothing after it was read")
                return outputs
    return outputs
