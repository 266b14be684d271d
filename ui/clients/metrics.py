"""The few figures of operations that live in the services' Prometheus pages."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_LINE = re.compile(
    r"^(?P<name>[a-z_:]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[0-9.e+-]+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """Counts since the page's process started to look; a restart of a service loses nothing.

    `retries`: attempts at the warehouse after the first. `replayed`: answers the warehouse had
    given before and gave again.
    """

    retries: int = 0
    replayed: int = 0
    last: tuple[tuple[str, float], ...] = ()


_WANTED: dict[str, tuple[str, str]] = {
    "retries": ("saga_step_attempts_total", 'retry="true"'),
    "replayed": ("inventory_effects_total", 'replayed="true"'),
}


def metric_totals(pages: Sequence[str], before: MetricTotals) -> MetricTotals:
    """Return the figures after another look at all metrics pages.

    As Prometheus does: a counter that went down has started anew, and what it shows is new.
    """
    last = dict(before.last)
    found = before
    for figure, (name, label) in _WANTED.items():
        present = [page for page in pages if name in page]
        if not present:
            continue  # not there now; what it had counted still holds
        value = sum(_total(page, name, label) for page in present)
        grown = value - last.get(figure, 0.0)
        more = grown if grown >= 0 else value
        last[figure] = value
        found = replace(found, **{figure: getattr(found, figure) + int(more)})
    return replace(found, last=tuple(last.items()))


def _total(page: str, name: str, label: str) -> float:
    return sum(
        float(line["value"])
        for line in _LINE.finditer(page)
        if line["name"] == name and label in (line["labels"] or "")
    )
