"""Reports panel: start a verification run, see its verdict, and open the reports."""

import asyncio
import time
from functools import partial
from html import escape

from nicegui import background_tasks, ui

from ui import labels
from ui.components.layout import PageContext, block, button, html, text
from ui.live.verification import Report


class ReportsPanel:
    """One page's view of the verification runs."""

    def __init__(self, context: PageContext) -> None:
        self.context = context
        self.runs = context.backend.verification
        self.may_start = context.backend.settings.fault_injection
        self.shown: object = self
        self.starter: ui.button | None = None
        self.stopper: ui.button | None = None

    async def build(self) -> None:
        """Build the panel."""
        with block("card", "section").props("aria-label=Verification"):
            with block("stack").style("gap: 4px"):
                text("Prove it", "h2")
                text(
                    "A run sends some hundred orders to a system of its own, breaks that in the "
                    "ways that its scenario says, and judges every order by the databases. It "
                    "takes a minute or two, and this shop goes on undisturbed, if a little slower.",
                    "p",
                    "soft",
                )
            self.controls = block("line")
            self.status = text("", "p", "number").props("role=status")
            self.list = html("", "div", "tablebox")
        await self.show()
        self.context.backend.operations.changed.subscribe(self.show)

    def _start(self, scenarios: dict[str, str]) -> None:
        with self.controls:
            first = next(iter(scenarios))
            pick = ui.select(
                {name: f"{name}: {about}"[:70] for name, about in scenarios.items()}, value=first
            )
            pick.props('outlined dense options-dense aria-label="Scenario"').style(
                "min-width: min(100%, 320px)"
            )
            self.starter = button("Start the run", partial(self._run, pick), icon="verified").mark(
                "start-run"
            )
            self.stopper = button("Stop the run", self.runs.stop, icon="stop").mark("stop-run")

    def _run(self, pick: ui.select) -> None:
        # not in the page's context: the run goes on when the page is closed
        background_tasks.create(self.runs.run(str(pick.value)), name="verification run")

    async def show(self) -> None:
        """Show how the run goes; read the reports anew when one has ended."""
        running = self.runs.running
        if self.may_start and self.runs.scenarios:
            if self.starter is None:
                self._start(self.runs.scenarios)
            assert self.starter is not None
            assert self.stopper is not None
            self.starter.set_enabled(running is None)
            self.stopper.set_visibility(running is not None)
        if running is not None:
            since = labels.duration(max(time.time() - self.runs.began, 1.0))
            self.status.set_text(f"{running} runs for {since}: {self.runs.progress}")
        elif self.runs.last is not None:
            self.status.set_text(f"Last run: {self.runs.last}.")
        if self.shown != (running, self.runs.last):
            self.shown = (running, self.runs.last)
            self.list.content = listed(await asyncio.to_thread(self.runs.reports))


def listed(reports: list[Report]) -> str:
    """Return the reports as a table."""
    if not reports:
        return "<p class=soft>No report yet.</p>"
    rows = []
    for each in reports:
        label = (
            labels.Label("Passed", "verified", "good")
            if each.passed
            else labels.Label("Not passed", "error", "bad")
        )
        broken = f" <span class=small>{escape(', '.join(each.broken[:4]))}</span>"
        rows.append(
            f'<tr><td><a href="/reports/{escape(each.name)}/report.html">{escape(each.name)}</a>'
            f"<td>{labels.badge(label)}{broken if each.broken else ''}"
            f"<td class=n>{each.orders:,}<td class=n>{labels.duration(each.seconds)}"
            f"<td>{escape(each.started_at.replace('T', ' ').removesuffix('Z'))}</tr>"
        )
    return (
        "<table class=list aria-label=Reports><thead><tr><th scope=col>Report<th scope=col>Verdict"
        "<th scope=col class=n>Orders<th scope=col class=n>Took<th scope=col>Started (UTC)</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )
