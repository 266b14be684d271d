"""Charts: small SVG drawings, made once for all pages; colours come from the style sheet.

Numbers and words stand beside the drawing as text, so nothing has to be read from a curve.
"""

import math
from collections.abc import Sequence
from html import escape

Point = tuple[float, float | None]
"""Seconds before now (0 is now, larger is longer ago), and a value or None for a gap."""

WIDTH, HEIGHT = 300.0, 100.0


def top_of(values: Sequence[float | None], at_least: float) -> float:
    """Return a round number above all values: 1, 2 or 5 times a power of ten."""
    highest = max([value for value in values if value is not None] + [at_least])
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest * 0.999)


def line_chart(
    title: str,
    lines: Sequence[tuple[str, str, Sequence[Point]]],
    *,
    range_s: float,
    unit: str,
    threshold: float | None = None,
    threshold_words: str = "",
) -> str:
    """Return a figure with one or more lines; each has a name, a class and its points."""
    floor = max(1.0, threshold * 1.25 if threshold is not None else 0.0)
    top = top_of([value for _, _, points in lines for _, value in points], floor)
    drawn = [f'<path class="grid" d="M0 {HEIGHT / 2:g}H{WIDTH:g}"/>']
    marks = ""
    if threshold is not None:
        y = HEIGHT * (1 - threshold / top)
        drawn.append(f'<path class="threshold" d="M0 {y:.1f}H{WIDTH:g}"/>')
        marks = f'<span class="mark" style="top:{y:.1f}%">{escape(threshold_words)}</span>'
    drawn += [
        f'<path class="line {css}" d="{path(points, range_s, top)}"/>' for _, css, points in lines
    ]
    legend = "".join(
        f'<span class="key {css}">{escape(name)} <b>{escape(latest(points, unit))}</b></span>'
        for name, css, points in lines
    )
    spoken = "; ".join(f"{name} {latest(points, unit)}" for name, _, points in lines)
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<div class="legend">{legend}</div>'
        f'<div class="plot"><span class="top">{top:g} {escape(unit)}</span>{marks}'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}, now: {escape(spoken)}">{"".join(drawn)}</svg></div>'
        f'<div class="axis"><span>{range_s / 60:g} min ago</span><span>now</span></div></figure>'
    )


def sparkline(points: Sequence[Point], *, range_s: float, threshold: float, words: str) -> str:
    """Return a line without axes, but with the threshold."""
    top = top_of([value for _, value in points], threshold * 1.25)
    y = HEIGHT * (1 - threshold / top)
    return (
        f'<div class="plot spark"><span class="mark" style="top:{y:.1f}%">{escape(words)}</span>'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="threshold" d="M0 {y:.1f}H{WIDTH:g}"/>'
        f'<path class="line" d="{path(points, range_s, top)}"/></svg></div>'
    )


def path(points: Sequence[Point], range_s: float, top: float) -> str:
    """Return the path data; a gap lifts the pen."""
    steps: list[str] = []
    pen = "M"
    for ago, value in points:
        if value is None:
            pen = "M"
            continue
        x = WIDTH * (1 - ago / range_s)
        y = HEIGHT * (1 - min(value / top, 1.0))
        steps.append(f"{pen}{x:.1f} {y:.1f}")
        # a lone point is a line of no length, which round caps make visible
        pen = "L"
    return "".join(steps) or "M0 0"


def latest(points: Sequence[Point], unit: str) -> str:
    """Return the newest value in words."""
    value = points[-1][1] if points else None
    if value is None:
        return "none"
    return f"{value:.2f} {unit}" if unit == "s" else f"{value:,.1f} {unit}".replace(".0 ", " ")


def thinned(points: Sequence[Point], step_s: float) -> list[Point]:
    """Return at most one point (the highest) for each `step_s`, the newest always."""
    kept: dict[int, Point] = {}
    for ago, value in points:
        slot = int(ago // step_s)
        known = kept.get(slot)
        if known is None or (value or 0.0) >= (known[1] or 0.0):
            kept[slot] = (ago, value)
    if points:
        kept[-1] = points[-1]
    return sorted(kept.values(), key=lambda point: -point[0])
