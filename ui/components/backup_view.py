"""Markup of the backup panel: how far what is kept reaches, and what has to be seen to."""

from datetime import UTC, datetime, time
from html import escape
from typing import NamedTuple

from ui import labels
from ui.clients.backup import Archive, Comparison, DatedCall, Drill, RestorePoint, Trail
from ui.components.backup_days import day_strip, day_table
from ui.labels import Label
from ui.live.trail_poller import POLL_INTERVAL_S, TrailSnapshot

# As in deploy/monitoring/prometheus/backup_rules.yml.
OLDEST_PROVEN_S = 26 * 3600
LONGEST_LAG_S = 120
OLDEST_DRILL_S = 35 * 86_400
OLDEST_COMPARISON_S = 26 * 3600
# Since the beginning of the last date that has a call: the next one may have its own at 23:00.
LONGEST_WITHOUT_CALL_S = 50 * 3600
# Of what a comparison has found, so much is shown; the command has it all.
_SENTENCES = 3

_CALL_TODAY: dict[str, tuple[str, Label, str]] = {
    "not_yet": (
        "not made yet",
        Label("To come", "schedule", "idle"),
        "It is made once today's capsule has been proven.",
    ),
    "claimed": (
        "claimed",
        Label("Under way", "hourglass_top", "busy"),
        "It is under way, or whoever made it has died. Nobody else calls today.",
    ),
    "done": (
        "made",
        Label("Accepted", "check_circle", "good"),
        "The legacy service has taken today's capsule.",
    ),
    "refused": (
        "refused",
        Label("Refused", "block", "warn"),
        "It is not made again today. Tomorrow's capsule holds today, too.",
    ),
    "unknown": (
        "made, outcome unknown",
        Label("Nobody knows", "help", "warn"),
        "It may count, so it is not made again today. Tomorrow's capsule holds today, too.",
    ),
}


class Figure(NamedTuple):
    """One thing to know: its value in words, how that is, and what it means."""

    name: str
    value: str
    label: Label
    meaning: str


class TrailDrawing:
    """The markup of one look."""

    def __init__(self, now: TrailSnapshot) -> None:
        shown = figures(now)
        trail = now.trail
        self.spoken = spoken(now, shown)
        self.news = news(now)
        self.figures = "".join(_markup(each) for each in shown)
        self.problems = "" if trail is None else problems(trail)
        self.strip = day_strip(trail) if trail is not None else ""
        self.days = day_table(trail) if trail is not None else "<p class=soft>Not known yet.</p>"


def news(now: TrailSnapshot) -> str:
    """Return since when this is known, and why not later."""
    if now.trouble is not None:
        title = f"The backup process cannot be asked: {now.trouble}."
        if now.trail is None:
            return _note("bad", "cloud_off", title, "What is kept, and since when, is not known.")
        heard = datetime.fromtimestamp(now.heard_at, UTC)
        ago = labels.age(max(now.at - now.heard_at, 0.0))
        known = f"Below is what it said {ago} ago, at {labels.clock(heard)} UTC."
        return _note("warn", "cloud_off", title, known)
    if now.trail is None:
        return "<p class=soft>Asking the backup process …</p>"
    return (
        f'<p class="small soft number">As of {labels.clock(now.trail.as_of.astimezone(UTC))} UTC, '
        f"every {POLL_INTERVAL_S:g} seconds</p>"
    )


def problems(trail: Trail) -> str:
    """Return what keeps backups from being what they should be."""
    told = [
        _note("bad", "error", "Needs attention", sentence) for sentence in trail.archive.problems
    ]
    stores = [
        _note("warn", "cloud_off", f"The store {store} cannot be asked", "It had what is below.")
        for store in trail.stores_away
    ]
    title = "Orders and inventory could not be compared"
    compared = (
        [_note("warn", "cloud_off", title, f"{trail.comparison_problem}. It is tried again.")]
        if trail.comparison_problem
        else []
    )
    return "".join(told + stores + compared + _missing_calls(trail))


def lacks_calls(trail: Trail) -> bool:
    """Tell whether a whole date has gone by without a legacy call that is known to be done."""
    done = [day.day for day in trail.days if day.call == "done"]
    kept = [day.day for day in trail.days if day.capsules]
    if not done and not kept:
        return False
    begun = datetime.combine(max(done) if done else min(kept), time(), UTC)
    return (trail.as_of - begun).total_seconds() > LONGEST_WITHOUT_CALL_S


def _missing_calls(trail: Trail) -> list[str]:
    if not lacks_calls(trail):
        return []
    done = [day.day for day in trail.days if day.call == "done"]
    since = f"since {max(done).isoformat()}" if done else "of these days"
    title = f"No legacy call {since} is known to be done"
    said = "Does the legacy service answer? Its next call holds the last seven days."
    return [_note("warn", "warning", title, said)]


def figures(now: TrailSnapshot) -> list[Figure]:
    """Return what a glance has to tell; nothing while nothing is known.

    Ages go on growing while the process cannot be asked. How the log gets out and what becomes of
    the call may have changed since: that is told without a judgement then.
    """
    trail = now.trail
    if trail is None:
        return []
    live = [_lag(trail.archive), _call(trail.call_today)]
    if now.trouble is not None:
        live = [each._replace(label=Label("As last told", "history", "idle")) for each in live]
    lag, call = live
    newest = _newest(trail.newest_proven, now, trail)
    drill = _drill(trail.last_drill, now, trail)
    return [newest, lag, call, drill, _comparison(trail.last_comparison, now, trail)]


