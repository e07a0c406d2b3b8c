"""Watches one running container: drains its output, samples its use, ends it at its deadline."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import docker.errors
import requests

from autoresearch.jobs import Log

FASTEST_SECONDS = 0.1
SLOWEST_SECONDS = 1.0
ENGINE_FAULTS = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)


class Watch:
    """Three threads beside a container, for as long as it runs.

    The first reads its output and never pauses: an attached reader that stops
    reading also stops the engine's `kill` and `inspect`. The second kills at the
    deadline; the third samples memory and CPU, and an engine slow to answer it
    cannot delay the second.
    """

    def __init__(self, client: Any, container: str, *, late: bool) -> None:
        self.log = Log()
        self.began: datetime | None = None
        """When it was let begin. None: not yet."""
        self.late = late
        """Attached after the start: earlier output is lost."""
        self.killed_at_deadline = False
        self.cpu_seconds: float | None = None
        """As of the last sample, at most `SLOWEST_SECONDS` before the end."""
        self.peak_memory_mb: float | None = None
        self.memory_mb: float | None = None
        self._client = client
        self._container = container
        self._ended = threading.Event()
        self._output = client.attach(container, stdout=True, stderr=True, stream=True, logs=False)
        self._deadline = float("inf")
        self._drain, self._guard, self._sampler = (
            threading.Thread(target=work, name=f"{work.__name__} {container}", daemon=True)
            for work in (self._read_on, self._keep_deadline, self._sample_on)
        )
        self._drain.start()

    def started(self, began: float, deadline: float) -> None:
        """Its trials run since `began` (seconds since 1970), until `deadline` on the monotonic clock."""
        self.began = datetime.fromtimestamp(began, UTC)
        self._deadline = deadline
        self._guard.start()
        self._sampler.start()

    def close(self) -> None:
        """Stop watching. The log stays readable."""
        self._ended.set()
        _shut(self._output)
        for thread in (self._drain, self._guard, self._sampler):
            if thread.ident is not None:
                thread.join(timeout=5)
        # The SDK's `close` shuts the socket down, but leaves it open.
        self._output._response.close()  # noqa: SLF001

    def finish(self) -> None:
        """The container is dead: let the reader come to the end of what it wrote."""
        self._drain.join(timeout=5)
        self.close()

    def _read_on(self) -> None:
        try:
            for chunk in self._output:
                self.log.feed(chunk)
        except (*ENGINE_FAULTS, ValueError):
            # The stream was shut, here or by the engine; what the run came to is
            # read from the engine by `collect`, which reports a failure itself.
            return

    def _keep_deadline(self) -> None:
        """SIGKILL at the deadline, again until the engine takes it."""
        if self._ended.wait(max(0.0, self._deadline - time.monotonic())):
            return
        _shut(self._output)
        while not self._ended.is_set():
            try:
                self._client.kill(self._container, "SIGKILL")
            except docker.errors.APIError as error:
                if error.status_code in (404, 409):  # gone, or it ended by itself just now
                    return
            except ENGINE_FAULTS:
                pass  # the engine is away; the deadline inside the container holds meanwhile
            else:
                self.killed_at_deadline = True
                return
            self._ended.wait(FASTEST_SECONDS)

    def _sample_on(self) -> None:
        pause = 0.0  # the first sample at once: a run may be over in a tenth of a second
        while not self._ended.wait(pause) and self._sample():
            pause = min(SLOWEST_SECONDS, max(FASTEST_SECONDS, pause * 1.5))

    def _sample(self) -> bool:
        """Read the container's use. False once there is nothing left to watch."""
        try:
            stats = self._client.stats(self._container, stream=False, one_shot=True)
        except docker.errors.NotFound:
            return False
        except ENGINE_FAULTS:
            return True  # tried again
        memory = stats.get("memory_stats", {})
        if "usage" not in memory:
            return not self._ended.is_set() and _runs(self._client, self._container)
        self.memory_mb = memory["usage"] / 2**20
        # Only cgroup v1 keeps a high-water mark; elsewhere the largest sample stands for it.
        peak = memory.get("max_usage", memory["usage"]) / 2**20
        self.peak_memory_mb = max(peak, self.peak_memory_mb or 0.0)
        self.cpu_seconds = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        return True


def _runs(client: Any, container: str) -> bool:
    try:
        return bool(client.inspect_container(container)["State"]["Running"])
    except docker.errors.NotFound:
        return False
    except ENGINE_FAULTS:
        return True


def _shut(stream: Any) -> None:
    try:
        stream.close()
    except (OSError, AttributeError):
        return  # already closed by the other side


def moment(text: str) -> datetime | None:
    """An engine's time stamp (nanoseconds, UTC); None for its zero."""
    if text.startswith("0001-"):
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}").replace(tzinfo=UTC)
