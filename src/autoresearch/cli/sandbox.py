"""`sandbox check`: the probe's table."""

from autoresearch.adapters.docker_probe import probe
from autoresearch.cli.wiring import docker_sandbox
from autoresearch.errors import SandboxFailed


def check_sandbox() -> None:
    sandbox = docker_sandbox()
    print(f"{sandbox.isolation().engine}, image {sandbox.isolation().image[:19]}")
    rows = probe(sandbox)
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(
            f"{'ok' if row.ok else 'NOT CONTAINED':<13}  {row.name:<{width}}  expected {row.expected}; found {row.found}"
        )
    if not all(row.ok for row in rows):
        raise SandboxFailed(
            "the sandbox does not contain everything it should; do not run experiments on this machine"
        )
