"""Benchmarks: measure what was promised, show one table, keep it as JSON."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from bench.harness.machine import circumstances
from bench.harness.results import Row, print_table, write_json
from bench.harness.stack import Harness, Plan, harness
from bench.sections.accept import accept
from bench.sections.backup import backup
from bench.sections.burst import burst
from bench.sections.hot_sku import hot_sku
from bench.sections.restore import restore
from bench.sections.startup import startup
from bench.sections.table_size import table_size
from bench.sections.throughput import throughput
from deploy.local.settings import PROJECT, StackSettings

# In this order: each of these has stacks of its own, first ...
BEFORE: dict[str, Callable[[Plan], Awaitable[list[Row]]]] = {"startup": startup}
# ... these share one, and leave their orders behind ...
SHARED: dict[str, Callable[[Harness, Plan], Awaitable[list[Row]]]] = {
    "throughput": throughput,
    "accept": accept,
    "hot": hot_sku,
    "burst": burst,
}
# ... or last.
AFTER: dict[str, Callable[[Plan], Awaitable[list[Row]]]] = {
    "flat": table_size,
    "backup": backup,
    "restore": restore,
}
FILE_WIDTH = 160  # of the table where nobody's screen is the limit
SECTIONS = (*BEFORE, *SHARED, *AFTER)


async def measure(plan: Plan, wanted: set[str]) -> list[Row]:
    """Run the sections in `wanted`."""
    rows: list[Row] = []
    for name, section in BEFORE.items():
        if name in wanted:
            rows += await section(plan)
    if wanted & set(SHARED):
        async with harness(plan) as shared:
            for name, sharing in SHARED.items():
                if name in wanted:
                    rows += await sharing(shared, plan)
    for name, section in AFTER.items():
        if name in wanted:
            rows += await section(plan)
    return rows


def run(only: set[str], *, quick: bool, json: Path) -> int:
    """Measure the sections in `only`; return 1 if a bar was missed."""
    console, began = Console(highlight=False), time.monotonic()
    if not console.is_terminal:
        console.width = FILE_WIDTH

    def say(what: str) -> None:
        console.print(f"  {time.monotonic() - began:6.1f} s  {what}", markup=False)

    plan = Plan(quick=quick, say=say)
    rows = asyncio.run(measure(plan, only))
    context = circumstances(StackSettings(home=PROJECT).temporal_synchronous)
    if plan.noise:
        low, high = min(plan.noise), max(plan.noise)
        context["others"] = f"used {low:.0%} to {high:.0%} of the machine meanwhile"
    console.print()
    print_table(console, rows, context)
    write_json(json, rows, {**context, "quick": quick})
    return 1 if any(row.met is False for row in rows) else 0
