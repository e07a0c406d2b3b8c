"""Carries attacks out in a real sandbox, through the door, and compares the table with what came of them."""

import io
import json
import os
import tarfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import catalogue
import pytest

from autoresearch import assets
from autoresearch.adapters import docker_policy, engine, image
from autoresearch.adapters.docker_sandbox import DockerSandbox
from autoresearch.analysis.worker import compute
from autoresearch.errors import InvalidInput
from autoresearch.records import HostFacts, Plan, ResourceLimits, TrialSpec, body_as
from autoresearch.steps import experiment
from autoresearch.testing import approved_job, await_end, collected

LIMITS = ResourceLimits(seconds=30, memory_mb=192, cpus=1, processes=64, output_mb=4)
CANARY = "SECRET-CANARY-5e1f"
OBSERVED = pytest.StashKey[dict]()


def pytest_addoption(parser):
    parser.addoption(
        "--write-attacks-table", action="store_true", help="write docs/attacks.md from what is seen"
    )


def pytest_configure(config):
    config.stash[OBSERVED] = {column: {} for column in catalogue.COLUMNS}


def pytest_sessionfinish(session):
    if session.config.getoption("--write-attacks-table"):
        seen, before = session.config.stash[OBSERVED], catalogue.committed()
        catalogue.TABLE.write_text(catalogue.render({name: before[name] | seen[name] for name in before}))


@pytest.fixture
def note(request):
    """Called with a column and {attack: what went wrong}: keeps it for the page, if that is written."""

    def keep(column, escapes):
        verdicts = {name: catalogue.WORKS if wrong else catalogue.HELD for name, wrong in escapes.items()}
        request.config.stash[OBSERVED][column].update(verdicts)
        for name, wrong in escapes.items():
            if wrong:
                print(f"{column}: {name} works: {wrong}")  # shown by make attacks-table
        return verdicts

    return keep


@pytest.fixture
def table(request, note, tier):
    """Called with {attack: what went wrong}: as `note` for the tier, and compares it with the page."""

    def compare(escapes):
        verdicts = note(tier, escapes)
        if not request.config.getoption("--write-attacks-table"):
            page = catalogue.committed()[tier]
            # What bubblewrap shows of the machine is not on every machine: there less may work than the page says.
            better = catalogue.HELD if tier == "bubblewrap" else None
            differing = {
                name: escapes[name] for name, seen in verdicts.items() if seen not in (page.get(name), better)
            }
            assert differing == {}, "not as docs/attacks.md has it; see there, or: make attacks-table"

    return compare


@pytest.fixture(scope="session")
def image_id():
    return image.find_or_build(print)


@pytest.fixture
def tier(request):
    """The sandbox's tier; a test that knows others than docker says so by parametrizing it."""
    return getattr(request, "param", "docker")


@pytest.fixture
def sandbox(tier, request, monkeypatch, home):
    """The sandbox of the tier; around it lie secrets for the attacks to find."""
    for name in ("ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTP_PROXY"):
        monkeypatch.setenv(name, CANARY)
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(CANARY)
    (home / "notes.sqlite").write_bytes(b"SQLite format 3\0" + CANARY.encode())
    return request.getfixturevalue(f"{tier}_sandbox")()


@pytest.fixture
def docker_sandbox(image_id):
    folder = assets.sandbox()
    made = DockerSandbox(
        image_id,
        harness=(folder / "harness.py").read_bytes(),
        seccomp=(folder / "seccomp.json").read_bytes(),
        shipped=frozenset(),
    )
    with closing(made):
        yield lambda: made


@dataclass(frozen=True)
class Ran:
    """What the host has of one run."""

    facts: HostFacts
    files: dict[str, bytes]
    log: bytes
    log_truncated: bool
    refused: list[str]
    status: str
    """As the experiment step would record it."""
    why: str
    done: int
    trials: list[TrialSpec]
    limits: ResourceLimits
    seconds: float
    """From the submission to the end, by the host's clock."""
    survivors: list[int]
    """Processes of the run's user that are alive on the host after its end."""


@pytest.fixture
def carry_out(sandbox):
    """Sends attacks as an approved experiment, waits for the end, and says what the host then has."""
    started = []

    def submit(name, experiment_file, *others, **approved):
        run_id = f"attack-{os.getpid()}-{len(started)}-{name.replace('_', '-')}"
        started.append(run_id)
        job, warrant = approved_job(
            sources(experiment_file, *others),
            sandbox.isolation(),
            run_id=run_id,
            **{"limits": LIMITS, **approved},
        )
        sandbox.submit(job, warrant)
        return job, body_as(warrant.plan, Plan)

    def run(name, *files, **approved):
        began = time.monotonic()
        job, plan = submit(name, *files, **approved)
        await_end(sandbox, job.run_id, 220)
        seconds = time.monotonic() - began
        survivors = processes_of(docker_policy.names(job.run_id).uid)
        return judged(collected(sandbox, job.run_id, job.limits), job, plan, seconds, survivors)

    run.submit = submit
    yield run
    for run_id in started:
        sandbox.remove(run_id)


@pytest.fixture
def carry_out_plainly(image_id):
    """The same attacks, run by the same harness, in a container with nothing of the policy."""
    with closing(engine.connect()) as connected:
        client, made = connected.api, []

        def run(names, config):
            host = client.create_host_config(
                network_mode="none", mem_limit="1g", pids_limit=600, security_opt=["seccomp=unconfined"]
            )
            command = ["python3", "-s", "-P", "-B", "/in/harness.py", "/in", "/out"]
            made.append(
                client.create_container(image_id, command, host_config=host, environment={"KEY": CANARY})[
                    "Id"
                ]
            )
            client.put_archive(made[-1], "/", plain_inputs(names, config))
            client.start(made[-1])
            client.wait(made[-1], timeout=120)
            chunks, _ = client.get_archive(made[-1], "/out/artifacts")
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                reports = [member for member in archive if member.name.endswith(".json")]
                return {Path(m.name).stem: json.load(archive.extractfile(m)) for m in reports}

        yield run
        for container in made:
            client.remove_container(container, force=True)


def plain_inputs(names, config):
    files = sources("runner.py", *(f"inside/{name}.py" for name in names))
    files["harness.py"] = (assets.sandbox() / "harness.py").read_bytes()
    trials = [{"index": n, "arm": name, "seed": n} for n, name in enumerate(names)]
    files["job.json"] = json.dumps({"trials": trials, "config": config, "parallel": 1}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(f"in/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        folder = tarfile.TarInfo("out")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        archive.addfile(folder)
    return buffer.getvalue()


def sources(experiment_file, *others):
    """What goes in: one file as the experiment, the kit, and the attacks that it carries out."""
    paths = [Path("kit.py"), *map(Path, others)]
    files = {f"experiment/{path.name}": (catalogue.HERE / path).read_bytes() for path in paths}
    return {**files, "experiment/experiment.py": (catalogue.HERE / experiment_file).read_bytes()}


def judged(got, job, plan, seconds, survivors):
    done = experiment.completed_trials(got.files.get("trials.jsonl", b""))
    status, why = experiment._judge(got, done, job.trials)
    if status == "Completed":
        try:
            compute(plan, job.trials, got.files)
        except InvalidInput as error:
            status, why = "Crashed", str(error)
    return Ran(
        facts=got.facts, files=dict(got.files), log=got.log, log_truncated=got.log_truncated,
        refused=list(got.refused), status=status, why=why, done=done, trials=list(job.trials),
        limits=job.limits, seconds=seconds, survivors=survivors,
    )  # fmt: skip


def processes_of(uid):
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if owner(path) == uid]


def owner(path):
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None
