"""Runs inside the sandbox: every trial of one job, each in a process of its own.

    harness.py IN OUT          IN = /in and OUT = /out in a container

Reads `IN/job.json`: {"trials": [{"index", "arm", "seed"}], "config": {...}, "parallel": n,
"command": [...]}. Without a command it imports `IN/experiment/experiment.py` once and calls its
`run_trial`. A command is run once a trial, in a directory of its own, with {"index", "arm",
"seed", "config"} on its standard input, and leaves the trial's values there in `metrics.json`.
Leaves

    OUT/trials.jsonl          one line a trial, as it ends:
        {"index", "arm", "seed", "status": "ok" | "error", "seconds", "cpu_seconds",
         "values": {name: number or short list}, "arrays": "arrays/<index>.json" or null,
         "error": last lines of the traceback or null,
         "data_sha256": of what make_data made for it, or null, "data_note": why there is none}
    OUT/arrays/<index>.json   {name: nested lists}: what is longer than INLINE_NUMBERS
    OUT/artifacts/            whatever the experiment writes into its current directory

and prints `trial 3/40 ok` as each one ends. Everything in OUT is the code's own word.

`cpu_seconds` are those of the trial's process with its threads, and of each descendant that
was waited for; one that outlives the trial is not in them.

Exit code 0: every trial ended well. TRIALS_FAILED: at least one did not.
NOT_LOADABLE: the experiment could not be imported or has no run_trial.
"""

import hashlib
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
MOST_DATA_BYTES = 256 * 2**20
"""Of what make_data makes, as far as it is digested: about a second of a trial."""
MOST_DATA_VALUES = 200_000
"""The same for what is no array, and goes in one by one."""
DEEPEST_DATA = 32
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class BadValue(Exception):
    """A trial returned something that is not a named number or array."""


class NotCanonical(Exception):
    """What make_data returned has no one rendering in bytes, or too long a one."""


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
            pid, status, usage = os.wait4(-1, 0)
            if pid not in running:
                continue  # started by the experiment while it was imported
            trial, note, began = running.pop(pid)
            seconds = round(time.perf_counter() - began, 6)
            cpu_seconds = round(usage.ru_utime + usage.ru_stime, 6)
            line = {**trial, "seconds": seconds, "cpu_seconds": cpu_seconds, **outcome(status, note)}
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
    made = {"data_sha256": None, "data_note": None}
    try:
        if isinstance(experiment, Command):
            returned = experiment.values(trial, config)
        else:
            make_data = getattr(experiment, "make_data", None)
            data = {}
            if make_data is not None:
                data = make_data(trial["seed"], config)
                made = digested(data)  # before run_trial, which may change it
            returned = experiment.run_trial(trial["arm"], trial["seed"], config, data)
        return {**keep(named(returned), trial["index"], out_dir), **made}
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
    nothing = {"values": {}, "arrays": None, "data_sha256": None, "data_note": None}
    return {"status": "error", "error": tail[-ERROR_CHARACTERS:], **nothing}


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


def digested(data):
    """SHA-256 of `data` in one rendering, or why it has none."""
    rendering = Rendering()
    try:
        rendering.add(data)
    except NotCanonical as problem:
        return {"data_sha256": None, "data_note": str(problem)}
    return {"data_sha256": rendering.sha256.hexdigest(), "data_note": None}


SCALARS = {
    type(None): lambda _: b"",
    bool: lambda value: repr(value).encode(),
    float: lambda value: repr(value).encode(),
    complex: lambda value: repr(value).encode(),
    int: lambda value: hex(value).encode(),  # a decimal has a limit of digits
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: lambda value: value,
}


class Rendering:
    """Plain values and numpy's arrays as bytes: equal for equal content, whatever the order of a dict.

    Nothing is held but a buffer: an array goes in by pieces.
    """

    def __init__(self):
        self.sha256, self.values, self.bytes = hashlib.sha256(), 0, 0

    def add(self, value, depth=0):
        self.values += 1
        if self.values > MOST_DATA_VALUES:
            raise NotCanonical(f"more than {MOST_DATA_VALUES} values that stand in no array")
        if depth > DEEPEST_DATA:
            raise NotCanonical(f"nested deeper than {DEEPEST_DATA}")
        kind, numpy = type(value), sys.modules.get("numpy")
        if kind in SCALARS:
            self.put(kind.__name__, SCALARS[kind](value))
        elif kind in (list, tuple):
            self.put("list", str(len(value)).encode())
            for item in value:
                self.add(item, depth + 1)
        elif kind is dict:
            self.add_dict(value, depth)
        elif numpy is not None and (kind is numpy.ndarray or isinstance(value, numpy.generic)):
            self.add_array(numpy, numpy.asarray(value))
        else:
            raise NotCanonical(f"an object of type {kind.__name__[:100]}")

    def add_dict(self, value, depth):
        if any(type(key) not in (str, int) for key in value):
            raise NotCanonical("a dict with a key that is neither text nor an integer")
        self.put("dict", str(len(value)).encode())
        for key in sorted(value, key=lambda key: (type(key).__name__, key)):
            self.add(key, depth + 1)
            self.add(value[key], depth + 1)

    def add_array(self, numpy, array):
        if array.dtype.kind not in "biufcSUmM" or array.dtype.char in "gG":
            raise NotCanonical(f"an array of type {array.dtype.name[:100]}")
        self.room_for(array.nbytes)
        self.put("array", f"{array.dtype.str}{array.shape}".encode())
        pieces = numpy.nditer(array, flags=["external_loop", "buffered", "zerosize_ok"], order="C")
        for piece in pieces:
            self.sha256.update(piece.tobytes())

    def put(self, kind, data):
        self.room_for(len(data))
        self.sha256.update(f"{kind}:{len(data)}:".encode())
        self.sha256.update(data)

    def room_for(self, size):
        self.bytes += size
        if self.bytes > MOST_DATA_BYTES:
            raise NotCanonical(f"more than {MOST_DATA_BYTES >> 20} MB")


def numbers_in(value):
    return sum(numbers_in(item) for item in value) if isinstance(value, list) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
