"""Real sandboxes for the tests of this directory."""

import os

import pytest

from autoresearch import assets
from autoresearch.testing import approved_job, await_end, collected


@pytest.fixture(scope="session")
def harness():
    return (assets.sandbox() / "harness.py").read_bytes()


@pytest.fixture(scope="session")
def seccomp():
    return (assets.sandbox() / "seccomp.json").read_bytes()


@pytest.fixture(scope="session")
def image_id():
    from autoresearch.adapters import image

    return image.find_or_build(print)


@pytest.fixture
def docker_sandbox(image_id, harness, seccomp):
    """Makes sandboxes; each is closed at the end of the test."""
    from autoresearch.adapters.docker_sandbox import DockerSandbox

    made = []

    def make(shipped=frozenset(), **changes):
        given = {"harness": harness, "seccomp": seccomp, "shipped": shipped, **changes}
        made.append(DockerSandbox(given.pop("image_id", image_id), **given))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def submit(request):
    """Submits code as an approved job in any sandbox; removes it at the end of the test."""
    submitted = []

    def start(sandbox, code, **approved):
        test = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
        name = f"t{os.getpid()}-{len(submitted)}-{test[:40]}"
        files = {"experiment/experiment.py": code.encode()}
        job, warrant = approved_job(files, sandbox.isolation(), run_id=name, **approved)
        sandbox.remove(name)
        submitted.append((sandbox, name))
        sandbox.submit(job, warrant)
        return job

    yield start
    for sandbox, name in submitted:
        sandbox.remove(name)


@pytest.fixture
def run(submit):
    """Submits code, waits for its end and collects it."""

    def run_to_end(sandbox, code, **approved):
        job = submit(sandbox, code, **approved)
        await_end(sandbox, job.run_id)
        return collected(sandbox, job.run_id, job.limits)

    return run_to_end
