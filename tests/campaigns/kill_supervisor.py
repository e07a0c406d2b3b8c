"""Kills the supervisor of a whole run at random moments, many times; each run is then taken to its end.

    python tests/campaigns/kill_supervisor.py [--kills 100] [--seed 20260801] [--json FILE]

Every project has to end with one result for each run record, no run may have been started
twice (the engine's own events are counted), and nothing may be left: containers, volumes,
processes, half-written files. Prints what the kills met; exits 1 at the first that broke something.
"""

import argparse
import importlib.util
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def load(name, place):
    spec = importlib.util.spec_from_file_location(name, TESTS / place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


e2e = load("campaign_e2e", "e2e/conftest.py")
kill = load("campaign_kill", "e2e/test_kill.py")


class Starts:
    """How often the engine started a container for each run id, as its events tell."""

    def __init__(self):
        self.seen = Counter()
        command = ["docker", "events", "--filter", "event=start", "--filter", "label=autoresearch.part=run"]
        self.process = subprocess.Popen(
            [*command, "--format", '{{index .Actor.Attributes "autoresearch.run"}}'],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self.read, daemon=True).start()
        time.sleep(1)  # until the engine listens

    def read(self):
        for line in self.process.stdout:
            self.seen[line.strip()] += 1

    def of(self, project_id):
        return {run: count for run, count in self.seen.items() if run.startswith(f"p{project_id[:8]}-")}

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def whole_run(desk, project):
    """Seconds that one run takes undisturbed, so that the kills are spread over all of it."""
    began = time.monotonic()
    session = desk.start(e2e.QUICK, project)
    assert kill.drive(session), session.screen
    assert session.end() == 0, session.screen
    return time.monotonic() - began


def kill_once(desk, project, delay):
    """Start, kill after `delay`, and go on to the end. Returns the records that stood when it was killed."""
    session = desk.start(e2e.QUICK, project)
    ended = kill.drive(session, until=time.monotonic() + delay)
    session.kill()
    if (project / ".git" / "refs" / "heads" / "main").exists():
        stood = desk.kinds(project)
        again = desk.terminal("run", cwd=project)
    else:
        stood = []
        assert not project.exists(), "half a project stands there"
        again = desk.start(e2e.QUICK, project)
    assert kill.drive(again), again.screen
    assert again.end() == 0, again.screen
    return ["ended", *stood] if ended else stood


def require_whole(desk, project, starts):
    """Everything that has to hold of a project afterwards. Returns its results' statuses."""
    desk.require_sound(project)
    assert desk.git("fsck", "--strict", "--no-dangling", cwd=project) == ""
    rows = desk.log(project)
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["run"] == kinds["result"] == kinds["approval"], kinds
    assert (rows[0]["kind"], rows[-1]["kind"], kinds["report"]) == ("proposal", "report", 1)
    project_id = desk.show(project, "proposal")["body"]["project"]
    statuses = [row["status"] for row in rows if row["kind"] == "result"]
    started = starts.of(project_id)
    twice = {run: count for run, count in started.items() if count > 1 and not run.endswith("-recheck")}
    assert not twice, f"started more than once: {twice}"
    # A Lost run may have been started once or not at all; any other was started exactly once.
    runs = [run for run in started if not run.endswith("-recheck")]
    assert len(runs) >= sum(status != "Lost" for status in statuses), (started, statuses)
    require_nothing_left(project, project_id)
    return statuses


def require_nothing_left(project, project_id):
    assert e2e.containers_of(project_id) == []
    own = project / ".git" / "autoresearch"
    assert not (own / "outputs").exists()
    assert all(path.name.startswith("consumed-") for path in (own / "journal").iterdir())
    assert not list((project / ".git").rglob("tmp_obj_*"))
    assert not list((project / ".git").rglob("*.lock"))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert str(project) not in (process / "cmdline").read_bytes().decode(errors="replace"), process
        except (FileNotFoundError, ProcessLookupError):
            continue


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20260801)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    scratch = Path(tempfile.mkdtemp(prefix="autoresearch-campaign-"))
    home = scratch / "home"
    home.mkdir()
    met, outcomes = Counter(), Counter()
    starts = Starts()
    desks = e2e._desk(home)
    desk = next(desks)
    try:
        span = whole_run(desk, scratch / "whole")
        print(f"one run undisturbed: {span:.1f} s; seed {asked.seed}", flush=True)
        number = 0
        while number < asked.kills:
            project, delay = scratch / f"kill-{number}", draw.uniform(0, span)
            stood = kill_once(desk, project, delay)
            statuses = require_whole(desk, project, starts)
            if stood[:1] == ["ended"]:
                shutil.rmtree(project)
                continue  # it was quicker than the kill
            number += 1
            phase = stood[-1] if stood else "no project"
            met[phase] += 1
            outcomes["lost" if "Lost" in statuses else "re-attached" if phase == "run" else "went on"] += 1
            print(f"{number:>4}  after {delay:5.2f} s, last record {phase:<12}  {statuses}", flush=True)
            shutil.rmtree(project)
    finally:
        starts.close()
        desks.close()
        shutil.rmtree(scratch, ignore_errors=True)
    print("kills by the last record that stood:", dict(met.most_common()))
    print("outcomes:", dict(outcomes), "runs started twice: 0", "left behind: 0")
    if asked.json:
        asked.json.write_text(json.dumps({"met": met, "outcomes": outcomes, "seed": asked.seed}, indent=2))


if __name__ == "__main__":
    main()
