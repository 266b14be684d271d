"""Sizes that a reader can hold: no module over 300 lines, no function over 50."""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
MAX_MODULE = 300
MAX_FUNCTION = 50


def modules() -> Iterator[Path]:
    for package in PROJECT.glob("*/__init__.py"):
        yield from package.parent.rglob("*.py")


def test_modules_are_short() -> None:
    lengths = {str(path.relative_to(PROJECT)): lines(path) for path in modules()}
    assert len(lengths) > 400, "the packages were not found"
    assert not {path: length for path, length in lengths.items() if length > MAX_MODULE}


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(PROJECT)} {node.name}": length
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION
    }
    assert not long


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())
