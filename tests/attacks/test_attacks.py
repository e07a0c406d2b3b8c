"""Every attack of this directory, in the real sandbox; docs/attacks.md has what came of each."""

import json
import os
import socket

import catalogue
import pytest
from judges import JUDGES

from autoresearch.records import ResourceLimits

pytestmark = pytest.mark.docker

ATTACKS = catalogue.attacks()
MOST_ARMS = 50
FILES = {"/out": 16_384, "/tmp": 4096, "/dev/shm": 4096}
CONFIG = {"processes": 64, "output_mb": 4, "files": FILES, "planted": f"autoresearch-{os.getpid()}"}
"""The limits, as the attacks are told them."""
LIMITS = ResourceLimits(seconds=60, memory_mb=192, cpus=1, processes=64, output_mb=4)
SHORT = LIMITS.model_copy(update={"seconds": 2})
OTHER_TIERS = ("gvisor", "bubblewrap")
ON_OTHER_TIERS = (
    "memory_single", "memory_children", "memory_everywhere", "memory_pipes", "time_stopped", "time_first_killed",
    "time_forking", "time_daemon",
    "time_all_killed", "log_flood", "out_sparse",
)  # fmt: skip
"""Those that another kernel, or another way to limit and to collect, could let pass; the rest is judged alike."""
NEVER_ENDING = ("time_ignored_signals", "time_stopped", "time_first_killed", "time_forking")
OWN_TESTS = ("lasting_neighbour", "lasting_recheck", "lasting_files")

every_tier = pytest.mark.parametrize("tier", ["docker", *OTHER_TIERS], indirect=True)
x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86_64")


def of(folder, prefixes=("",)):
    return [name for name, attack in ATTACKS.items() if attack.folder == folder and name.startswith(prefixes)]


BATCHES = {
    "calls": of("inside", ("call_", "net_")),
    "rest": of("inside", ("read_", "write_", "rights_", "fill_")),
}


def test_every_attack_says_what_it_tries_and_has_a_judge():
    assert len(ATTACKS) >= 60
    assert all(attack.tries and attack.held_by for attack in ATTACKS.values())
    assert sorted(BATCHES["calls"] + BATCHES["rest"]) == of("inside")
    assert max(map(len, BATCHES.values())) <= MOST_ARMS
    assert sorted(JUDGES) == sorted({*of("outputs"), *of("alone")} - {"lasting_recheck"})


@x86_64
@every_tier
@pytest.mark.parametrize("batch", BATCHES)
def test_attacks_that_judge_themselves(carry_out, table, batch):
    names = BATCHES[batch]
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind("\0" + CONFIG["planted"])
        planted.listen()
        ran = carry_out(
            batch,
            "runner.py",
            *(f"inside/{name}.py" for name in names),
            arms=names,
            trials_per_arm=1,
            config=CONFIG,
            limits=LIMITS.model_copy(
                update={"memory_mb": 512, "seconds": 200}
            ),  # gVisor keeps what a kernel keeps in there too
        )
    lines = {line["arm"]: line for line in map(json.loads, ran.files["trials.jsonl"].splitlines())}
    assert {name: line["error"] for name, line in lines.items() if line["status"] != "ok"} == {}
    assert len(lines) == len(names), (ran.facts, ran.log)
    came_of = {name: json.loads(ran.files[f"artifacts/{name}.json"]) for name in names}
    assert all(came_of.values())
    table({name: worked(outcomes) for name, outcomes in came_of.items()})


@x86_64
def test_attacks_see_a_container_that_holds_little(carry_out_plainly, note):
    """Otherwise an attack that is broken would count as held."""
    names = sorted(of("inside"), key=lambda name: (name == "write_own_code", name))  # which breaks the others
    fewer = dict.fromkeys(FILES, 500)  # a disk takes its time
    came_of = carry_out_plainly(names, {**CONFIG, "files": fewer})
    assert sorted(came_of) == sorted(names)
    working = {name: worked(outcomes) for name, outcomes in came_of.items()}
    note("plain", working)
    assert sum(map(bool, working.values())) >= 30, working


def worked(outcomes):
    return {what: outcome for what, outcome in outcomes.items() if outcome.startswith("worked")}


@every_tier
def test_attacks_by_what_is_left(carry_out, table):
    names = of("outputs")
    ran = carry_out(
        "outputs", "runner.py", *(f"outputs/{name}.py" for name in names), arms=names, trials_per_arm=1
    )
    assert ran.facts.exit_code == 0, ran.log
    table({name: JUDGES[name](ran) for name in names})


@pytest.mark.parametrize(
    ("tier", "name"),
    [("docker", name) for name in of("alone") if name not in OWN_TESTS]
    + [(tier, name) for tier in OTHER_TIERS for name in ON_OTHER_TIERS],
    indirect=["tier"],
)
def test_attack_alone(carry_out, table, name):
    limits = {"limits": SHORT} if name in NEVER_ENDING else {}
    ran = carry_out(
        name, f"alone/{name}.py", **{"trials_per_arm": 2 if name.startswith("forged") else 1, **limits}
    )
    table({name: JUDGES[name](ran)})


def test_nothing_lasts_from_one_run_to_the_next(carry_out, table):
    first, second = (carry_out(f"lasting-{n}", "alone/lasting_files.py", trials_per_arm=1) for n in range(2))
    table({"lasting_files": JUDGES["lasting_files"](first) + JUDGES["lasting_files"](second)})


NEIGHBOUR = """
import time
def run_trial(arm, seed, config, data):
    for place in ("/out", "/tmp", "/dev/shm"):
        with open(f"{place}/mine", "w") as file:
            file.write("NEIGHBOUR" + "-MARK")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_neighbour_is_out_of_reach(carry_out, sandbox, table, tmp_path, monkeypatch):
    (tmp_path / "neighbour.py").write_text(NEIGHBOUR)
    carry_out.submit("neighbour", tmp_path / "neighbour.py", trials_per_arm=1)
    ran = carry_out("lasting-neighbour", "alone/lasting_neighbour.py", trials_per_arm=1)
    table({"lasting_neighbour": JUDGES["lasting_neighbour"](ran)})


def test_a_recheck_looks_like_the_run(carry_out, table):
    first, again = (
        json.loads(
            carry_out(name, "alone/lasting_recheck.py", trials_per_arm=1).files["artifacts/about.json"]
        )
        for name in ("run", "run-recheck")
    )
    table(
        {
            "lasting_recheck": [
                f"{first[what]} / {again[what]}" for what in first if first[what] != again[what]
            ]
        }
    )
