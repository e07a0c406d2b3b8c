"""The harness as it runs inside: a plain Python process over two directories."""

import importlib.util
import json
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from autoresearch import assets

HARNESS = assets.sandbox() / "harness.py"


@pytest.fixture
def harness(tmp_path):
    def run(code, arms, *, parallel=2, config=None, seeds=None):
        (tmp_path / "in" / "experiment").mkdir(parents=True)
        (tmp_path / "in" / "experiment" / "experiment.py").write_text(code)
        trials = [
            {"index": n, "arm": arm, "seed": seeds[n] if seeds else 10 + n} for n, arm in enumerate(arms)
        ]
        job = {"trials": trials, "config": config or {}, "parallel": parallel}
        (tmp_path / "in" / "job.json").write_text(json.dumps(job))
        (tmp_path / "out").mkdir()
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-B", HARNESS, tmp_path / "in", tmp_path / "out"],
            capture_output=True,
            text=True,
            check=False,
        )
        path = tmp_path / "out" / "trials.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return done, {line["index"]: line for line in lines}, tmp_path / "out"

    return run


def test_values_short_and_long(harness):
    code = """
def make_data(seed, config):
    return {"base": seed * config["scale"]}

def run_trial(arm, seed, config, data):
    return {"x": data["base"], "few": (1, 2.5), "many": list(range(17)), "grid": [[0] * 4] * 4}
"""
    done, lines, out = harness(code, ["a", "b"], config={"scale": 2})
    assert done.returncode == 0, done.stderr
    assert lines[1]["arm"] == "b"
    assert lines[1]["seed"] == 11
    assert lines[1]["values"] == {"x": 22, "few": [1, 2.5], "grid": [[0] * 4] * 4}
    assert lines[1]["arrays"] == "arrays/1.json"
    assert lines[1]["error"] is None
    assert json.loads((out / "arrays" / "1.json").read_text()) == {"many": list(range(17))}
    assert done.stdout.splitlines() == ["trial 1/2 ok", "trial 2/2 ok"]


def test_numpy_values_become_plain_numbers(harness):
    code = """
import numpy as np

def run_trial(arm, seed, config, data):
    return {"scalar": np.float64(0.5), "int": np.int64(3), "truth": np.array([True, False]),
            "matrix": np.arange(20.0).reshape(4, 5), "float32": np.float32(0.1)}
"""
    _, lines, out = harness(code, ["a"])
    assert lines[0]["values"] == {"scalar": 0.5, "int": 3, "truth": [1, 0], "float32": pytest.approx(0.1)}
    assert json.loads((out / "arrays" / "0.json").read_text())["matrix"][3] == [15.0, 16.0, 17.0, 18.0, 19.0]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ('{"x": float("nan")}', "'x' with nan"),
        ('{"x": [1.0, float("inf")]}', "'x' with inf"),
        ('{"x": "0.5"}', "'x' of type str"),
        ('{"x": None}', "'x' of type NoneType"),
        ('{"x": {"y": 1}}', "'x' of type dict"),
        ('{"x": 2**60}', "beyond 2**53"),
        ('{"a b": 1}', "a name 'a b'"),
        ("{1: 2}", "a name '1'"),
        ("[1, 2]", "list, not a dict"),
        ("None", "NoneType, not a dict"),
        ('{"x": [[[[[[[[[1]]]]]]]]]}', "nested deeper"),
    ],
)
def test_a_value_that_is_no_number_fails_the_trial(harness, returned, reason):
    code = f"def run_trial(arm, seed, config, data):\n    return {returned} if arm == 'bad' else {{'x': 1}}\n"
    done, lines, _ = harness(code, ["bad", "good"])
    assert done.returncode == 10
    assert (lines[0]["status"], lines[1]["status"]) == ("error", "ok")
    assert reason in lines[0]["error"]
    assert "Traceback" not in lines[0]["error"]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("raise ValueError('odd')", "ValueError: odd"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import os; os._exit(0)", "ended with exit code 0 before"),
        ("import os; os._exit(7)", "ended with exit code 7 before"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by signal 11 before"),
    ],
)
def test_a_trial_that_dies_costs_no_other(harness, statement, reason):
    code = f"def run_trial(arm, seed, config, data):\n    if arm == 'bad':\n        {statement}\n    return {{'x': 1}}\n"
    done, lines, _ = harness(code, ["good", "bad", "good"])
    assert done.returncode == 10
    assert [lines[n]["status"] for n in range(3)] == ["ok", "error", "ok"]
    assert reason in lines[1]["error"]
    assert max(done.stdout.splitlines()) in ("trial 3/3 ok", "trial 3/3 error")


