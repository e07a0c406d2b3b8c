"""SIGKILL of everything at random moments: the next `run` goes on, and nothing stands twice."""

import random
import time

import pexpect
import pytest

pytestmark = pytest.mark.docker

# What is on the screen when the clock starts, and how long the moment's stretch is in seconds:
# from the first import to the report's last page.
STRETCHES = [
    ("", 1.0), ("project made", 0.5), ("ideate", 0.2), ("May this experiment run?", 0.1), ("approve by", 0.1),
    ("issued", 0.7), ("elapsed", 1.0), ("Completed", 0.4), ("Completed", 2.0), ("accept by", 2.0),
]  # fmt: skip
SEED = 20260801
_DRAW = random.Random(SEED)
MOMENTS = [(mark, _DRAW.uniform(0, span)) for mark, span in STRETCHES]
QUESTIONS = [b"Decision: ", rb'To [a-z -]+, type ([0-9a-f]{8}) \("back" if not\): ', pexpect.EOF]


def drive(session, *, until=None, mark=None):
    """Answer the gates until the end of the command (True), the time `until`, or `mark` on the screen."""
    child = session.child
    patterns = [*QUESTIONS, mark.encode()] if mark else QUESTIONS
    while True:
        left = 60 if until is None else until - time.monotonic()
        if left <= 0:
            return False
        try:
            found = child.expect(patterns, timeout=left)
        except pexpect.TIMEOUT:
            assert until is not None, child.before
            return False
        session.seen += child.before + (child.after if found != 2 else b"")
        if found == 2:
            return True
        if found == 3:
            return False
        # "a" is approve at the first gate and accept at the second.
        session.type("a" if found == 0 else child.match[1].decode())


@pytest.mark.parametrize("moment", MOMENTS, ids=[f"{mark or 'start'}+{delay:.2f}" for mark, delay in MOMENTS])
def test_a_killed_run_goes_on(desk, image, quick, tmp_path, left_behind, moment):
    mark, delay = moment
    project = tmp_path / "project"
    session = desk.start(quick, project)
    ended = drive(session, mark=mark) if mark else False
    assert not ended, session.screen
    drive(session, until=time.monotonic() + delay)
    session.kill()

    made = project.exists()
    again = desk.terminal("run", cwd=project) if made else desk.start(quick, project)
    assert drive(again), again.screen
    assert again.end() == 0, again.screen

    desk.require_sound(project)
    rows = desk.log(project)
    assert int(desk.git("rev-list", "--count", "HEAD", cwd=project)) == len(rows)
    assert desk.git("fsck", "--strict", "--no-dangling", cwd=project) == ""
    kinds = [row["kind"] for row in rows]
    lost = [row for row in rows if row.get("status") == "Lost"]
    assert len(lost) <= 1
    assert kinds.count("run") == kinds.count("result") == kinds.count("approval") == 1 + len(lost)
    assert (kinds[0], kinds[-1]) == ("proposal", "report")
    assert left_behind(desk.show(project, "proposal")["body"]["project"]) == []
    # Nothing waits in the journal; that an approval was used is noted there for good.
    journal = [path.name for path in (project / ".git" / "autoresearch" / "journal").iterdir()]
    used = [row["digest"] for row in rows if row["kind"] == "approval"]
    assert sorted(journal) == sorted(f"consumed-{digest}" for digest in used)
