"""Images for experiments that bring an environment of their own.

A lock becomes an image on top of the sandbox's: its wheels are fetched on this host, by hash,
and installed without a network. The image carries the digest of what it was made from, so the
second time it is only looked up. An image given by its ID is taken as it is, once the probe has
shown that the limits hold and the harness starts in it.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch import assets
from autoresearch.adapters import image as images
from autoresearch.door import manifest_digest
from autoresearch.errors import BackEndMissing, InvalidInput, SandboxFailed
from autoresearch.layout import LOCK_FILE
from autoresearch.records import count

if TYPE_CHECKING:
    from docker import DockerClient

    from autoresearch.adapters.docker_sandbox import DockerSandbox

LABEL = "autoresearch.environment"
"""On the finished image: digest of what it was made from."""
DOCKERFILE = "environment.Dockerfile"
MUST_HAVE = "an experiment's image needs python3 (3.11 or later), sleep and timeout"


def _silent(_: str) -> None: ...


class Environments:
    """`pip_options` say where wheels come from, beside pip's own configuration."""

    def __init__(self, *, pip_options: Sequence[str] = (), progress: images.Say = _silent) -> None:
        self._pip_options = pip_options
        self._progress = progress
        self._usable: set[str] = set()

    def from_lock(self, lock: bytes, sandbox: str) -> images.ImageId:
        """The image of `lock` on top of the image `sandbox`, made where it is missing."""
        from filelock import FileLock

        recipe = (assets.sandbox() / DOCKERFILE).read_bytes()
        parts = {DOCKERFILE: recipe, LOCK_FILE: lock, "sandbox": sandbox.encode()}
        digest = manifest_digest(parts)
        with images.connected() as client:
            if (found := images.find_labelled(client, LABEL, digest)) is not None:
                return found
            cache = images.cache_dir()
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / "environment.lock"):
                # Another process may have built it while this one waited.
                return images.find_labelled(client, LABEL, digest) or self._build(
                    client, lock, sandbox, digest, cache
                )

    def _build(
        self, client: "DockerClient", lock: bytes, sandbox: str, digest: str, cache: Path
    ) -> images.ImageId:
        interpreter = images.interpreter_of(client, sandbox)
        own = assets.sandbox()
        with (
            tempfile.TemporaryDirectory(dir=cache) as folder,
            images.stage(self._progress, "environment") as done,
        ):
            written = Path(folder) / LOCK_FILE
            written.write_bytes(lock)
            wheels = images.wheels_of(written, interpreter, cache, self._pip_options)
            pip = next(images.wheels_of(own / LOCK_FILE, interpreter, cache).glob("pip-*.whl"))
            names = client.images.get(sandbox).tags
            if not names:
                raise SandboxFailed(
                    f"the sandbox image {sandbox[:19]} has lost its name; remove it and run again"
                )
            with tempfile.TemporaryFile() as context:
                parts = {DOCKERFILE: own / DOCKERFILE, LOCK_FILE: written, "wheels": wheels}
                images.write_context(context, {**parts, f"installer/{pip.name}": pip})
                arguments = {"SANDBOX": sandbox, "SANDBOX_NAME": names[0], "SITE": interpreter.site}
                build = images.Build(DOCKERFILE, arguments, LABEL, digest, "autoresearch-environment")
                images.run_build(client, context, build)
            made = images.find_labelled(client, LABEL, digest)
            if made is None:
                raise SandboxFailed(
                    "the engine reported a finished build, but the environment's image is not there"
                )
            done(f"{count(len(list(wheels.glob('*.whl'))), 'package')} by hash, image {made[:19]}")
        return made

    def require_usable(self, image: str, open_with: Callable[[str], "DockerSandbox"]) -> None:
        """Raise unless experiments can run in the image: BackEndMissing, or InvalidInput for what it declares."""
        from docker.errors import ImageNotFound

        if image in self._usable:
            return
        with images.connected() as client:
            try:
                declared = client.images.get(image).attrs["Config"].get("Volumes")
            except ImageNotFound as error:
                raise BackEndMissing(
                    f"the image {image} is not on this engine; load it (docker load, docker pull), "
                    "then: autoresearch run"
                ) from error
        if declared:
            raise InvalidInput(
                f"the image {image[:19]} declares volumes ({', '.join(sorted(declared))}), which would be "
                "writable places without a limit; build it without VOLUME"
            )
        try:
            open_with(image).probe()
        except (SandboxFailed, BackEndMissing) as error:
            raise BackEndMissing(f"the image {image[:19]} cannot be used: {error}\n{MUST_HAVE}") from error
        self._usable.add(image)
