"""Markup of the operations page, drawn once for each poll and shared by all pages."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from order_api.contracts import OperationsSummary, ResponseTime
from ui import labels
from ui.components.charts import Point, line_chart, sparkline, thinned
from ui.live.pollers import HISTORY_S, Operations, Sample, ServiceHealth

STEP_S = 3.0
SPARK_S = 120.0
SERVICE_NAMES = {
    "order_api": "Orders",
    "inventory_api": "Warehouse",
    "worker": "Worker",
    "subscribers": "Subscribers",
    "backup": "Backups",
    "ui": "This UI",
}
_MEANING = {
    "green": "The order service answers in good time.",
    "red": "The order service is not well.",
    "no_data": "Nobody has ordered in the last 30 seconds.",
    "gone": "The order service does not tell. See its tile below.",
}
_RED_MEANING = {
    "slow": "Shoppers wait too long for the order service.",
    "failing": "The order service could not take orders.",
}


class Drawing:
    """The markup of one look."""

    def __init__(self, now: Operations) -> None:
        self.updated = updated(now)
        self.alert, self.spoken = alert_tile(now)
        self.figures = figures(now)
        self.health = health_tiles(now.health)
        self.charts = charts(now)
        self.statuses = status_bars(now.summary)


_latest: list[tuple[Operations, Drawing]] = []


def drawing(now: Operations) -> Drawing:
    """Return the drawing of `now`, the same object for every page that asks."""
    if not _latest or _latest[0][0] is not now:
        _latest[:] = [(now, Drawing(now))]
    return _latest[0][1]


def updated(now: Operations) -> str:
    """Return when this was seen."""
    seen = datetime.fromtimestamp(now.at, UTC)
    return f"Last updated {labels.clock(seen)} UTC, every second"


def alert_tile(now: Operations) -> tuple[str, str]:
    """Return the alert's markup, and what is said aloud about it.

    Red if and only if the server says so: the figures over its window and the verdict come from
    order_api; nothing is computed here.
    """
    reading = now.response_time
    state = "gone" if reading is None else reading.state
    words, icon, meaning = _verdict(state, reading)
    number, counted, threshold, limits = "–", "", 1.0, "Turns red above 1 s."
    if reading is not None:
        threshold = reading.threshold_s
        counted = _counted(reading)
        limits = _limits(reading)
        if reading.average_s is not None:
            number = f"{reading.average_s:.2f} s"
    line = [
        (now.at - each.at, each.average_s) for each in now.history if now.at - each.at <= SPARK_S
    ]
    drawn = sparkline(
        thinned(line, 1.5), range_s=SPARK_S, threshold=threshold, words=f"limit {threshold:g} s"
    )
    markup = (
        f'<div class="card alert {state if state in _MEANING else "gone"}">'
        f'<div class="line spread"><h2>Average response time</h2>'
        f'<span class="state">{labels.icon(icon)}{escape(words)}</span></div>'
        f'<div class="line spread"><span class="huge">{number}</span>'
        f'<span class="small">{counted}</span></div>'
        f'{drawn}<p class="small">{escape(meaning)} {escape(limits)}</p></div>'
    )
    return markup, f"Response time: {words}. {meaning}"


def _verdict(state: str, reading: ResponseTime | None) -> tuple[str, str, str]:
    """Return words, icon and meaning of the state; neutral ones for what we do not know."""
    label = labels.ALERT.get(state, labels.Label("Unknown state", "help", "idle"))
    if state != "red" or reading is None:
        return label.words, label.icon, _MEANING.get(state, "The order service says something new.")
    # a service that gives no reasons knows only the one
    reasons = [each for each in reading.reasons or ["slow"] if each in labels.ALERT_REASONS]
    words = " and ".join(labels.ALERT_REASONS[each] for each in reasons) or "not well"
    meaning = " ".join(_RED_MEANING[each] for each in reasons) or _MEANING["red"]
    return words.capitalize(), label.icon, meaning


def _counted(reading: ResponseTime) -> str:
    """Return what the figures are made of: `20 orders in 30 s, 3 failed`."""
    orders = f"{labels.count(reading.count, 'order')} in {reading.window_s:g} s"
    return orders + (f", <b>{reading.failed:,} failed</b>" if reading.failed else "")


def _limits(reading: ResponseTime) -> str:
    share = reading.failed_share_threshold
    more = "" if share is None else f", or when more than {share:.0%} of orders fail"
    whose = f" Seen by {reading.instance} alone." if reading.instance else ""
    return f"Turns red above {reading.threshold_s:g} s{more}.{whose}"


def figures(now: Operations) -> str:
    """Return the figures that have no chart."""
    summary = now.summary
    shown: list[tuple[str, str]] = []
    if summary is not None:
        latency = summary.latency
        for name, value in (
            ("Half answered within", latency.p50_s),
            ("95% answered within", latency.p95_s),
            ("99% answered within", latency.p99_s),
        ):
            shown.append((name, "–" if value is None else labels.duration(value)))
        shown += [
            ("Requests refused", f"{summary.response_time.refused:,}"),
            ("Orders accepted", f"{summary.accepted_per_s:.1f} /s"),
            ("Orders settled", f"{summary.settled_per_s:.1f} /s"),
            ("Unfinished orders", f"{summary.unfinished:,}"),
            ("… waiting for the warehouse", f"{summary.waiting:,}"),
            (
                "Oldest unfinished",
                labels.duration(summary.oldest_unfinished_s) if summary.unfinished else "none",
            ),
            ("Relay backlog", labels.count(summary.relay_backlog, "order")),
        ]
    shown += [
        ("Retries at the warehouse", f"{now.metrics.retries:,}"),
        ("Answers replayed", f"{now.metrics.replayed:,}"),
    ]
    if now.faults.allowed:
        shown.append(("Faults fired", f"{now.faults.fired:,}"))
    return "".join(
        f'<div class="figure"><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd></div>'
        for name, value in shown
    )


def health_tiles(services: Sequence[ServiceHealth]) -> str:
    """Return a tile for each service; one that is not well names what it misses."""
    tiles = []
    for each in services:
        label = labels.HEALTH.get(each.status, labels.HEALTH["fail"])
        troubles = "".join(f"<p class=small>{escape(trouble)}</p>" for trouble in each.troubles)
        name = SERVICE_NAMES.get(each.name, each.name)
        tiles.append(
            f'<li class="service {label.tone}"><div class="line spread"><strong>{escape(name)}'
            f"</strong>{labels.badge(label)}</div>{troubles}</li>"
        )
    return "".join(tiles)


def charts(now: Operations) -> str:
    """Return the charts, all over the same five minutes."""

    def points(pick: str) -> list[Point]:
        found: list[Point] = [(now.at - each.at, _value(each, pick)) for each in now.history]
        return thinned(found, STEP_S)

    shown = (
        line_chart(
            "Response time",
            (
                ("average of 30 s", "first", points("average_s")),
                ("95th percentile", "second", points("p95_s")),
            ),
            range_s=HISTORY_S,
            unit="s",
            threshold=1.0,
            threshold_words="limit 1 s",
        ),
        line_chart(
            "Throughput",
            (
                ("accepted", "first", points("accepted_per_s")),
                ("settled", "second", points("settled_per_s")),
            ),
            range_s=HISTORY_S,
            unit="orders/s",
        ),
        line_chart(
            "Unfinished orders",
            (("unfinished", "first", points("unfinished")),),
            range_s=HISTORY_S,
            unit="orders",
        ),
    )
    return "".join(f'<section class="card">{each}</section>' for each in shown)


def _value(sample: Sample, name: str) -> float | None:
    found: float | None = getattr(sample, name)
    return found


def status_bars(summary: OperationsSummary | None) -> str:
    """Return how many orders have which status, as bars with numbers."""
    if summary is None:
        return "<li>The order service does not tell.</li>"
    total = max(sum(summary.by_status.values()), 1)
    bars = []
    unknown = sorted(summary.by_status.keys() - labels.ORDER_STATUS.keys())
    named = {status: labels.by_its_name(status) for status in unknown}
    for status, label in (labels.ORDER_STATUS | named).items():
        orders = summary.by_status.get(status, 0)
        width = 100 * orders / total
        fill = f'<div class="fill" style="width:{width:.1f}%"></div>' if orders else ""
        bars.append(
            f"<li><span>{labels.icon(label.icon)} {escape(label.words)}</span>"
            f'<div class="track">{fill}</div><b class="number">{orders:,}</b></li>'
        )
    return "".join(bars)
