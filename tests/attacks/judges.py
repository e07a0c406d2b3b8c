"""What the host holds against an attack that does not judge itself.

A judge is given what the host has of the run and returns what went wrong: nothing, if the attack was held.
"""

import json

from autoresearch.adapters import docker_policy as policy
from autoresearch.jobs import HEAD_BYTES, MOST_FILES, TAIL_BYTES
from autoresearch.safe_text import decode, escape

JUDGES = {}
LOG_BYTES = HEAD_BYTES + TAIL_BYTES + 100


def judge(act):
    JUDGES[act.__name__] = act
    return act


def unless(**expected):
    """The names of what is not true."""
    return [name for name, true in expected.items() if not true]


def left(ran, name):
    """What the host took of an attack's own directory, by path below it."""
    prefix = f"artifacts/{name}/"
    return {path.removeprefix(prefix): data for path, data in ran.files.items() if path.startswith(prefix)}


def only_kept(ran, name):
    return [path for path in left(ran, name) if path != "kept.txt"] + unless(
        kept=left(ran, name).get("kept.txt") == b"kept",
        refusals_readable=all(line.isascii() and line.isprintable() for line in ran.refused),
    )


# ------------------------------------------------------------------- outputs/


@judge
def out_links(ran):
    return only_kept(ran, "out_links")


@judge
def out_special_files(ran):
    return only_kept(ran, "out_special_files")


@judge
def out_names(ran):
    return only_kept(ran, "out_names")


@judge
def out_attributes(ran):
    return only_kept(ran, "out_attributes")


@judge
def out_second_names(ran):
    return unless(one_name=len(left(ran, "out_second_names")) == 1)


@judge
def out_modes(ran):
    # `Collected` has no place for a mode or an owner; contents are all that comes.
    return unless(contents_only=set(left(ran, "out_modes").values()) <= {b"kept"})


@judge
def out_git(ran):
    return [
        path
        for path in left(ran, "out_git")
        if ".git" in path.lower().split("/") or "HEAD" in path.split("/")
    ]


@judge
def out_bare_repository(ran):
    return [path for path in left(ran, "out_bare_repository") if path.lower().endswith("head")]


@judge
def out_long(ran):
    return list(left(ran, "out_long"))


@judge
def out_nested(ran):
    return list(left(ran, "out_nested"))


@judge
def out_bomb(ran):
    taken = left(ran, "out_bomb")
    return unless(
        as_it_was=set(taken) == {"bomb.gz", "bomb.zip"}, small=sum(map(len, taken.values())) < 2**20
    )


@judge
def out_elsewhere(ran):
    return [
        path
        for path in ran.files
        if path != "trials.jsonl" and not path.startswith(("arrays/", "artifacts/"))
    ]


# --------------------------------------------------------------------- alone/


@judge
def out_many(ran):
    return unless(few=len(ran.files) <= MOST_FILES, soon=ran.seconds < 30)


@judge
def out_sparse(ran):
    size = sum(map(len, ran.files.values()))
    return unless(small=size <= ran.limits.output_mb * 2**20, marked=ran.facts.output_truncated) + completed(
        ran
    )


@judge
def out_unnameable(ran):
    return [path for path in ran.files if path.startswith("artifacts/")] + unless(soon=ran.seconds < 30)


@judge
def out_places_swapped(ran):
    return list(ran.files) + completed(ran)


def within(ran):
    # gVisor's own memory comes on top where it is the kernel; as sampled while somebody watched.
    # Once, on a busy machine, a run in gVisor that was killed at the limit was sampled above it; by how
    # much was not kept.
    return (ran.facts.peak_memory_mb or 0) <= 1.05 * policy.memory_mb(ran.limits, policy.RUNSC)


def out_of_memory(ran):
    # None, under gVisor only: the engine missed the cause of a kill, and the run counts as crashed.
    missed = ran.facts.out_of_memory is None and ran.facts.exit_code == 137
    return unless(
        seen=ran.facts.out_of_memory is True or missed,
        status=ran.status == ("Crashed" if missed else "OutOfMemory"),
        below_the_limit=within(ran),
    )


