"""Creates and starts what one run consists of, or leaves nothing of it."""

import io
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker.errors
import requests

from autoresearch import jobs
from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters import engine
from autoresearch.adapters.docker_watch import Watch
from autoresearch.errors import SandboxFailed
from autoresearch.records import ResourceLimits

NO_ANSWER = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
AT_ONCE = 8
"""Requests to the engine at a time."""


class NameTaken(SandboxFailed):
    """Another process started this very run."""


@dataclass(frozen=True)
class Launch:
    """One run about to start."""

    client: Any
    run_id: str
    image: str
    image_env: Sequence[str]
    seccomp: str
    limits: ResourceLimits
    runtime: policy.Runtime
    command: tuple[str, ...]
    inputs: Sequence[Mapping[str, bytes]]
    """Each worker's files."""
    data: Mapping[str, str]
    """Name below `/data` → place in the store; the same for every worker."""

    def start(self) -> dict[int, Watch]:
        """Create everything, compare it with the policy, start it. Returns each worker's watch, by number.

        Whoever fails here has to remove what there is, unless it is NameTaken.
        """
        workers, holder = policy.workers(len(self.inputs)), policy.names(self.run_id).holder
        watches: dict[int, Watch] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                list(pool.map(self._create_volume, self._volumes(workers)))
                # First, and by one process only: whoever has it has the run. Asked in the pool like everything
                # else: an interrupt strikes this thread, and a request it broke off the engine would carry out
                # after whoever cleans up has looked.
                pool.submit(self._create, self._holder_config(len(workers)), holder).result()
                held = pool.submit(self.client.start, holder)
                for _ in pool.map(lambda worker: self._start(worker, watches), workers):
                    pass
                held.result()
                # They wait for their inputs, and get them now that nothing they leave can be lost.
                list(pool.map(lambda worker: self._let_begin(worker, watches[worker.number]), workers))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                for watch in watches.values():
                    watch.close()
                raise
        return watches

    def _volumes(self, workers: Sequence[policy.Worker]) -> list[policy.Json]:
        inputs = [
            policy.input_volume(self.run_id, self.inputs[worker.number], self.limits, worker)
            for worker in workers
        ]
        return inputs + [policy.output_volume(self.run_id, self.limits, worker) for worker in workers]

    def _holder_config(self, count: int) -> policy.Json:
        return policy.holder_config(self.run_id, self.image, self.seccomp, self.limits, count)

    def _start(self, worker: policy.Worker, watches: dict[int, Watch]) -> None:
        name = policy.names(self.run_id, worker).run
        config = policy.run_config(
            self.run_id, self.image, self.seccomp, self.limits,
            command=self.command, runtime=self.runtime, worker=worker, data=self.data,
        )  # fmt: skip
        self._create(config, name)
        watches[worker.number] = Watch(self.client, name, late=False)
        self.client.start(name)

    def _let_begin(self, worker: policy.Worker, watch: Watch) -> None:
        began = time.time()
        holder = policy.names(self.run_id).holder
        self.client.put_archive(holder, worker.mounted("/in"), archive(self.inputs[worker.number], began))
        watch.started(began, time.monotonic() + self.limits.seconds)

    def _create_volume(self, asked: policy.Json) -> None:
        self.client.create_volume(asked["Name"], asked["Driver"], asked["DriverOpts"], asked["Labels"])
        # The engine returns an existing volume of this name without a word.
        found = self.client.inspect_volume(asked["Name"])
        if found["Options"] != asked["DriverOpts"] or found["Labels"] != asked["Labels"]:
            raise SandboxFailed(f"volume {asked['Name']} exists already with other settings: remove it first")

    def _create(self, asked: policy.Json, name: str) -> None:
        try:
            self.client.create_container_from_config(asked, name)
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
            raise NameTaken(f"a container named {name} exists already: a run is not started twice") from error
        policy.require_policy(asked, self.client.inspect_container(name), list(self.image_env))


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Whatever the engine or the way to it does wrong is SandboxFailed."""
    try:
        yield
    except docker.errors.APIError as error:
        raise SandboxFailed(f"the engine could not {what}: {error.explanation or error}") from error
    except NO_ANSWER as error:
        raise SandboxFailed(
            f"the engine did not answer, so it could not {what}: {engine.reason(error)}\n"
            "once it does, go on with: autoresearch run"
        ) from error


def remove_all(client: Any, run_id: str) -> None:
    """Every container and volume of a run, whatever state they are in.

    Looks again until it finds nothing, for at most ten seconds: what the engine was still creating when
    it was asked shows up late, and holds its volumes.
    """
    mine = {"label": f"{policy.LABEL}={run_id}"}
    give_up = time.monotonic() + 10
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            containers = [found["Id"] for found in client.containers(all=True, filters=mine)]
            held = list(
                pool.map(lambda it: _held(lambda: client.remove_container(it, force=True)), containers)
            )
            volumes = [found["Name"] for found in client.volumes(filters=mine).get("Volumes") or []]
            held += pool.map(lambda it: _held(lambda: client.remove_volume(it)), volumes)
            if not held:
                return
            conflict = next(filter(None, held), None)
            if time.monotonic() > give_up:
                raise conflict or SandboxFailed(
                    f"what run {run_id} left behind comes back after it is removed"
                )
            if conflict:
                time.sleep(0.05)


def _held(remove: Callable[[], None]) -> docker.errors.APIError | None:
    """Remove it; or what holds it for now: somebody else's removal, or a container that uses a volume."""
    try:
        remove()
    except docker.errors.APIError as error:
        if error.status_code == 409:
            return error
        if error.status_code != 404:
            raise
    return None


def archive(files: Mapping[str, bytes], began: float) -> bytes:
    """The inputs as an archive, root's and readable by all; the word to begin comes last."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in jobs.directories(files):
            tar.addfile(_entry(path, tarfile.DIRTYPE, 0o555, 0))
        for path, data in sorted(files.items()):
            tar.addfile(_entry(path, tarfile.REGTYPE, 0o444, len(data)), io.BytesIO(data))
        ready = _entry(policy.READY, tarfile.REGTYPE, 0o444, 0)
        ready.mtime = began
        tar.addfile(ready)
    return buffer.getvalue()


def _entry(path: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.size = kind, mode, size
    return entry
