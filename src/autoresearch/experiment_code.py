"""The contract between the product and the experiment's code, read from the source alone.

`experiment.py` defines `run_trial(arm, seed, config, data)` and may define
`make_data(seed, config)`. Nothing here runs the code.
"""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

MAIN = "experiment/experiment.py"
SIGNATURES = {"run_trial": ("arm", "seed", "config", "data"), "make_data": ("seed", "config")}


@dataclass(frozen=True)
class CodeProblem:
    line: int
    """In the Python file, from 1."""
    message: str


def parse(source: str | bytes) -> ast.Module | CodeProblem:
    """The syntax tree, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.parse(source)
    except SyntaxError as error:
        return CodeProblem(error.lineno or 1, f"python: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        # null bytes, and nesting beyond what the parser's stack holds
        return CodeProblem(1, f"python cannot read it: {error or type(error).__name__}")


def contract_problems(tree: ast.Module) -> Iterator[CodeProblem]:
    """What keeps `tree`, the main file, from being called as the harness calls it."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name in SIGNATURES:
            functions.pop(node.name, None)
            yield CodeProblem(node.lineno, f"`{node.name}` is async; it must be a plain function")
            return
    if "run_trial" not in functions:
        yield CodeProblem(1, "define `run_trial(arm, seed, config, data)` at the top level")
    for name, parameters in SIGNATURES.items():
        if name in functions and not _takes(functions[name].args, parameters):
            wanted = f"{name}({', '.join(parameters)})"
            given = f"{name}({', '.join(_names(functions[name].args))})"
            yield CodeProblem(functions[name].lineno, f"must be `{wanted}`, is `{given}`")


def _names(arguments: ast.arguments) -> list[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in every]


def _takes(arguments: ast.arguments, names: tuple[str, ...]) -> bool:
    """True if a call with `names`, by position or by keyword, fits."""
    given = [argument.arg for argument in arguments.args]
    spare = len(given) - len(names)
    return (
        not arguments.posonlyargs
        and tuple(given[: len(names)]) == names
        and spare <= len(arguments.defaults)
        and all(default is not None for default in arguments.kw_defaults)
    )


def without_words(tree: ast.Module, *, leave_out: str = "") -> str:
    """What the code does, for comparing: no comments, layout or docstrings, and no function `leave_out`."""
    kept = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == leave_out)]
    return ast.dump(_NoDocstrings().visit(ast.Module(body=kept, type_ignores=[])))


def function(tree: ast.Module, name: str) -> ast.Module:
    """The function alone; empty if the module has none of that name."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return ast.Module(body=list(found), type_ignores=[])


class _NoDocstrings(ast.NodeTransformer):
    """Copies, so that the tree that it was given stays as it is."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        return ast.Module(body=_undocumented(self, node.body), type_ignores=[])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return _copy(node, body=_undocumented(self, node.body))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return _copy(node, body=_undocumented(self, node.body))


def _undocumented(visitor: ast.NodeTransformer, body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    documented = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return [visitor.visit(node) for node in body[1 if documented else 0 :]]


N = TypeVar("N", bound=ast.AST)


def _copy(node: N, **changes: object) -> N:
    return type(node)(**{**dict(ast.iter_fields(node)), **changes})
