"""What a plan asks beyond the sandbox's own image: environments, data and GPUs, on a real engine."""

import io
import os
import tarfile
from contextlib import closing
from copy import deepcopy
from dataclasses import replace

import pytest
from tests.wheels import make_wheel

from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters.environments import Environments
from autoresearch.adapters.input_store import InputStore
from autoresearch.contents import bytes_of
from autoresearch.errors import BackEndMissing, InvalidInput, NotApproved, SandboxFailed
from autoresearch.ports import Needs
from autoresearch.records import Environment, ResourceLimits, file_ref
from autoresearch.testing import approved_job, await_end

pytestmark = pytest.mark.docker

SMALL = ResourceLimits(seconds=20, memory_mb=128, cpus=2, processes=32, output_mb=2)


@pytest.fixture(scope="module")
def client():
    from autoresearch.adapters import engine

    with closing(engine.connect()) as connected:
        yield connected


@pytest.fixture
def try_out(tmp_path, request):
    """Runs code as an approved job with needs, to its end; gives what was collected, and the bundle's image."""
    submitted = []

    def run(sandbox, code, needs, **more):
        run_id = f"t{os.getpid()}-{request.node.name[:30].replace('[', '-').strip('-]_')}-{len(submitted)}"
        files = {"experiment/experiment.py": code.encode()}
        job, warrant = approved_job(
            files,
            sandbox.isolation(needs),
            run_id=run_id,
            limits=SMALL,
            needs=needs,
            trials_per_arm=1,
            **more,
        )
        submitted.append((sandbox, run_id))
        sandbox.submit(job, warrant)
        await_end(sandbox, run_id)
        (tmp_path / run_id).mkdir()
        (got,) = sandbox.collect(run_id, job.limits, tmp_path / run_id)
        return got, warrant.approval.record.body.bundle.isolation.image

    yield run
    for sandbox, run_id in submitted:
        sandbox.remove(run_id)


def lines(got):
    return bytes_of(got.files["trials.jsonl"])


# ------------------------------------------------------------------- a lock


@pytest.fixture(scope="module")
def locked(tmp_path_factory, image_id, client):
    """An environment with one tiny package of our own making."""
    folder = tmp_path_factory.mktemp("wheels")
    lock = make_wheel(folder, "tinypackage", "1.0", f"VALUE = 42  # {os.getpid()}\n").encode()
    needs = Needs(Environment(lock=file_ref("environment/requirements.lock", lock)), lock)
    environments = Environments(pip_options=["--no-index", "--find-links", str(folder)])
    yield needs, environments
    image = environments.from_lock(lock, image_id)
    client.images.remove(image, force=True)


def test_a_lock_becomes_an_image_of_exactly_its_packages(docker_sandbox, locked, try_out, image_id):
    needs, environments = locked
    sandbox = docker_sandbox(environments=environments)
    code = """
import tinypackage
try:
    import numpy
except ImportError:
    numpy = None

def run_trial(arm, seed, config, data):
    return {"many": [tinypackage.VALUE], "numpy": int(numpy is not None)}
"""
    got, image = try_out(sandbox, code, needs)
    assert b'"many": [42], "numpy": 0' in lines(got), lines(got)
    assert image != image_id
    assert image.startswith("sha256:")
    assert (
        docker_sandbox(environments=Environments(pip_options=["--no-index"])).isolation(needs).image == image
    ), "found again, without a wheel in reach"


def test_another_lock_than_approved_is_refused(docker_sandbox, locked):
    needs, environments = locked
    sandbox = docker_sandbox(environments=environments)
    job, warrant = approved_job({"experiment/experiment.py": b"x = 1"}, sandbox.isolation(needs), needs=needs)
    with pytest.raises(NotApproved, match=r"image"):
        # The code approved for that environment does not run in the sandbox's own image.
        docker_sandbox(environments=SandboxOnly()).submit(job, warrant)


class SandboxOnly(Environments):
    """As if the environment's image had been lost and another made in its place."""

    def from_lock(self, lock, sandbox):
        return sandbox


def test_a_package_of_other_bytes_is_refused(docker_sandbox, tmp_path):
    lock = make_wheel(tmp_path, "tinypackage", "1.1", "VALUE = 1\n").encode()
    make_wheel(tmp_path, "tinypackage", "1.1", "VALUE = 2\n")
    sandbox = docker_sandbox(
        environments=Environments(pip_options=["--no-index", "--find-links", str(tmp_path)])
    )
    needs = Needs(Environment(lock=file_ref("environment/requirements.lock", lock)), lock)
    with pytest.raises(BackEndMissing, match=r"(?s)could not be downloaded.*hash|HASH|MATCH"):
        sandbox.isolation(needs)


