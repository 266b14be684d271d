"""Results: one row a figure, one table for a person, one file for a program."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `met` is None where no bar was set."""

    section: str
    what: str
    value: float
    unit: str
    bar: str = ""
    met: bool | None = None
    note: str = ""


def at_most(limit: float, unit: str, value: float) -> dict[str, Any]:
    """Return the bar and verdict of a figure that should be low."""
    return {"bar": f"<= {limit:g} {unit}".strip(), "met": value <= limit}


def at_least(limit: float, unit: str, value: float) -> dict[str, Any]:
    """Return the bar and verdict of a figure that should be high."""
    return {"bar": f">= {limit:g} {unit}".strip(), "met": value >= limit}


def shown(value: float) -> str:
    """Return three figures or so of `value`."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def print_table(console: Console, rows: Sequence[Row], context: dict[str, Any]) -> None:
    """Show all rows, and beneath them under which circumstances they hold."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("section", style="dim", no_wrap=True)
    table.add_column("what")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("bar", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("note", style="dim")
    section = ""
    for row in rows:
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[row.met]
        name = row.section if row.section != section else ""
        section = row.section
        figure = (row.what, shown(row.value), row.unit, row.bar, verdict, row.note)
        table.add_row(name, *figure)
    console.print(table)
    for name, value in context.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        console.print(f"{name}: {text}", style="dim", soft_wrap=True, markup=False)


def write_json(file: Path, rows: Sequence[Row], context: dict[str, Any]) -> None:
    """Keep the same for programs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    found = {**context, "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps(found, indent=2) + "\n")
