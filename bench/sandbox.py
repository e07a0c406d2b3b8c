"""What the sandbox costs over the bare engine, and over no container at all."""

import json
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

from autoresearch import assets
from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters import engine, image
from autoresearch.adapters.docker_sandbox import DockerSandbox
from autoresearch.adapters.docker_watch import moment
from autoresearch.records import ResourceLimits
from autoresearch.testing import approved_job, await_end
from bench.rows import ratio, row

CYCLES = 15
REPETITIONS = 5
TRIALS = 40
LIMITS = ResourceLimits(seconds=120, memory_mb=128, cpus=1, processes=32, output_mb=4)
NOTHING = "def run_trial(arm, seed, config, data):\n    return {'x': 1}\n"
# The interpreter with the harness's imports, and nothing else: what the bare container runs.
BARE = "import json, math, os, random, re, sys, tempfile, time, traceback"
WORK = """
def run_trial(arm, seed, config, data):
    x = seed
    for _ in range(900_000):
        x = (x * 1103515245 + 12345) % 2147483648
    return {"x": x}
"""
IN_ONE_PROCESS = WORK + f"\nfor seed in range({TRIALS}):\n    run_trial('a', seed, {{}}, {{}})\n"


def measure():
    """Rows of {what, value, unit, note}."""
    found = image.find_or_build(print)
    seccomp = (assets.sandbox() / "seccomp.json").read_bytes()
    sandbox = DockerSandbox(
        found, harness=(assets.sandbox() / "harness.py").read_bytes(), seccomp=seccomp, shipped=frozenset()
    )
    with closing(engine.connect()) as connected, closing(sandbox):
        bench = Bench(sandbox, connected.api, found, json.dumps(json.loads(seccomp)))
        return [*bench.cycles(), *bench.trials()]


class Bench:
    def __init__(self, sandbox, client, image_id, seccomp):
        self.sandbox, self.client, self.image_id, self.seccomp = sandbox, client, image_id, seccomp
        self.count = 0

    def cycles(self):
        """Create to removed, files carried in and out, beside the engine's own create, start, wait, remove."""
        self.whole(NOTHING, 1)  # both once for nothing: caches, imports
        self.bare(BARE)
        ours, bare = [], []
        for _ in range(CYCLES):
            ours.append(self.whole(NOTHING, 1)[0])
            bare.append(self.bare(BARE)[0])
        return [
            row("no-op, create to removed, bare engine", bare, "s"),
            row("no-op, create to removed, sandbox", ours, "s"),
            ratio("ratio of the medians (aim 1.6)", ours, bare),
        ]

    def trials(self):
        """The same trials in the sandbox, a process each, and in one process, in the same image."""
        ours, within, plain = [], [], []
        for _ in range(REPETITIONS):
            took, wall = self.whole(WORK, TRIALS // 2)
            ours.append(took / TRIALS)
            within.append(wall / TRIALS)
            plain.append(self.bare(IN_ONE_PROCESS)[1] / TRIALS)
        return [
            row(f"a trial of {TRIALS}, one plain process", plain, "s"),
            row(f"a trial of {TRIALS}, sandbox, first to last", within, "s"),
            row(f"a trial of {TRIALS}, sandbox, create to removed", ours, "s"),
            ratio("ratio, first to last (aim 1.1)", within, plain),
            ratio("ratio, create to removed", ours, plain),
        ]

    def whole(self, code, trials_per_arm):
        """Seconds from before `submit` until everything is removed, and the run's own."""
        self.count += 1
        files = {"experiment/experiment.py": code.encode()}
        job, warrant = approved_job(
            files, self.sandbox.isolation(), run_id=f"bench-{os.getpid()}-{self.count}",
            trials_per_arm=trials_per_arm, limits=LIMITS,
        )  # fmt: skip
        began = time.monotonic()
        try:
            self.sandbox.submit(job, warrant)
            await_end(self.sandbox, job.run_id, 120)
            with tempfile.TemporaryDirectory() as into:
                [got] = self.sandbox.collect(job.run_id, job.limits, Path(into))
        finally:
            self.sandbox.remove(job.run_id)
        took = time.monotonic() - began
        assert got.facts.exit_code == 0, got
        return took, got.facts.wall_seconds

    def bare(self, code):
        """The engine alone: the same flags, no volumes, nothing in or out. Seconds, and the container's own."""
        self.count += 1
        name = f"bench-{os.getpid()}-{self.count}"
        config = policy.run_config(name, self.image_id, self.seccomp, LIMITS)
        config["Cmd"] = ["python3", "-s", "-P", "-B", "-c", code]
        config["HostConfig"].pop("Mounts")
        config["Labels"] = {}
        began = time.monotonic()
        self.client.create_container_from_config(config, name)
        try:
            self.client.start(name)
            assert self.client.wait(name)["StatusCode"] == 0
            waited = time.monotonic()
            state = self.client.inspect_container(name)["State"]
            asked = time.monotonic() - waited
        finally:
            self.client.remove_container(name, force=True)
        took = time.monotonic() - began - asked
        return took, (moment(state["FinishedAt"]) - moment(state["StartedAt"])).total_seconds()