# ------------------------------------------------------------ an image by its ID


@pytest.fixture(scope="module")
def own_image(client, image_id):
    """Builds an image on top of the sandbox's; each is removed at the end."""
    made = []

    def build(*instructions):
        text = "\n".join([f"FROM {image_id}", *instructions])
        image, _ = client.images.build(fileobj=io.BytesIO(text.encode()), network_mode="none", rm=True)
        made.append(image.id)
        return image.id

    yield build
    for image in made:
        client.images.remove(image, force=True)


def of_image(image):
    return Needs(Environment(image=image))


@pytest.mark.slow
def test_an_image_runs_whatever_it_declares(docker_sandbox, own_image, try_out):
    image = own_image(
        'ENTRYPOINT ["/bin/false"]', 'CMD ["/bin/false"]', "USER root", "WORKDIR /tmp", "ENV OWN=yes HOME=/root",
        "HEALTHCHECK --interval=1s CMD touch /out/healthcheck", "EXPOSE 80", "LABEL autoresearch.run=forged",
    )  # fmt: skip
    code = """
import os, time

def run_trial(arm, seed, config, data):
    time.sleep(1.5)
    return {"many": [int(os.environ.get("OWN") == "yes"), int(os.environ["HOME"] == "/tmp"), int(os.getuid() > 2**30),
                     int(os.path.exists("/out/healthcheck"))]}
"""
    sandbox = docker_sandbox()
    got, used = try_out(sandbox, code, of_image(image))
    assert used == image
    assert b'"many": [1, 1, 1, 0]' in lines(got), lines(got)


def test_an_image_that_is_not_there_names_the_mend(docker_sandbox):
    with pytest.raises(BackEndMissing, match=r"docker load") as caught:
        docker_sandbox().isolation(of_image("sha256:" + "1" * 64))
    assert caught.value.exit_code == 4


def test_an_image_with_volumes_is_refused(docker_sandbox, own_image):
    with pytest.raises(InvalidInput, match=r"declares volumes .*/scratch"):
        docker_sandbox().isolation(of_image(own_image("VOLUME /scratch")))


def test_an_image_without_python_is_refused(docker_sandbox, client):
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    answer = client.api.import_image_from_data(empty.getvalue())
    image = next(word for word in answer.replace('"', " ").split() if word.startswith("sha256:"))
    try:
        with pytest.raises(BackEndMissing, match=r"(?s)cannot be used.*needs python3"):
            docker_sandbox().isolation(of_image(image))
    finally:
        client.images.remove(image, force=True)


# ------------------------------------------------------------------------ data


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "original").mkdir()
    (tmp_path / "original" / "numbers.txt").write_text("1 2 3\n")
    store = InputStore(tmp_path / "store")
    return store, store.take_in("train", "original", tmp_path)


READS = """
def run_trial(arm, seed, config, data):
    with open("/data/train/numbers.txt") as file:
        numbers = [float(word) for word in file.read().split()]
    for place in ("/data/train/numbers.txt", "/data/train/new", "/data/new"):
        try:
            open(place, "a")
            numbers.append(1)
        except OSError:
            numbers.append(0)
    return {"many": numbers}
"""


def test_data_are_read_and_cannot_be_written(docker_sandbox, stored, try_out):
    store, item = stored
    got, _ = try_out(docker_sandbox(store=store), READS, Needs(inputs=[item]))
    assert b'"many": [1.0, 2.0, 3.0, 0, 0, 0]' in lines(got), lines(got)
    assert store.measure(item.sha256).sha256 == item.sha256


def test_one_byte_changed_in_the_store_is_refused_at_the_door(docker_sandbox, stored, client):
    store, item = stored
    sandbox, needs = docker_sandbox(store=store), Needs(inputs=[item])
    run_id = f"t{os.getpid()}-flip"
    files = {"experiment/experiment.py": READS.encode()}
    job, warrant = approved_job(files, sandbox.isolation(needs), run_id=run_id, needs=needs)
    file = store.place(item.sha256) / "numbers.txt"
    file.chmod(0o644)
    file.write_text("1 2 4\n")
    with pytest.raises(NotApproved, match=r"/data/train differs from what was approved"):
        sandbox.submit(job, warrant)
    mine = {"label": f"{policy.LABEL}={run_id}"}
    assert client.api.containers(all=True, filters=mine) == []
    assert not client.api.volumes(filters=mine).get("Volumes")


