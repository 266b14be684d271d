"""The run on the terminal: one line that lives while it goes on, and the verdict at the end."""

import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaos.run_result import Outcome, Progress

PLAIN_EVERY_S = 5.0
out = Console(highlight=False)


class Screen:
    """Shows progress: in place on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=out, transient=True) if out.is_terminal else None
        self._last = 0.0
        self._stage = ""

    def __enter__(self) -> "Screen":
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, leaving the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Say how far the run is."""
        line = _line(progress)
        if self._live is not None:
            self._live.update(Text(line))
        elif progress.stage != self._stage or time.monotonic() - self._last > PLAIN_EVERY_S:
            self._last, self._stage = time.monotonic(), progress.stage
            out.print(line, soft_wrap=True)


def _line(progress: Progress) -> str:
    tally = progress.tally
    return (
        f"{time.monotonic() - progress.began:6.1f} s  {progress.stage:<28} sent {tally.sent:>5}  "
        f"settled {tally.settled:>5}  slow {tally.slow:>4}  unknown {tally.unknown:>3}  "
        f"faults {progress.faults_fired:>4}  violations {progress.violations}"
    )


def print_verdict(outcome: Outcome, page: Path) -> None:
    """Print the checks, the faults and the verdict."""
    checks = Table(box=None, pad_edge=False)
    for column in ("", "promise", "checked", "broken"):
        checks.add_column(column, justify="right" if column in ("checked", "broken") else "left")
    for each in outcome.checks:
        checks.add_row(each.name, each.promise, str(each.checked), str(each.count or "-"))
    out.print(checks)
    faults = Table(box=None, pad_edge=False)
    for column in ("fault", "level", "planned", "fired", "at least"):
        faults.add_column(column)
    for fault in outcome.faults:
        numbers = (str(fault.planned), str(fault.fired), str(fault.required))
        least = f"skipped: {fault.skipped}" if fault.skipped else numbers[2]
        faults.add_row(fault.name, fault.level, *numbers[:2], least)
    out.print()
    out.print(faults)
    agreement = outcome.agreement
    excused = agreement.excused.total()
    out.print(
        f"\npredicted {agreement.predicted}, fired {agreement.fired}, agreed {agreement.agreed}, "
        f"never got there {excused}, unexplained {len(agreement.unexplained)}"
    )
    for reason, count in agreement.excused.most_common(6):
        out.print(f"  {count:>5}  {reason}", style="dim")
    for name in ("calm", "unaffected", "affected"):
        found = getattr(outcome.pace, name)
        if found is not None:
            out.print(
                f"{name:>10}: {found.count} orders, p50 {found.p50 * 1000:.0f} ms, "
                f"p95 {found.p95 * 1000:.0f} ms, p99 {found.p99 * 1000:.0f} ms"
            )
    for each in outcome.checks:
        for violation in each.violations[:1]:
            out.print(f"{each.name}: {violation}", style="bold red")
            out.print(f"     again: {outcome.options.command}", style="red")
    if outcome.naive is not None:
        wrong = ", ".join(
            f"{count} {kind}"
            for kind, count in outcome.naive.kinds.most_common()
            if kind != "right"
        )
        right = f"{outcome.naive.correct} of {outcome.naive.orders} right"
        out.print(f"\nnaive baseline ({outcome.naive.policy}): {right}; {wrong or 'none wrong'}")
    tally = outcome.tally
    states = ", ".join(f"{count} {state}" for state, count in sorted(tally.states.items()))
    out.print(f"\n{tally.sent} orders sent in {outcome.seconds:.0f} s: {states}")
    out.print(f"report: {page}")
    if outcome.passed:
        out.print("KEPT: every promise, every planned fault fired.", style="bold green")
    else:
        out.print("BROKEN: see above.", style="bold red")