def spoken(now: TrailSnapshot, shown: list[Figure]) -> str:
    """Return what is said aloud: no figures in it, they would have it said again and again."""
    found = [] if now.trouble is None else ["the backup process cannot be asked"]
    if now.trail is not None and now.trail.archive.problems:
        found.append("something needs attention")
    if now.trail is not None and now.trail.stores_away:
        found.append("a store cannot be asked")
    if now.trail is not None and now.trail.comparison_problem:
        found.append("orders and inventory could not be compared")
    if now.trail is not None and lacks_calls(now.trail):
        found.append("legacy calls are missing")
    found += [f"{each.name}: {each.label.words}" for each in shown if each.label.tone == "bad"]
    if not found and now.trail is None:
        return ""
    return f"Backups: {'; '.join(found) or 'all is well'}."


def _newest(point: RestorePoint | None, now: TrailSnapshot, trail: Trail) -> Figure:
    name = "Newest proven restore point"
    if point is None:
        label = Label("None", "error", "bad")
        return Figure(name, "none", label, "No capsule was restored yet to see that it works.")
    old_s = _seconds_since(point.covers_to, now, trail)
    label = (
        Label("Too old", "error", "bad")
        if old_s > OLDEST_PROVEN_S
        else Label("Proven", "verified", "good")
    )
    meaning = (
        f"Up to {_moment(point.covers_to)}. The capsule of {point.day.isoformat()} was restored "
        f"at {_moment(point.proven_at)}. Limit {OLDEST_PROVEN_S / 3600:g} h."
    )
    return Figure(name, f"{labels.age(old_s)} old", label, meaning)


def _lag(archive: Archive) -> Figure:
    name = "Archive lag"
    if archive.lag_seconds is None:
        label = Label("Not known", "help", "warn")
        return Figure(name, "–", label, "The database does not say how far its log is archived.")
    label = (
        Label("Behind", "error", "bad")
        if archive.lag_seconds > LONGEST_LAG_S
        else Label("Keeps up", "check_circle", "good")
    )
    last = archive.last_archived_at
    meaning = f"{f'Last file at {_moment(last)}. ' if last else ''}Limit {LONGEST_LAG_S} s."
    return Figure(name, labels.age(max(archive.lag_seconds, 0.0)), label, meaning)


def _call(call: DatedCall) -> Figure:
    named = labels.by_its_name(call.state)
    value, label, meaning = _CALL_TODAY.get(call.state, (named.words.lower(), named, ""))
    detail = f" Told: {call.detail.rstrip('.')}." if call.detail else ""
    return Figure(f"Legacy call of {call.day.isoformat()}", value, label, f"{meaning}{detail}")


def _drill(drill: Drill | None, now: TrailSnapshot, trail: Trail) -> Figure:
    name = "Last drill"
    if drill is None:
        label = Label("None", "warning", "warn")
        return Figure(name, "never", label, "Try it: valerix backup drill")
    ago_s = _seconds_since(drill.at, now, trail)
    if not drill.ok:
        label = Label("Failed", "error", "bad")
    elif ago_s > OLDEST_DRILL_S:
        label = Label("Overdue", "warning", "warn")
    else:
        label = Label("Passed", "check_circle", "good")
    told = f" Told: {drill.detail.rstrip('.')}." if drill.detail else ""
    took = f"It took {labels.duration(drill.seconds)}."
    return Figure(name, f"{labels.age(ago_s)} ago", label, f"{took}{told}")


def _comparison(found: Comparison | None, now: TrailSnapshot, trail: Trail) -> Figure:
    name = "Last nightly comparison"
    if found is None:
        label = Label("To come", "schedule", "idle")
        return Figure(name, "none yet", label, "Each night orders are compared with inventory.")
    if found.violations:
        label = Label("Disagree", "error", "bad")
    elif _seconds_since(found.at, now, trail) > OLDEST_COMPARISON_S:
        label = Label("Overdue", "warning", "warn")
    elif found.for_people:
        label = Label("To be decided", "person", "warn")
    else:
        label = Label("Agree", "check_circle", "good")
    value = f"{labels.clock(found.at.astimezone(UTC))[:5]} UTC, {_counted(found)}"
    told = "".join(f" {sentence}." for sentence in found.found[:_SENTENCES])
    meaning = f"Orders compared: {found.orders:,}, at {_moment(found.at)}.{told}"
    if found.violations or found.for_people:
        meaning += " See: valerix reconcile --dry-run"
    return Figure(name, value, label, meaning)


def _counted(found: Comparison) -> str:
    violations = "1 violation" if found.violations == 1 else f"{found.violations:,} violations"
    return f"{violations}, {found.for_people:,} for people"


def _seconds_since(moment: datetime, now: TrailSnapshot, trail: Trail) -> float:
    """Return the age of a moment of the process's clock, which need not be ours."""
    passed = (trail.as_of - moment).total_seconds() + now.at - now.heard_at
    return max(passed, 0.0)


def _moment(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{labels.when(utc)}:{utc:%S} UTC"


def _markup(figure: Figure) -> str:
    return (
        f'<div class="figure"><dt>{escape(figure.name)}</dt><dd class="value">'
        f"{escape(figure.value)}</dd><dd>{labels.badge(figure.label)}</dd>"
        f'<dd class="small soft">{escape(figure.meaning)}</dd></div>'
    )


def _note(tone: str, picture: str, title: str, message: str) -> str:
    return (
        f'<div class="note {tone}">{labels.icon(picture)}<div><strong>{escape(title)}</strong>'
        f"<p>{escape(message)}</p></div></div>"
    )