def test_data_that_are_not_there_are_named(docker_sandbox, stored, tmp_path):
    _, item = stored
    with pytest.raises(
        BackEndMissing, match=r"the data train .from original. are not in this project's store"
    ):
        docker_sandbox(store=InputStore(tmp_path / "elsewhere")).isolation(Needs(inputs=[item]))
    with pytest.raises(BackEndMissing, match=r"in no store"):
        docker_sandbox().isolation(Needs(inputs=[item]))


@pytest.fixture(scope="module")
def created(client, image_id, seccomp, tmp_path_factory):
    """A run container with data and a GPU that was created, never started."""
    place = tmp_path_factory.mktemp("store") / "data"
    place.mkdir()
    run_id = f"t{os.getpid()}-needs"
    limits = SMALL.model_copy(update={"gpus": 2})
    asked = policy.run_config(run_id, image_id, seccomp.decode(), limits, data={"train": str(place)})
    name = client.api.create_container_from_config(asked, policy.names(run_id).run)["Id"]
    env = client.api.inspect_image(image_id)["Config"]["Env"] or []
    yield asked, client.api.inspect_container(name), env
    client.api.remove_container(name, v=True)
    for volume in client.api.volumes(filters={"name": f"autoresearch-{run_id}"})["Volumes"]:
        client.api.remove_volume(volume["Name"])


def test_the_request_is_read_back_whole(created):
    asked, found, env = created
    assert asked["HostConfig"]["DeviceRequests"] == [
        {"Driver": "nvidia", "Count": 2, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    ]
    policy.require_policy(asked, found, env)


def bind_of(found):
    return next(mount for mount in found["Mounts"] if mount["Type"] == "bind")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["HostConfig"]["DeviceRequests"][0].update(Count=-1), "DeviceRequests"),
        (lambda f: f["HostConfig"].update(DeviceRequests=None), "DeviceRequests"),
        (lambda f: bind_of(f).update(RW=True), "a mount on /data/train"),
        (lambda f: bind_of(f).update(Source="/etc"), "a mount on /data/train"),
        (lambda f: bind_of(f).update(Destination="/data/other"), "a mount on /data"),
        (lambda f: f["Mounts"].remove(bind_of(f)), "a mount on /data/train"),
        (lambda f: f["Mounts"].append({**bind_of(f), "Destination": "/host"}), "a mount on /host"),
        (lambda f: f["Config"].update(Healthcheck=None), "Healthcheck"),
        (lambda f: f["Config"].update(Entrypoint=["/bin/sh"]), "Entrypoint"),
    ],
)
def test_another_container_than_asked_for_is_refused(created, change, said):
    asked, found, env = created
    changed = deepcopy(found)
    change(changed)
    with pytest.raises(SandboxFailed, match=said):
        policy.require_policy(asked, changed, env)


def test_without_gpus_no_device_and_no_driver_call(seccomp):
    plain = policy.run_config("r", "i", seccomp.decode(), SMALL)
    with_gpu = policy.run_config("r", "i", seccomp.decode(), SMALL.model_copy(update={"gpus": 1}))
    assert plain["HostConfig"]["DeviceRequests"] == []
    profile = [
        next(o for o in c["HostConfig"]["SecurityOpt"] if o.startswith("seccomp=")) for c in (plain, with_gpu)
    ]
    assert "SCMP_CMP_MASKED_EQ" not in profile[0].replace(seccomp.decode(), "")
    assert '"valueTwo":17920' in profile[1]


# ------------------------------------------------------------------------ GPUs


def test_gpus_that_the_engine_cannot_give_are_said_before_anybody_is_asked(docker_sandbox, client):
    if "nvidia" in client.info().get("Runtimes", {}):
        pytest.skip("this engine has GPUs")
    with pytest.raises(
        BackEndMissing, match=r"asks for 1 GPU, which this engine cannot give: .*device driver"
    ) as caught:
        docker_sandbox().isolation(Needs(gpus=1))
    assert caught.value.exit_code == 4
    assert "nvidia-ctk" in str(caught.value)
    left = client.api.containers(all=True, filters={"name": f"autoresearch-gpus-{os.getpid()}"})
    assert left == []


def test_gvisor_gives_no_gpus(docker_sandbox):
    sandbox = docker_sandbox(runtime=policy.RUNSC)
    with pytest.raises(BackEndMissing, match=r"gVisor cannot give"):
        sandbox._require_gpus(Needs(gpus=1))


def test_other_numbers_of_gpus_than_approved_are_refused(docker_sandbox):
    sandbox = docker_sandbox()
    job, warrant = approved_job({"experiment/experiment.py": b"x = 1"}, sandbox.isolation())
    with pytest.raises(NotApproved, match=r"limits"):
        sandbox.submit(replace(job, limits=job.limits.model_copy(update={"gpus": 1})), warrant)
