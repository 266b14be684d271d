"""Markup of the days of the trail: a strip to see at a glance, and a table that has it all."""

from datetime import UTC, date
from html import escape

from ui import labels
from ui.clients.backup import KeptCapsule, Trail, TrailDay
from ui.labels import Label

_CALL: dict[str, Label] = {
    "none": Label("No call", "remove", "idle"),
    "claimed": Label("Claimed", "hourglass_top", "busy"),
    "done": Label("Accepted", "check_circle", "good"),
    "refused": Label("Refused", "block", "warn"),
    "unknown": Label("Nobody knows", "help", "warn"),
}


def day_strip(trail: Trail) -> str:
    """Return a box for each day, oldest first: its number, how it is, and how many copies it has.

    A call that was accepted is a copy at the legacy service.
    """
    boxes = []
    for each in sorted(trail.days, key=lambda each: each.day):
        label = _of_day(each, trail)
        boxes.append(
            f'<li class="{label.tone}"><span>{each.day:%d}</span>{labels.icon(label.icon)}'
            f"<b>{_copies(each) if each.capsules else '–'}</b></li>"
        )
    return "".join(boxes)


def day_table(trail: Trail) -> str:
    """Return a table of all days, newest first, with where the copies of each are."""
    if not trail.days:
        return "<p class=soft>Nothing is kept yet.</p>"
    newest_first = sorted(trail.days, key=lambda each: each.day, reverse=True)
    rows = "".join(_rows(each, trail) for each in newest_first)
    return (
        '<table class=list aria-label="Backups of each day"><thead><tr><th scope=col>Day (UTC)'
        "<th scope=col>The capsule holds<th scope=col>Restored to try<th scope=col>Copies are in"
        f"<th scope=col>Legacy call</tr></thead><tbody>{rows}</tbody></table>"
    )


def _rows(each: TrailDay, trail: Trail) -> str:
    """Return a row for each capsule of a day; one that says so if there is none."""
    count = max(len(each.capsules), 1)
    span = f" rowspan={count}" if count > 1 else ""
    head = f"<th scope=row{span}>{each.day.isoformat()}"
    call = f"<td{span}>{labels.badge(_CALL.get(each.call) or labels.by_its_name(each.call))}"
    if not each.capsules:
        return f"<tr>{head}<td colspan=3>{labels.badge(_of_day(each, trail))}{call}</tr>"
    newest_first = sorted(each.capsules, key=lambda capsule: capsule.covers_to, reverse=True)
    top, *others = (_cells(capsule) for capsule in newest_first)
    return f"<tr>{head}{top}{call}</tr>" + "".join(f"<tr>{cells}</tr>" for cells in others)


def _cells(capsule: KeptCapsule) -> str:
    since, until = (at.astimezone(UTC) for at in (capsule.covers_from, capsule.covers_to))
    proof = (
        Label(labels.when(capsule.proven_at.astimezone(UTC)), "verified", "good")
        if capsule.proven_at is not None
        else Label("Not yet", "warning", "warn")
    )
    places = (
        escape(", ".join(capsule.copies))
        if capsule.copies
        else labels.badge(Label("No store yet", "warning", "warn"))
    )
    return (
        f"<td class=number>{labels.when(since)} to {labels.when(until)}"
        f' <span class="small soft">{labels.size(capsule.size_bytes)}</span>'
        f"<td>{labels.badge(proof)}<td>{places}"
    )


def _of_day(each: TrailDay, trail: Trail) -> Label:
    """Return how a day is; none is missed today, nor before the first of all."""
    if not each.capsules:
        if each.day >= trail.as_of.astimezone(UTC).date():
            return Label("None yet", "schedule", "idle")
        if each.day < _first_kept(trail):
            return Label("Before the first capsule", "remove", "idle")
        return Label("No capsule of this day", "error", "bad")
    if not any(capsule.proven_at for capsule in each.capsules):
        return Label("Not restored to try", "warning", "warn")
    if not _copies(each):
        return Label("No copy", "warning", "warn")
    return Label("Proven and copied", "check", "good")


def _first_kept(trail: Trail) -> date:
    return min((each.day for each in trail.days if each.capsules), default=date.max)


def _copies(each: TrailDay) -> int:
    stores = {store for capsule in each.capsules for store in capsule.copies}
    return len(stores) + (each.call == "done")
