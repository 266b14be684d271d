"""Reader of the few counters of operations that live in the services' Prometheus pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """Counts since the page's process started to look; a restart of a service loses nothing.

    `retries`: attempts at the warehouse after the first. `replayed`: answers the warehouse had
    given before and gave again.
    """

    retries: int = 0
    replayed: int = 0
    last: tuple[tuple[str, float], ...] = ()


# The counter of each, and the label that has to be true.
_WANTED: dict[str, tuple[str, str]] = {
    "retries": ("saga_step_attempts_total", "retry"),
    "replayed": ("inventory_effects_total", "replayed"),
}


def metric_totals(pages: Sequence[str], before: MetricTotals) -> MetricTotals:
    """Return the totals after another look at all metrics pages.

    As Prometheus does: a counter that went down has started anew, and what it shows is new.
    """
    last = dict(before.last)
    found = before
    for total, (name, label) in _WANTED.items():
        values = [value for page in pages if (value := _sum(page, name, label)) is not None]
        if not values:
            continue  # not there now; what it had counted still holds
        value = sum(values)
        grown = value - last.get(total, 0.0)
        more = grown if grown >= 0 else value
        last[total] = value
        found = replace(found, **{total: getattr(found, total) + int(more)})
    return replace(found, last=tuple(last.items()))


def _sum(page: str, name: str, label: str) -> float | None:
    """Return the sum of a counter's samples; None if the page has none, or is not one."""
    # The parser is slow: it gets the few lines that are wanted.
    lines = [line for line in page.splitlines(keepends=True) if line.startswith(name)]
    if not lines:
        return None
    try:
        return sum(
            sample.value
            for family in text_string_to_metric_families("".join(lines))
            for sample in family.samples
            if sample.name == name and sample.labels.get(label) == "true"
        )
    except ValueError:
        return None
