"""Command `valerix bench`."""

from pathlib import Path
from typing import Annotated

import typer


def register(valerix: typer.Typer) -> None:
    """Add the command to the command line."""
    valerix.command()(bench)


def bench(
    only: Annotated[
        str | None, typer.Option(help="Some of the sections, with commas; all unless told.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A third of the time, less exact.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Where to keep it; reports/bench.json.")] = None,
) -> None:
    """Measure: one table, and JSON for programs. Exit code 1 if a bar was missed."""
    from bench.measure import SECTIONS, run
    from deploy.local.settings import PROJECT

    wanted = {name.strip() for name in only.split(",") if name.strip()} if only else set(SECTIONS)
    if unknown := wanted - set(SECTIONS):
        raise typer.BadParameter(
            f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}"
        )
    raise typer.Exit(run(wanted, quick=quick, json=json or PROJECT / "reports" / "bench.json"))
