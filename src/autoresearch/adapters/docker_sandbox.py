"""Runs a job in a hardened Docker container of its own."""

import io
import json
import tarfile
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker.errors
import requests

from autoresearch import assets, door, jobs
from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters import engine, gvisor
from autoresearch.adapters.docker_outputs import read_outputs
from autoresearch.adapters.docker_watch import Watch, moment
from autoresearch.errors import BackEndMissing, InvalidInput, SandboxFailed
from autoresearch.ports import Collected, Job, JobState, Warrant
from autoresearch.records import HostFacts, Isolation, ResourceLimits, sha256

TESTED_ARCHITECTURES = ("x86_64", "amd64", "aarch64", "arm64")
"""Those that the seccomp profile names."""
NO_ANSWER = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
KILLED = 137
"""Exit code of a process that SIGKILL ended, its own deadline's included."""


class NameTaken(SandboxFailed):
    """Another process started this very run."""


class DockerSandbox:
    """`Sandbox` on a Docker engine; see `docker_policy` for what each run gets."""

    def __init__(
        self,
        image_id: str,
        *,
        harness: bytes,
        seccomp: bytes,
        shipped: Container[str],
        runtime: policy.Runtime = policy.RUNC,
        client: Any = None,
    ) -> None:
        if not image_id.startswith("sha256:"):
            raise InvalidInput(f"the sandbox image must be given by its full id, not as {image_id!r}")
        self._image = image_id
        self._harness = harness
        self._seccomp = json.dumps(json.loads(seccomp), separators=(",", ":"))
        self._runtime = runtime
        self._policy_sha256 = policy.digest(seccomp, runtime)
        self._shipped = shipped
        self._client = client
        self._watches: dict[str, Watch] = {}

    def isolation(self) -> Isolation:
        try:
            version, info = self._engine().version(), self._engine().info()
        except NO_ANSWER as error:
            raise BackEndMissing(
                f"no Docker engine answers: {engine.reason(error)}\n{engine.mend()}"
            ) from error
        architecture = str(version.get("Arch", "unknown"))
        if architecture not in TESTED_ARCHITECTURES:
            raise BackEndMissing(
                f"the sandbox has no system call filter for {architecture}; "
                "use a machine with x86_64 or aarch64 processors"
            )
        self._image_env()
        said = f"Docker {version['Version'].partition('+')[0]}"
        if self._runtime is policy.RUNSC:
            said += f", gVisor ({gvisor.platform_of(info)})"
        return Isolation(
            tier=self._runtime.tier,
            image=self._image,
            policy_sha256=self._policy_sha256,
            harness_sha256=sha256(self._harness),
            engine=said,
        )

    def check_limits(self, limits: ResourceLimits) -> None:
        with engine_errors("read the machine's size"):
            info = self._engine().info()
        cpus, megabytes = info["NCPU"], info["MemTotal"] // 2**20
        if limits.cpus > cpus:
            raise InvalidInput(f"limits.cpus is {limits.cpus:g}, but this machine has {cpus}")
        if policy.memory_mb(limits, self._runtime) > megabytes:
            raise InvalidInput(
                f"limits.memory_mb {limits.memory_mb} and output_mb {limits.output_mb} need "
                f"{policy.memory_mb(limits, self._runtime)} MB with scratch space, but this machine has {megabytes}"
            )

    def submit(self, job: Job, warrant: Warrant) -> None:
        door.admit(job, warrant, self.isolation(), self._shipped)
        self._launch(job.run_id, jobs.inputs(job, self._harness), job.limits, policy.HARNESS_COMMAND)

    def launch_probe(self, run_id: str, what: str, limits: ResourceLimits) -> None:
        """Start the shipped `sandbox/probe.py` as an experiment would be started.

        Nobody approves it, so no byte of it can be chosen: it is read here.
        """
        script = (assets.sandbox() / "probe.py").read_bytes()
        self._launch(run_id, {"probe.py": script}, limits, ("python3", "-I", "-B", "/in/probe.py", what))

    def poll(self, run_id: str) -> JobState:
        with engine_errors("look after the run"):
            found = self._find(run_id)
            if found is None:
                return JobState("absent")
            state, seconds = found["State"], int(found["Config"]["Labels"][policy.SECONDS_LABEL])
            elapsed = _elapsed(state)
            if not state["Running"]:
                return JobState("ended", self._trials_done(run_id), elapsed)
            watch = self._watches.get(run_id) or self._join(run_id, seconds - elapsed)
        return JobState("running", watch.log.trials_done, elapsed, watch.memory_mb)

    def cancel(self, run_id: str) -> None:
        with engine_errors("end the run"):
            try:
                self._engine().kill(policy.names(run_id).run, "SIGKILL")
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # it is gone, or has ended
                    raise

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> list[Collected | None]:
        with engine_errors("collect the outputs"):
            found = self._find(run_id)
            if found is None or found["State"]["Running"]:
                raise SandboxFailed(f"run {run_id} has no outputs to collect: it has not ended, or is gone")
            watch = self._watches.get(run_id)
            if watch is not None:
                watch.finish()
            chunks, _ = self._engine().get_archive(policy.names(run_id).run, "/out")
            outputs = read_outputs(chunks, limits, into)
        log, cut = watch.log.text() if watch is not None else (b"", True)
        got = Collected(
            facts=_facts(found["State"], watch, limits, truncated=outputs.truncated),
            files=outputs.files,
            log=log,
            log_truncated=cut or watch is None or watch.late,
            refused=outputs.refused,
        )
        return [got]

    def remove(self, run_id: str) -> None:
        with engine_errors("remove the run"):
            watch = self._watches.pop(run_id, None)
            if watch is not None:
                watch.close()
            client, mine = self._engine(), {"label": f"{policy.LABEL}={run_id}"}
            for container in client.containers(all=True, filters=mine):
                _gone(lambda found=container: client.remove_container(found["Id"], force=True))
            for volume in client.volumes(filters=mine).get("Volumes") or []:
                _gone(lambda found=volume: client.remove_volume(found["Name"]))

    def close(self) -> None:
        """Stop watching and let go of the engine. What runs goes on running."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        if self._client is not None:
            self._client.close()
            self._client = None

    # ------------------------------------------------------------- inside

    def _launch(
        self, run_id: str, files: Mapping[str, bytes], limits: ResourceLimits, command: tuple[str, ...]
    ) -> None:
        """Create everything, compare it with the policy, start it; or leave nothing."""
        client, own = self._engine(), policy.names(run_id)
        with engine_errors("prepare the run"):
            self._refuse_leftovers(run_id)
        try:
            with engine_errors("start the run"):
                self._create_volume(policy.input_volume(run_id, files, limits))
                self._create_volume(policy.output_volume(run_id, limits))
                self._create(policy.holder_config(run_id, self._image, self._seccomp, limits), own.holder)
                client.start(own.holder)
                client.put_archive(own.holder, "/in", _tar(files))
                config = policy.run_config(
                    run_id, self._image, self._seccomp, limits, command=command, runtime=self._runtime
                )
                self._create(config, own.run)
                watch = Watch(client, own.run, late=False)
                self._watches[run_id] = watch
                client.start(own.run)
                watch.started(time.monotonic() + limits.seconds)
        except NameTaken:
            raise  # what stands there belongs to whoever was first
        except BaseException:
            self.remove(run_id)
            raise

    def _refuse_leftovers(self, run_id: str) -> None:
        mine = {"label": f"{policy.LABEL}={run_id}"}
        found = self._engine().containers(all=True, filters=mine)
        if found:
            name = found[0]["Names"][0].lstrip("/")
            raise NameTaken(f"run {run_id} exists already as container {name}: it is not started twice")

    def _create_volume(self, asked: policy.Json) -> None:
        client = self._engine()
        client.create_volume(asked["Name"], asked["Driver"], asked["DriverOpts"], asked["Labels"])
        # The engine returns an existing volume of this name without a word.
        found = client.inspect_volume(asked["Name"])
        if found["Options"] != asked["DriverOpts"] or found["Labels"] != asked["Labels"]:
            raise SandboxFailed(f"volume {asked['Name']} exists already with other settings: remove it first")

    def _create(self, asked: policy.Json, name: str) -> None:
        client = self._engine()
        try:
            client.create_container_from_config(asked, name)
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
            raise NameTaken(f"a container named {name} exists already: a run is not started twice") from error
        policy.require_policy(asked, client.inspect_container(name), self._image_env())

    def _find(self, run_id: str) -> Any:
        """The run container's `inspect`; None unless it was started and its outputs still exist."""
        client, own = self._engine(), policy.names(run_id)
        try:
            found = client.inspect_container(own.run)
            holder = client.inspect_container(own.holder)
        except docker.errors.NotFound:
            return None
        # Without the holder the volumes were unmounted when the run ended, and are empty.
        whole = holder["State"]["Running"] or found["State"]["Running"]
        return found if whole and moment(found["State"]["StartedAt"]) else None

    def _join(self, run_id: str, seconds_left: float) -> Watch:
        """Watch a run that another process started."""
        watch = Watch(self._engine(), policy.names(run_id).run, late=True)
        watch.started(time.monotonic() + seconds_left)
        self._watches[run_id] = watch
        return watch

    def _trials_done(self, run_id: str) -> int:
        watch = self._watches.get(run_id)
        return watch.log.trials_done if watch is not None else 0

    def _image_env(self) -> list[str]:
        with engine_errors("find the sandbox image"):
            try:
                found = self._engine().inspect_image(self._image)
            except docker.errors.ImageNotFound as error:
                raise BackEndMissing(
                    f"the sandbox image {self._image[:19]} is not on this machine; "
                    "make it with: autoresearch sandbox build"
                ) from error
        return list(found["Config"].get("Env") or [])

    def _engine(self) -> Any:
        """The engine's client. Raises BackEndMissing if none answers."""
        if self._client is None:
            self._client = engine.connect().api
        return self._client


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Whatever the engine or the way to it does wrong is SandboxFailed."""
    try:
        yield
    except docker.errors.APIError as error:
        raise SandboxFailed(f"the engine could not {what}: {error.explanation or error}") from error
    except NO_ANSWER as error:
        raise SandboxFailed(
            f"the engine did not answer, so it could not {what}: {engine.reason(error)}"
        ) from error


def _gone(remove: Any) -> None:
    """Call `remove` until what it removes is not there, for at most ten seconds."""
    give_up = time.monotonic() + 10
    while True:
        try:
            remove()
        except docker.errors.APIError as error:
            if error.status_code == 404:
                return
            # 409: somebody else is removing it, or a volume is still held by what was just removed.
            if error.status_code != 409 or time.monotonic() > give_up:
                raise
        else:
            return
        time.sleep(0.05)


def _tar(files: Mapping[str, bytes]) -> bytes:
    """The inputs as an archive: root's, readable by all, without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in jobs.directories(files):
            tar.addfile(_entry(path, tarfile.DIRTYPE, 0o555, 0))
        for path, data in sorted(files.items()):
            tar.addfile(_entry(path, tarfile.REGTYPE, 0o444, len(data)), io.BytesIO(data))
    return buffer.getvalue()


def _entry(path: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.size = kind, mode, size
    return entry


def _elapsed(state: Mapping[str, Any]) -> float:
    began = moment(state["StartedAt"])
    ended = moment(state["FinishedAt"]) if not state["Running"] else datetime.now(UTC)
    return (ended - began).total_seconds() if began and ended else 0.0


def _facts(
    state: Mapping[str, Any], watch: Watch | None, limits: ResourceLimits, *, truncated: bool
) -> HostFacts:
    """What the engine and the watch measured. `Running` is false in `state`."""
    code, wall = int(state["ExitCode"]), _elapsed(state)
    at_deadline = (watch is not None and watch.killed_at_deadline) or wall >= limits.seconds
    return HostFacts(
        exit_code=code,
        wall_seconds=wall,
        cpu_seconds=watch.cpu_seconds if watch else None,
        peak_memory_mb=watch.peak_memory_mb if watch else None,
        out_of_memory=bool(state["OOMKilled"]),
        timed_out=code == KILLED and at_deadline,
        output_truncated=truncated,
        started_at=moment(state["StartedAt"]),
        ended_at=moment(state["FinishedAt"]),
    )