for name in ("memory_single", "memory_children", "memory_file", "memory_shared", "memory_everywhere"):
    JUDGES[name] = out_of_memory


@judge
def memory_pipes(ran):
    return unless(below_the_limit=ran.facts.out_of_memory or within(ran))


def ended_in_time(ran):
    return unless(
        ended=ran.facts.wall_seconds <= ran.limits.seconds + policy.BACKUP_SECONDS + 1,
        status=ran.status == "TimedOut",
        nobody_left=ran.survivors == [],
    )


for name in ("time_ignored_signals", "time_stopped", "time_forking"):
    JUDGES[name] = ended_in_time


@judge
def time_first_killed(ran):
    return completed(ran) + unless(
        nobody_left=ran.survivors == [],
        ended=ran.facts.wall_seconds <= ran.limits.seconds + policy.BACKUP_SECONDS + 1,
    )


@judge
def time_daemon(ran):
    return unless(nobody_left=ran.survivors == [], ended=ran.facts.wall_seconds < ran.limits.seconds)


def completed(ran):
    return ["completed"] if ran.status == "Completed" else []


@judge
def time_all_killed(ran):
    return completed(ran) + unless(nobody_left=ran.survivors == [])


@judge
def time_first_ended(ran):
    return completed(ran) + unless(nobody_left=ran.survivors == [])


@judge
def time_quota(ran):
    # The first seconds of eight busy processes; a tenth for the measuring itself.
    return unless(share=ran.facts.cpu_seconds / ran.facts.wall_seconds < 1.1 * ran.limits.cpus + 0.1)


@judge
def log_flood(ran):
    return unless(
        bounded=len(ran.log) < LOG_BYTES,
        marked=ran.log_truncated and b"bytes left out]" in ran.log,
        beginning=ran.log.startswith(b"the beginning"),
        went_on=ran.facts.exit_code == 0,
    )


@judge
def log_one_line(ran):
    return unless(
        bounded=len(ran.log) < LOG_BYTES, marked=ran.log_truncated, went_on=ran.facts.exit_code == 0
    )


@judge
def log_escapes(ran):
    shown = escape(decode(ran.log))
    return unless(
        arrived=b"\x1b[2J" in ran.log,
        escaped=all(char in "\n\t" or char.isprintable() for char in shown),
        named="<U+202E>" in shown and "<byte 9B>" in shown,
    )


@judge
def log_progress(ran):
    return completed(ran) + unless(none_counted=ran.done == 0)


def found_nothing(ran):
    """The attack reports how many marks it found."""
    lines = [json.loads(line) for line in ran.files["trials.jsonl"].splitlines()]
    arrays = [json.loads(ran.files[line["arrays"]]) for line in lines if line["status"] == "ok"]
    return unless(
        ran=len(arrays) == len(ran.trials), nothing=all(values["many"] == [0.0] * 20 for values in arrays)
    )


JUDGES["lasting_files"] = JUDGES["lasting_neighbour"] = found_nothing


def refused(reason):
    """A judge: the run is not completed, for this reason."""
    return lambda ran: completed(ran) + unless(reason=reason in ran.why)


for name, reason in {
    "forged_empty": "0 of 4 trials",
    "forged_missing": "3 of 4 trials",
    "forged_extra": "no trial 4 was issued",
    "forged_twice": "stands here a second time",
    "forged_arm": "was issued as arm",
    "forged_seed": "but stands here as arm",
    "forged_not_finite": "is not a finite number",
    "forged_keys": "stands twice in one object",
    "forged_kinds": "true or false where a number",
    "forged_depth": "nested deeper",
    "forged_line": "too many digits",
    "forged_text": "not UTF-8",
    "forged_path": "arrays must be",
    "forged_arrays": "nested deeper",
    "forged_status": "many",
}.items():
    JUDGES[name] = refused(reason)

JUDGES["forged_well"] = completed
