"""Runs a job in a hardened Docker container of its own."""

import json
import os
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker.errors

from autoresearch import door, jobs
from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters import engine, gvisor, sandbox_probe
from autoresearch.adapters.docker_launch import NO_ANSWER, Launch, NameTaken, engine_errors, remove_all
from autoresearch.adapters.docker_outputs import read_outputs
from autoresearch.adapters.docker_watch import Watch, moment
from autoresearch.adapters.environments import Environments
from autoresearch.adapters.image import cache_dir
from autoresearch.adapters.input_store import InputStore
from autoresearch.errors import BackEndMissing, InvalidInput, SandboxFailed
from autoresearch.ports import NOTHING, Collected, Job, JobState, Needs, TryWarrant, Warrant
from autoresearch.records import DataInput, HostFacts, Isolation, Probe, ResourceLimits, count, sha256

ARCHITECTURES = ("x86_64", "amd64", "aarch64", "arm64")
"""Those that the seccomp profile names."""
KILLED = 137
"""Exit code of a process that SIGKILL ended, its own deadline's included."""


@dataclass(frozen=True)
class _Worker:
    """A worker's container that was let begin and whose outputs still exist."""

    name: str
    state: Mapping[str, Any]
    """As `inspect` reports it."""
    began: datetime
    seconds: int
    """Its limit."""

    @property
    def runs(self) -> bool:
        return bool(self.state["Running"])

    @property
    def elapsed(self) -> float:
        ended = datetime.now(UTC) if self.runs else moment(self.state["FinishedAt"])
        return max(0.0, (ended - self.began).total_seconds()) if ended else 0.0


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
        environments: Environments | None = None,
        store: InputStore | None = None,
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
        self._environments = environments or Environments()
        self._store = store
        self._client = client
        self._watches: dict[str, dict[int, Watch]] = {}
        """Run id → worker → its watch."""
        self._image_envs: dict[str, list[str]] = {}
        self._gpus_seen: set[int] = set()
        """Numbers of GPUs that the engine has given in this process."""

    def isolation(self, needs: Needs = NOTHING) -> Isolation:
        try:
            version = self._engine().version()
            info = self._engine().info() if self._runtime is policy.RUNSC else {}
        except NO_ANSWER as error:
            raise BackEndMissing(
                f"no Docker engine answers: {engine.reason(error)}\n{engine.mend()}"
            ) from error
        architecture = str(version.get("Arch", "unknown"))
        if architecture not in ARCHITECTURES:
            raise BackEndMissing(
                f"the sandbox has no system call filter for {architecture}; "
                "use a machine with x86_64 or aarch64 processors"
            )
        self._image_env(self._image)
        image = self._image_for(needs)
        self._require_data(needs)
        self._require_gpus(needs)
        said = f"Docker {version['Version'].partition('+')[0]}"
        if self._runtime is policy.RUNSC:
            said += f", gVisor ({gvisor.platform_of(info)})"
        return Isolation(
            tier=self._runtime.tier,
            image=image,
            policy_sha256=self._policy_sha256,
            harness_sha256=sha256(self._harness),
            engine=said,
        )

    def check_limits(self, limits: ResourceLimits) -> None:
        with engine_errors("read the machine's size"):
            info = self._engine().info()
        cpus, megabytes = info["NCPU"], info["MemTotal"] // 2**20
        each = "" if limits.workers == 1 else f" for each of {limits.workers} workers"
        if limits.cpus * limits.workers > cpus:
            raise InvalidInput(f"limits.cpus is {limits.cpus:g}{each}, but this machine has {cpus}")
        needed = policy.memory_mb(limits, self._runtime) * limits.workers
        if needed > megabytes:
            raise InvalidInput(
                f"limits.memory_mb {limits.memory_mb} and output_mb {limits.output_mb}{each} need "
                f"{needed} MB with scratch space, but this machine has {megabytes}"
            )

    def submit(self, job: Job, warrant: Warrant | TryWarrant) -> None:
        isolation = self.isolation(job.needs)
        data = {item.sha256: self._measured(item) for item in job.needs.inputs}
        door.admit(job, warrant, isolation, self._shipped, data)
        inputs = [jobs.inputs(part, self._harness) for part in jobs.shared(job)]
        self._launch(
            job.run_id, inputs, job.limits, policy.HARNESS_COMMAND,
            image=isolation.image, data=job.needs.inputs,
        )  # fmt: skip

    def probe(self) -> Probe:
        return sandbox_probe.fresh_probe(self, cache_dir() / "probes")

    def machine(self) -> dict[str, str]:
        with engine_errors("describe its machine"):
            info = self._engine().info()
        return {
            "architecture": info["Architecture"],
            "kernel": info["KernelVersion"],
            "engine": info["ID"],
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        }

    def launch_probe(self, run_id: str, what: str, limits: ResourceLimits) -> None:
        """Nobody approves it, so no byte of it can be chosen: it is read here."""
        files = {"probe.py": sandbox_probe.script()}
        self._launch(run_id, [files], limits, ("python3", "-I", "-B", "/in/probe.py", what))

    def poll(self, run_id: str) -> JobState:
        with engine_errors("look after the run"):
            left = {n: worker for n, worker in enumerate(self._workers(run_id)) if worker is not None}
            if not left:
                return JobState("absent")
            for number, worker in left.items():
                if worker.runs and number not in self._watches.get(run_id, {}):
                    self._join(run_id, number, worker)
        watches = self._watches.get(run_id, {})
        memory = [watch.memory_mb for n, watch in watches.items() if n in left and left[n].runs]
        return JobState(
            "running" if any(worker.runs for worker in left.values()) else "ended",
            sum(watch.log.trials_done for watch in watches.values()),
            max(worker.elapsed for worker in left.values()),
            sum(mb for mb in memory if mb is not None) if any(memory) else None,
        )

    def cancel(self, run_id: str) -> None:
        with engine_errors("end the run"):
            for found in self._list(run_id):
                if found["Labels"][policy.PURPOSE_LABEL] == "run" and found["State"] == "running":
                    self._kill(found["Id"])

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> list[Collected | None]:
        with engine_errors("collect the outputs"):
            workers = self._workers(run_id)
            if not any(workers) or any(worker is not None and worker.runs for worker in workers):
                raise SandboxFailed(f"run {run_id} has no outputs to collect: it has not ended, or is gone")
            return [
                None if worker is None else self._collected(run_id, number, worker, limits, into)
                for number, worker in enumerate(workers)
            ]

    def remove(self, run_id: str) -> None:
        with engine_errors("remove the run"):
            for watch in self._watches.pop(run_id, {}).values():
                watch.close()
            remove_all(self._engine(), run_id)

    def close(self) -> None:
        """Stop watching and let go of the engine. What runs goes on running."""
        for watches in self._watches.values():
            for watch in watches.values():
                watch.close()
        self._watches.clear()
        if self._client is not None:
            self._client.close()
            self._client = None

    # ------------------------------------------------------------- inside

    def _launch(
        self,
        run_id: str,
        inputs: Sequence[Mapping[str, bytes]],
        limits: ResourceLimits,
        command: tuple[str, ...],
        *,
        image: str | None = None,
        data: Sequence[DataInput] = (),
    ) -> None:
        """Start a worker for each of `inputs`; or leave nothing."""
        with engine_errors("prepare the run"):
            if found := self._list(run_id):
                name = found[0]["Names"][0].lstrip("/")
                raise NameTaken(f"run {run_id} exists already as container {name}: it is not started twice")
        image = image or self._image
        launch = Launch(
            self._engine(), run_id, image, self._image_env(image), self._seccomp,
            limits, self._runtime, command, inputs, {item.name: str(self._place(item)) for item in data},
        )  # fmt: skip
        try:
            with engine_errors("start the run"):
                self._watches[run_id] = launch.start()
        except NameTaken:
            raise  # what stands there belongs to whoever was first
        except BaseException:
            self.remove(run_id)
            raise

    def _list(self, run_id: str) -> list[Any]:
        found = self._engine().containers(all=True, filters={"label": f"{policy.LABEL}={run_id}"})
        return list(found)

    def _workers(self, run_id: str) -> list[_Worker | None]:
        """What is left of each worker; None: it never began, or its outputs are gone."""
        found = {
            (c["Labels"][policy.PURPOSE_LABEL], c["Labels"][policy.WORKER_LABEL]): c
            for c in self._list(run_id)
        }
        if not found:
            return []
        holder = found.get(("holder", "0"))
        held = holder is not None and holder["State"] == "running"
        count = int(next(iter(found.values()))["Labels"][policy.WORKERS_LABEL])
        return [
            self._left_of(run_id, worker, held=held) if ("run", str(worker.number)) in found else None
            for worker in policy.workers(count)
        ]

    def _left_of(self, run_id: str, worker: policy.Worker, *, held: bool) -> _Worker | None:
        name = policy.names(run_id, worker).run
        try:
            found = self._engine().inspect_container(name)
        except docker.errors.NotFound:
            return None
        state = found["State"]
        # Without the holder the volumes were unmounted when the last of the others ended, and are empty.
        if moment(state["StartedAt"]) is None or not (held or state["Running"]):
            return None
        began = self._began(run_id, worker)
        if began is None:
            return None
        return _Worker(name, state, began, int(found["Config"]["Labels"][policy.SECONDS_LABEL]))

    def _began(self, run_id: str, worker: policy.Worker) -> datetime | None:
        """When a worker was given its inputs. None: its supervisor died before that, so it never will be."""
        watch = self._watches.get(run_id, {}).get(worker.number)
        if watch is not None:
            return watch.began
        try:
            chunks, stat = self._engine().get_archive(policy.names(run_id, worker).run, f"/in/{policy.READY}")
        except docker.errors.NotFound:
            return None
        for _ in chunks:  # to its end, which frees the connection
            pass
        return datetime.fromisoformat(stat["mtime"])

    def _join(self, run_id: str, number: int, worker: _Worker) -> None:
        """Watch a worker that another process started."""
        watch = Watch(self._engine(), worker.name, late=True)
        watch.started(worker.began.timestamp(), time.monotonic() + worker.seconds - worker.elapsed)
        self._watches.setdefault(run_id, {})[number] = watch

    def _collected(
        self, run_id: str, number: int, worker: _Worker, limits: ResourceLimits, into: Path
    ) -> Collected:
        watch = self._watches.get(run_id, {}).get(number)
        if watch is not None:
            watch.finish()
        own = into / str(number)
        try:
            own.mkdir()
        except OSError as error:
            raise jobs.no_room(own, error) from error
        chunks, _ = self._engine().get_archive(worker.name, "/out")
        outputs = read_outputs(chunks, limits, own)
        log, cut = watch.log.text() if watch is not None else (b"", True)
        return Collected(
            facts=_facts(worker, watch, truncated=outputs.truncated, runtime=self._runtime),
            files=outputs.files,
            log=log,
            log_truncated=cut or watch is None or watch.late,
            refused=outputs.refused,
        )

    def _kill(self, container: str) -> None:
        try:
            self._engine().kill(container, "SIGKILL")
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):  # it is gone, or has ended
                raise

    def _image_env(self, image: str) -> list[str]:
        """An image's environment, which is as fixed as its id. Raises BackEndMissing where it is not there."""
        if image not in self._image_envs:
            with engine_errors("find the sandbox image"):
                try:
                    found = self._engine().inspect_image(image)
                except docker.errors.ImageNotFound as error:
                    raise BackEndMissing(
                        f"the sandbox image {image[:19]} is not on this machine; "
                        "make it with: autoresearch sandbox build"
                    ) from error
            self._image_envs[image] = list(found["Config"].get("Env") or [])
        return self._image_envs[image]

    # ------------------------------------------------ what a plan asks beyond it

    def _image_for(self, needs: Needs) -> str:
        if needs.environment is None:
            return self._image
        if needs.environment.image is None:
            return self._environments.from_lock(needs.lock or b"", self._image)
        self._environments.require_usable(needs.environment.image, self._with_image)
        return needs.environment.image

    def _with_image(self, image: str) -> "DockerSandbox":
        """The same sandbox over another image, to probe it."""
        return DockerSandbox(
            image, harness=self._harness, seccomp=self._seccomp.encode(), shipped=self._shipped,
            runtime=self._runtime, client=self._engine(),
        )  # fmt: skip

    def _require_data(self, needs: Needs) -> None:
        for item in needs.inputs:
            place = self._place(item)
            if not place.exists():
                raise BackEndMissing(
                    f"the data {item.name} (from {item.path}) are not in this project's store; copy "
                    f"{place.name} from the project where they were taken in to {place.parent}"
                )
        if needs.inputs and not str(self._engine().base_url).startswith(
            ("http+docker://localhost", "http+unix")
        ):
            raise BackEndMissing(
                f"the plan reads data {', '.join(item.name for item in needs.inputs)}, which are mounted from this "
                "machine, but the engine runs on another; use a local one: unset DOCKER_HOST"
            )

    def _place(self, item: DataInput) -> Path:
        if self._store is None:
            raise BackEndMissing(f"the data {item.name} are in no store: this sandbox belongs to no project")
        return self._store.place(item.sha256)

    def _measured(self, item: DataInput) -> str | None:
        found = self._store.measure(item.sha256) if self._store else None
        return found.sha256 if found else None

    def _require_gpus(self, needs: Needs) -> None:
        """Ask the engine for them: no list of its runtimes or of this machine's devices says as much."""
        if not needs.gpus or needs.gpus in self._gpus_seen:
            return
        asked = count(needs.gpus, "GPU")
        if self._runtime is not policy.RUNC:
            raise BackEndMissing(
                f'the plan asks for {asked}, which gVisor cannot give; use isolation = "docker" in autoresearch.toml'
            )
        run_id = f"gpus-{os.getpid()}-{needs.gpus}"
        limits = ResourceLimits(seconds=30, memory_mb=256, cpus=1, processes=32, output_mb=1, gpus=needs.gpus)
        self.remove(run_id)
        try:
            self._launch(run_id, [{}], limits, ("true",))
        except SandboxFailed as error:
            raise BackEndMissing(
                f"the plan asks for {asked}, which this engine cannot give: {error}\n"
                "install NVIDIA's driver and container toolkit, then: sudo nvidia-ctk runtime configure "
                "--runtime=docker, and restart the engine; or set limits.gpus to 0"
            ) from error
        finally:
            self.remove(run_id)
        self._gpus_seen.add(needs.gpus)

    def _engine(self) -> Any:
        """The engine's client. Raises BackEndMissing if none answers."""
        if self._client is None:
            self._client = engine.connect().api
        return self._client


def _facts(worker: _Worker, watch: Watch | None, *, truncated: bool, runtime: policy.Runtime) -> HostFacts:
    """What the engine and the watch measured of a worker that has ended."""
    code, wall = int(worker.state["ExitCode"]), worker.elapsed
    at_deadline = (watch is not None and watch.killed_at_deadline) or wall >= worker.seconds
    return HostFacts(
        exit_code=code,
        wall_seconds=wall,
        cpu_seconds=watch.cpu_seconds if watch else None,
        peak_memory_mb=watch.peak_memory_mb if watch else None,
        out_of_memory=_out_of_memory(worker, runtime, killed=code == KILLED and not at_deadline),
        timed_out=code == KILLED and at_deadline,
        output_truncated=truncated,
        started_at=worker.began,
        ended_at=moment(worker.state["FinishedAt"]),
    )


def _out_of_memory(worker: _Worker, runtime: policy.Runtime, *, killed: bool) -> bool | None:
    """What the engine says; None where it may have missed it.

    Under gVisor, on a busy machine, a run was seen to end by the limit without the engine
    knowing: it asks nobody again once the end has come before the word of its cause.
    """
    if worker.state["OOMKilled"]:
        return True
    return None if killed and runtime is policy.RUNSC else False