def test_long_traceback_keeps_its_end(harness):
    code = "def run_trial(arm, seed, config, data):\n    raise ValueError('x' * 9000 + 'end')\n"
    _, lines, _ = harness(code, ["a"])
    assert len(lines[0]["error"]) <= 2000
    assert lines[0]["error"].endswith("end")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
        ("raise SystemExit(0)\n", "SystemExit"),
        ("x = 1\n", "defines no run_trial"),
    ],
)
def test_a_module_that_cannot_be_loaded_has_its_own_exit_code(harness, code, reason):
    done, lines, _ = harness(code, ["a"])
    assert done.returncode == 11
    assert lines == {}
    assert reason in done.stderr


BURN = """
import time

def burn(seconds):
    until = time.{clock}() + seconds
    while time.{clock}() < until:
        pass
"""


def test_cpu_time_of_a_trial_counts_threads_and_children_that_were_waited_for(harness):
    code = (
        BURN.format(clock="thread_time")
        + """
import os
from threading import Thread

def run_trial(arm, seed, config, data):
    if arm == "threads":
        threads = [Thread(target=burn, args=(0.2,)) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    if arm == "child":
        pid = os.fork()
        if pid == 0:
            burn(0.4)
            os._exit(0)
        os.waitpid(pid, 0)
    if arm == "sleeper":
        time.sleep(0.4)
    return {"x": 1}
"""
    )
    _, lines, _ = harness(code, ["threads", "child", "sleeper"])
    taken = {line["arm"]: line["cpu_seconds"] for line in lines.values()}
    assert taken["threads"] >= 0.4
    assert taken["child"] >= 0.4
    assert taken["sleeper"] < 0.3 < lines[2]["seconds"]


MADE = {
    "a list": "[1, 2.5, None, 'é', b'x', (True, 1j)]",
    "a dict": "{'b': [2], 'a': {1: 'x', 'y': 0}}",
    "a random array": "np.random.default_rng(seed).normal(size=(300, 40))",
    "a turned array": "np.arange(60000.0).reshape(300, 200).T[::2]",
    "other arrays": "[np.array(['a', 'bc']), np.array('2020-01-01', 'M8[D]'), np.float32(1), np.zeros((0, 3))]",
}


@pytest.mark.parametrize("made", MADE)
def test_data_have_a_digest_that_arms_of_a_seed_share(harness, made):
    code = f"""
import numpy as np

def make_data(seed, config):
    return {{"it": {MADE[made]}, "odd": config.get("odd")}}

def run_trial(arm, seed, config, data):
    data.clear()  # what a trial does with its data is not in the digest
    return {{"x": 1}}
"""
    _, lines, _ = harness(code, ["a", "b"], seeds=[5, 5])
    assert len(lines[0]["data_sha256"]) == 64
    assert lines[0]["data_sha256"] == lines[1]["data_sha256"]
    assert lines[0]["data_note"] is None


def digest(value):
    made = harness_module().digested(value)
    return made["data_sha256"], made["data_note"]


def harness_module():
    spec = importlib.util.spec_from_file_location("harness_under_test", HARNESS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_digest_depends_on_content_alone():
    base = np.arange(12.0).reshape(3, 4)
    same = [
        (base, np.asfortranarray(base)),
        (base[::2], base[::2].copy()),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], (1, 2)),
    ]
    for one, other in same:
        assert digest(one)[0] is not None
        assert digest(one) == digest(other)


