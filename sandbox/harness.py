"""Runs inside the sandbox: every trial of one job, each in a process of its own.

    harness.py IN OUT          IN = /in and OUT = /out in a container

Reads `IN/job.json`: {"trials": [{"index", "arm", "seed"}], "config": {...}, "parallel": n,
"command": [...]}. Without a command it imports `IN/experiment/experiment.py` once and calls its
`run_trial`. A command is run once a trial, in a directory of its own, with {"index", "arm",
"seed", "config"} on its standard input, and leaves the trial's values there in `metrics.json`.
Leaves

    OUT/trials.jsonl          one line a trial, as it ends:
        {"index", "arm", "seed", "status": "ok" | "error", "seconds",
         "values": {name: number or short list}, "arrays": "arrays/<index>.json" or null,
         "error": last lines of the traceback or null}
    OUT/arrays/<index>.json   {name: nested lists}: what is longer than INLINE_NUMBERS
    OUT/artifacts/            whatever the experiment writes into its current directory

and prints `trial 3/40 ok` as each one ends. Everything in OUT is the code's own word.

Exit code 0: every trial ended well. TRIALS_FAILED: at least one did not.
NOT_LOADABLE: the experiment could not be imported or has no run_trial.
"""

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback

TRIALS_FAILED = 10
NOT_LOADABLE = 11

INLINE_NUMBERS = 16
"""Longer lists go to a file, so that `trials.jsonl` stays a page that people can read."""
DEEPEST = 8
"""Axes of an array."""
LARGEST_INTEGER = 2**53
"""Beyond it a JSON number is no longer exact."""
ERROR_LINES = 20
ERROR_CHARACTERS = 2000
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
PLACEHOLDER = re.compile(r"\{(arm|seed|experiment)\}")
"""In a command: the arm's name, the seed, the directory that holds the experiment's files."""
METRICS = "metrics.json"
MOST_METRICS = 256 * 2**20
"""Bytes of one trial's values, as the supervisor takes them."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class BadValue(Exception):
    """A trial returned something that is not a named number or array."""


class CommandFailed(Exception):
    """The program of a trial did not end well, or left nothing that can be read."""


def main(in_dir, out_dir):
    for name in THREADS:
        # One thread a trial: trials run side by side already, and sums keep one order.
        os.environ.setdefault(name, "1")
    with open(os.path.join(in_dir, "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    for name in ("arrays", "artifacts"):
        os.makedirs(os.path.join(out_dir, name), exist_ok=True)
    os.chdir(os.path.join(out_dir, "artifacts"))
    code = os.path.join(in_dir, "experiment")
    experiment = Command(job["command"], code, os.getcwd()) if job.get("command") else load(code)
    if experiment is None:
        return NOT_LOADABLE
    return 0 if run_all(job, experiment, out_dir) else TRIALS_FAILED


class Command:
    """A program as an experiment: the values of a trial are what it leaves in `metrics.json`."""

    def __init__(self, words, code, place):
        self.words, self.code, self.place = words, code, place

    def values(self, trial, config):
        """Run the program for one trial. Raises CommandFailed unless it ended well and left its values."""
        folder = os.path.join(self.place, f"trial-{trial['index']}")
        os.mkdir(folder)
        stands_for = {"arm": trial["arm"], "seed": str(trial["seed"]), "experiment": self.code}
        argv = [PLACEHOLDER.sub(lambda found: stands_for[found[1]], word) for word in self.words]
        about = json.dumps({**trial, "config": config}).encode()
        try:
            code = subprocess.run(argv, cwd=folder, input=about, check=False).returncode
        except OSError as error:
            raise CommandFailed(f"{argv[0]} could not be started: {error.strerror}") from error
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise CommandFailed(f"{argv[0]} {how}")
        found = read_metrics(os.path.join(folder, METRICS))
        os.unlink(os.path.join(folder, METRICS))  # it stands in OUT under the trial's own name
        if not os.listdir(folder):
            os.rmdir(folder)
        return found


def read_metrics(path):
    """What stands in `metrics.json`. Raises CommandFailed for what is not strict JSON."""
    if not os.path.isfile(path):
        raise CommandFailed(f"it ended well, but left no {METRICS} in its working directory")
    if os.path.getsize(path) > MOST_METRICS:
        raise CommandFailed(f"{METRICS} has more than {MOST_METRICS} bytes")
    with open(path, "rb") as file:
        data = file.read()
    try:
        found = json.loads(data.decode(), object_pairs_hook=unique, parse_constant=not_a_number)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"{METRICS} is not JSON: {error}") from error
    refuse_truth_values(found)
    return found


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)


def not_a_number(word):
    raise ValueError(f"{word} is not a finite number")


def refuse_truth_values(value):
    """Python would take true for 1; whoever wrote it into a file meant something else."""
    if isinstance(value, bool):
        raise CommandFailed(f"{METRICS} holds true or false where a number has to stand")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        refuse_truth_values(inner)


def load(directory):
    """The experiment's module, or None after printing why not."""
    sys.path.insert(0, directory)
    try:
        import experiment
    except BaseException:  # SystemExit too: a module that exits has not loaded
        traceback.print_exc()
        return None
    if not callable(getattr(experiment, "run_trial", None)):
        print("experiment.py defines no run_trial(arm, seed, config, data)", file=sys.stderr)
        return None
    return experiment


