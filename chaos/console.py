"""The run on the terminal: a line of progress while it goes on, and the result at the end."""

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaos.run_result import RunProgress, RunResult

PLAIN_EVERY_S = 5.0
out = Console(highlight=False)


class RunConsole:
    """Shows progress: in place on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=out, transient=True) if out.is_terminal else None
        self._last = 0.0
        self._stage = ""

    def __enter__(self) -> "RunConsole":
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, leaving the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def show(self, progress: RunProgress) -> None:
        """Say how far the run is."""
        line = _line(progress)
        if self._live is not None:
            self._live.update(Text(line))
        elif progress.stage != self._stage or time.monotonic() - self._last > PLAIN_EVERY_S:
            self._last, self._stage = time.monotonic(), progress.stage
            out.print(line, soft_wrap=True)


def show_json(progress: RunProgress) -> None:
    """Say how far the run is, for programs: one JSON object a line."""
    sys.stdout.write(json.dumps(progress.as_values()) + "\n")
    sys.stdout.flush()


def _line(progress: RunProgress) -> str:
    return (
        "{seconds:6.1f} s  {stage:<28} sent {sent:>5}  settled {settled:>5}  slow {slow:>4}  "
        "unknown {unknown:>3}  faults {faults:>4}  violations {violations}"
    ).format_map(progress.as_values())


def print_result(result: RunResult, page: Path) -> None:
    """Print the checks, the faults and the verdict."""
    checks = Table(box=None, pad_edge=False)
    for column in ("", "promise", "checked", "broken"):
        checks.add_column(column, justify="right" if column in ("checked", "broken") else "left")
    for each in result.checks:
        checks.add_row(each.name, each.promise, str(each.checked), str(each.count or "-"))
    out.print(checks)
    faults = Table(box=None, pad_edge=False)
    for column in ("fault", "level", "planned", "fired", "at least"):
        faults.add_column(column)
    for fault in result.faults:
        numbers = (str(fault.planned), str(fault.fired), str(fault.required))
        least = f"skipped: {fault.skipped}" if fault.skipped else numbers[2]
        faults.add_row(fault.name, fault.level, *numbers[:2], least)
    out.print()
    out.print(faults)
    agreement = result.agreement
    excused = agreement.excused.total()
    out.print(
        f"\npredicted {agreement.predicted}, fired {agreement.fired}, agreed {agreement.agreed}, "
        f"never got there {excused}, unexplained {len(agreement.unexplained)}"
    )
    for reason, count in agreement.excused.most_common(6):
        out.print(f"  {count:>5}  {reason}", style="dim")
    for name in ("calm", "unaffected", "affected"):
        found = getattr(result.latency, name)
        if found is not None:
            out.print(
                f"{name:>10}: {found.count} orders, p50 {found.p50 * 1000:.0f} ms, "
                f"p95 {found.p95 * 1000:.0f} ms, p99 {found.p99 * 1000:.0f} ms"
            )
    for each in result.checks:
        for violation in each.violations[:1]:
            out.print(f"{each.name}: {violation}", style="bold red")
            out.print(f"     again: {result.config.command}", style="red")
    if result.naive is not None:
        wrong = ", ".join(
            f"{count} {kind}" for kind, count in result.naive.kinds.most_common() if kind != "right"
        )
        right = f"{result.naive.correct} of {result.naive.orders} right"
        out.print(f"\nnaive baseline ({result.naive.policy}): {right}; {wrong or 'none wrong'}")
    counts = result.counts
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.states.items()))
    out.print(f"\n{counts.sent} orders sent in {result.seconds:.0f} s: {states}")
    out.print(f"report: {page}")
    if result.passed:
        out.print("KEPT: every promise, every planned fault fired.", style="bold green")
    else:
        out.print("BROKEN: see above.", style="bold red")
