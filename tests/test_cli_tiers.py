"""`sandbox check` and `doctor`, tier by tier, as commands."""

import json
import os
import subprocess
import sys

import pytest

from autoresearch.config import parse_settings, render_settings
from autoresearch.errors import InvalidInput
from autoresearch.records import Probe, Settings, digest_of


def run(*args, cwd, **env):
    code = "import sys; from autoresearch.cli.main import main; sys.argv = ['autoresearch', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, *args]
    environment = {**os.environ, **env}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.docker
def test_check_prints_a_row_a_limit_and_the_digest(tmp_path):
    done = run("sandbox", "check", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rows, last = done.stdout.splitlines()
    assert first.startswith("Docker ")
    assert [row.split()[0] for row in rows] == ["ok"] * 11
    assert last.startswith("digest ")


@pytest.mark.docker
def test_check_of_gvisor_where_it_is_not_registered_says_how_to(tmp_path):
    done = run("sandbox", "check", "--tier", "gvisor", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "has no runtime runsc" in done.stderr
    assert '"runtimeArgs": ["--platform=ptrace", "--network=none", "--oci-seccomp"]' in done.stderr


@pytest.mark.docker
def test_check_of_gvisor_where_it_is(tmp_path, gvisor_engine):
    done = run("sandbox", "check", "--tier", "gvisor", "--json", cwd=tmp_path, DOCKER_HOST=gvisor_engine)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    digest = told.pop("digest")
    found = Probe.model_validate(told)
    assert (found.tier, digest) == ("gvisor", digest_of(found))
    assert [row.name for row in found.rows if not row.ok] == []


def test_check_of_bubblewrap(tmp_path, bubblewrap_root):
    """Without any engine."""
    done = run("sandbox", "check", "--tier", "bubblewrap", cwd=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bubblewrap ")


def test_no_tier_stands_in_for_another(tmp_path):
    done = run("sandbox", "check", cwd=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert (done.returncode, done.stdout) == (4, "")
    assert "no Docker engine answers" in done.stderr


def test_a_tier_is_a_setting_of_three():
    for tier in ("docker", "gvisor", "bubblewrap"):
        settings = Settings(isolation=tier)
        assert parse_settings(render_settings(settings)) == settings
    with pytest.raises(InvalidInput, match="isolation"):
        parse_settings('isolation = "none"')
    with pytest.raises(InvalidInput, match="isolation"):
        parse_settings('isolation = "none: shipped code only"')