def run_all(job, experiment, out_dir):
    """Run the trials, up to `parallel` at a time. True if every one ended well."""
    waiting = list(reversed(job["trials"]))
    running = {}
    done, all_well = 0, True
    with open(os.path.join(out_dir, "trials.jsonl"), "ab", buffering=0) as lines:
        while waiting or running:
            while waiting and len(running) < job["parallel"]:
                trial = waiting.pop()
                pid, note = start(trial, job["config"], experiment, out_dir)
                running[pid] = (trial, note, time.perf_counter())
            pid, status = os.wait()
            if pid not in running:
                continue  # started by the experiment while it was imported
            trial, note, began = running.pop(pid)
            line = {**trial, "seconds": round(time.perf_counter() - began, 6), **outcome(status, note)}
            lines.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            done += 1
            all_well = all_well and line["status"] == "ok"
            print(f"trial {done}/{len(job['trials'])} {line['status']}", flush=True)
    return all_well


def start(trial, config, experiment, out_dir):
    """Fork a process for one trial. Returns its id and the open file in which it leaves its outcome."""
    # A file, not a pipe: it never fills while nobody reads, and a descendant that
    # outlives the trial cannot keep it from being read.
    note = tempfile.TemporaryFile()  # noqa: SIM115  closed by `outcome`
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            note.write(json.dumps(run_one(trial, config, experiment, out_dir), allow_nan=False).encode())
            note.flush()
            sys.stdout.flush()
            sys.stderr.flush()
            code = 0
        finally:
            os._exit(code)
    return pid, note


def outcome(status, note):
    """What the trial's process left, or how it died without leaving anything."""
    with note:
        note.seek(0)
        text = note.read()
    code = os.waitstatus_to_exitcode(status)
    if code == 0 and text:
        return json.loads(text)
    how = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return failed(f"the trial's process {how} before run_trial returned")


def run_one(trial, config, experiment, out_dir):
    random.seed(trial["seed"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(trial["seed"])
    try:
        if isinstance(experiment, Command):
            returned = experiment.values(trial, config)
        else:
            make_data = getattr(experiment, "make_data", None)
            data = {} if make_data is None else make_data(trial["seed"], config)
            returned = experiment.run_trial(trial["arm"], trial["seed"], config, data)
        return keep(named(returned), trial["index"], out_dir)
    except CommandFailed as problem:
        return failed(str(problem))
    except BadValue as problem:
        where = f"{METRICS} holds" if isinstance(experiment, Command) else "run_trial returned"
        return failed(f"{where} {problem}")
    except BaseException:  # SystemExit too: one trial's end is not the run's
        return failed("".join(traceback.format_exc()))


def keep(values, index, out_dir):
    """Short values stay in the line; the others go to the trial's own file."""
    long = {name: value for name, value in values.items() if numbers_in(value) > INLINE_NUMBERS}
    path = None
    if long:
        path = f"arrays/{index}.json"
        write_whole(os.path.join(out_dir, path), json.dumps(long, allow_nan=False).encode())
    short = {name: value for name, value in values.items() if name not in long}
    return {"status": "ok", "values": short, "arrays": path, "error": None}


def write_whole(path, data):
    """Write the file or leave none: half an array reads like a shorter one."""
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError:
        if os.path.exists(path):
            os.unlink(path)
        raise


def failed(text):
    tail = "\n".join(text.rstrip().splitlines()[-ERROR_LINES:])
    return {"status": "error", "values": {}, "arrays": None, "error": tail[-ERROR_CHARACTERS:]}


def named(returned):
    """`returned` as plain names and numbers. Raises BadValue for anything else."""
    if not isinstance(returned, dict):
        raise BadValue(f"{type(returned).__name__}, not a dict of named numbers and arrays")
    for name in returned:
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise BadValue(f"a name {str(name)[:80]!r}: use letters, digits and _ . -, a letter first")
    return {name: plain(value, name) for name, value in returned.items()}


def plain(value, name, depth=0):
    """A number, or lists of them. Truth values become 0 and 1; numpy's become Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        if depth == DEEPEST:
            raise BadValue(f"{name!r} nested deeper than {DEEPEST}")
        return [plain(item, name, depth + 1) for item in value]
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise BadValue(f"{name!r} with an integer beyond 2**53: return it as a float")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadValue(f"{name!r} with {value}: only finite numbers can be compared")
        return float(value)
    raise BadValue(f"{name!r} of type {type(value).__name__}: only numbers and arrays of numbers count")


def numbers_in(value):
    return sum(numbers_in(item) for item in value) if isinstance(value, list) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
