"""What can be said of an experiment's code without running it.

Every check takes a syntax tree and yields places; it judges names, not behaviour,
so it misses what is hidden on purpose. The sandbox is what holds; this is advice.
"""

import ast
import sys
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from autoresearch.monitors.wording import addressed_to_a_reviewer


class Spot(NamedTuple):
    line: int
    text: str
    """What stands there."""


_CLOCKS = frozenset(
    f"time.{name}"
    for clock in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
    for name in (clock, f"{clock}_ns")
) | {
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "time.localtime", "time.gmtime", "time.strftime", "time.ctime",
}  # fmt: skip
_SEEDED_MAKERS = frozenset(
    f"numpy.random.{name}"
    for name in ("default_rng", "RandomState", "SeedSequence", "PCG64", "MT19937", "Philox", "SFC64")
) | {"random.Random", "numpy.random.seed", "random.seed"}
"""Fine with an argument; without one they draw from the machine."""
_HARMLESS = frozenset({"numpy.random.Generator", "numpy.random.BitGenerator"})
_MACHINE_RANDOM = ("secrets", "uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom")
_OUTSIDE = frozenset(
    {
        "socket", "ssl", "http", "urllib", "urllib2", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib",
        "asyncio", "websockets", "webbrowser", "subprocess", "multiprocessing", "pty", "signal", "ctypes",
        "importlib", "runpy",
    }
)  # fmt: skip
"""Modules an experiment in a closed box has no use for, or that reach around its harness."""
_OUTSIDE_NAMES = (
    "os.environ", "os.getenv", "os.system", "os.popen", "os.fork", "os.kill", "os.exec", "os.spawn",
    "sys.settrace", "sys.setprofile", "sys.modules", "sys._getframe",
)  # fmt: skip
_RUN_TEXT = frozenset({"eval", "exec", "compile", "__import__"})


def aliases(tree: ast.Module) -> dict[str, str]:
    """Local name → what it imports, e.g. `np` → `numpy`, `rng` → `numpy.random.default_rng`."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                first = name.name.partition(".")[0]
                found[name.asname or first] = name.name if name.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return found


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """`np.random.rand` → `numpy.random.rand`; empty if it is no name of a module."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in known:
        return ""
    return ".".join([known[node.id], *reversed(parts)])


def clock_reads(tree: ast.Module) -> Iterator[Spot]:
    """Calls that read the clock."""
    for call, name in _calls(tree):
        if name in _CLOCKS:
            yield Spot(call.lineno, f"{name}()")


def unseeded_randomness(tree: ast.Module) -> Iterator[Spot]:
    """Draws that do not follow from the trial's seed."""
    calls = list(_calls(tree))
    seeds_global = {
        name for call, name in calls if name in ("random.seed", "numpy.random.seed") and _argued(call)
    }
    for call, name in calls:
        if name in _SEEDED_MAKERS:
            if not _argued(call):
                yield Spot(call.lineno, f"{name}() without a seed")
        elif name.startswith(_MACHINE_RANDOM):
            yield Spot(call.lineno, f"{name}()")
        elif name not in _HARMLESS and name.startswith(("numpy.random.", "random.")):
            generator = name.rpartition(".")[0]
            if f"{generator}.seed" not in seeds_global:
                yield Spot(call.lineno, f"{name}() draws from the unseeded global generator")


def outside_world(tree: ast.Module) -> Iterator[Spot]:
    """Imports and names that reach beyond the trial: network, processes, environment, the interpreter."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            reached = [name.name for name in node.names if name.name.partition(".")[0] in _OUTSIDE]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{name.name}" for name in node.names]
            reached = [node.module] if node.module.partition(".")[0] in _OUTSIDE else []
            reached += [name for name in whole if name.startswith(_OUTSIDE_NAMES)]
        elif isinstance(node, ast.Attribute):
            name = dotted(node, known)
            reached = [name] if name.startswith(_OUTSIDE_NAMES) and name.count(".") == 1 else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _RUN_TEXT:
            reached = [f"{node.func.id}()"]
        else:
            continue
        for name in reached:
            yield Spot(node.lineno, name)


def swallowed_errors(tree: ast.Module) -> Iterator[Spot]:
    """Handlers that catch everything and go on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.id if isinstance(node.type, ast.Name) else "" if node.type else "everything"
            goes_on = not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if caught in ("everything", "Exception", "BaseException") and goes_on:
                yield Spot(node.lineno, f"except {caught}")


def patched_modules(tree: ast.Module) -> Iterator[Spot]:
    """Assignments to attributes of imported modules."""
    known = aliases(tree)
    for node in ast.walk(tree):
        targets: Sequence[ast.expr] = ()
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            name = dotted(target, known) if isinstance(target, ast.Attribute) else ""
            if name:
                yield Spot(target.lineno, f"{name} = …")


def ignores_seed(tree: ast.Module) -> Iterator[Spot]:
    """Neither `run_trial` nor the data that it is given use the seed."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    trial, made = functions.get("run_trial"), functions.get("make_data")
    if trial is None or "seed" in _names(trial):
        return
    if made is None or "seed" not in _names(made) or "data" not in _names(trial):
        yield Spot(trial.lineno, "run_trial")


PROVIDED: dict[str, tuple[str, ...]] = {
    "cloudpickle": ("cloudpickle",), "contourpy": ("contourpy",), "cycler": ("cycler",), "fonttools": ("fontTools",),
    "joblib": ("joblib",), "kiwisolver": ("kiwisolver",), "matplotlib": ("matplotlib", "mpl_toolkits", "pylab"),
    "narwhals": ("narwhals",), "numpy": ("numpy",), "packaging": ("packaging",), "pillow": ("PIL",),
    "pyparsing": ("pyparsing",), "python-dateutil": ("dateutil",), "scikit-learn": ("sklearn",), "scipy": ("scipy",),
    "threadpoolctl": ("threadpoolctl",), "tzdata": ("tzdata",),
}  # fmt: skip
"""Package of the sandbox's own lock → what it lets an experiment import."""
_INSTALLED = sys.stdlib_module_names | {name for names in PROVIDED.values() for name in names}


def not_installed(tree: ast.Module, own: Container[str]) -> Iterator[Spot]:
    """Imports that nothing in the sandbox's own image answers. `own`: names of the experiment's modules."""
    guarded = {inner for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node in guarded:
            continue  # code that goes on without it
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            first = name.partition(".")[0]
            if first not in _INSTALLED and first not in own:
                yield Spot(node.lineno, f"import {first}")


def words(trees: Sequence[ast.Module]) -> set[str]:
    """Every string constant and keyword of the code: names that it may give to things."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
    return found


def addressed_text(source: str, tree: ast.Module) -> Iterator[Spot]:
    """Comments and strings that speak to a reviewer or monitor."""
    texts = [Spot(number, line.partition("#")[2]) for number, line in enumerate(source.split("\n"), 1)]
    texts += [
        Spot(node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    for spot in texts:
        for phrase in addressed_to_a_reviewer(" ".join(spot.text.split())):
            yield Spot(spot.line, phrase)


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Calls of functions of imported modules, with their full names."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func, known)
            if name:
                yield node, name


def _argued(call: ast.Call) -> bool:
    """True if the call has an argument other than a plain None."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(not (isinstance(value, ast.Constant) and value.value is None) for value in given)


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