def test_the_digest_depends_on_every_value():
    base = np.arange(12.0)
    changed = base.copy()
    changed[7] = np.nextafter(7, 8)
    values = [
        base, changed, base.reshape(3, 4), base.astype("f4"), base[::-1],
        [1], [1.0], ["1"], [True], [[1]], [1, None], {"a": [1, 2]}, {"a": [1], "b": 2}, ["ab", "c"], ["a", "bc"],
        0.0, -0.0, 10**5000, b"a", "a", [], {}, None,
    ]  # fmt: skip
    digests = [digest(value)[0] for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)


def nested(depth):
    return [] if depth == 0 else [nested(depth - 1)]


def itself():
    ring = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "an object of type object"),
        ({"rng": np.random.default_rng(1)}, "an object of type Generator"),
        (np.ma.array([1]), "an object of type MaskedArray"),
        (np.array([None]), "an array of type object"),
        (np.zeros(2, "i4,f8"), "an array of type void"),
        (np.longdouble(1), "an array of type float128"),
        ({(1, 2): 3}, "a dict with a key"),
        ([0] * 200_001, "more than 200000 values"),
        (nested(40), "nested deeper than 32"),
        (itself(), "nested deeper than 32"),
        (np.broadcast_to(np.float64(0), (2**13, 2**13)), "more than 256 MB"),
    ],
)
def test_what_has_no_one_rendering_says_why(value, why):
    found, note = digest(value)
    assert found is None
    assert why in note
    assert len(note) <= 200


def test_a_digest_takes_no_copy_of_the_data():
    data = np.zeros((1500, 4000)).T  # 48 MB, and not in one piece
    digested = harness_module().digested
    tracemalloc.start()
    assert digested(data)["data_sha256"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_data_without_a_digest_fail_no_trial(harness):
    code = "def make_data(seed, config):\n    return {'f': print}\n\ndef run_trial(arm, seed, config, data):\n    return {'x': 1}\n"
    done, lines, _ = harness(code, ["a"])
    assert done.returncode == 0
    assert (lines[0]["data_sha256"], lines[0]["data_note"]) == (
        None,
        "an object of type builtin_function_or_method",
    )


def test_same_seed_same_bytes_even_from_global_generators(harness, tmp_path):
    code = """
import random
import numpy as np

def run_trial(arm, seed, config, data):
    return {"x": random.random(), "y": np.random.rand(), "hash": hash("text") % 1000 if arm == "h" else 0}
"""
    _, first, _ = harness(code, ["a"])
    again = subprocess.run(
        [sys.executable, "-s", "-P", "-B", HARNESS, tmp_path / "in", tmp_path / "out"],
        check=True,
        capture_output=True,
    )
    assert again.returncode == 0
    second = json.loads((tmp_path / "out" / "trials.jsonl").read_text().splitlines()[1])
    assert second["values"] == first[0]["values"]


def test_relative_files_are_artifacts(harness):
    code = "def run_trial(arm, seed, config, data):\n    open('note.txt', 'w').write('kept')\n    return {'x': 1}\n"
    _, _, out = harness(code, ["a"])
    assert (out / "artifacts" / "note.txt").read_text() == "kept"


@pytest.mark.parametrize(("parallel", "least", "most"), [(1, 1.2, 9.0), (4, 0.3, 1.1)])
def test_runs_as_many_at_a_time_as_it_may(harness, parallel, least, most):
    code = "import time\ndef run_trial(arm, seed, config, data):\n    time.sleep(0.3)\n    return {'x': 1}\n"
    began = time.monotonic()
    done, lines, _ = harness(code, ["a"] * 4, parallel=parallel)
    assert done.returncode == 0
    assert len(lines) == 4
    assert least <= time.monotonic() - began < most


def test_a_descendant_that_outlives_its_trial_delays_nothing(harness):
    code = """
import os, time

def run_trial(arm, seed, config, data):
    if os.fork() == 0:
        os.setsid()
        os.close(1); os.close(2)
        time.sleep(5)
        os._exit(0)
    return {"x": 1}
"""
    began = time.monotonic()
    done, _, _ = harness(code, ["a"])
    assert done.returncode == 0
    assert time.monotonic() - began < 4
