"""What the operations page says about backups: models, what is kept in an outage, words."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.support.trail_answers import AS_OF, capsule, trail
from ui import labels
from ui.clients.backup import Trail
from ui.clients.http import NoAnswer, Refusal, read
from ui.components.backup_days import day_strip, day_table
from ui.components.backup_view import TrailDrawing, figures
from ui.live.trail_poller import TrailPoller, TrailSnapshot

HEARD_AT = 1_795_000_000.0


def told(**changes: Any) -> Trail:
    return Trail.model_validate(trail(**changes))


def seen(trail: Trail | None = None, *, ago_s: float = 0.0, **more: Any) -> TrailSnapshot:
    """Return a look at a trail that was heard `ago_s` before."""
    return TrailSnapshot(at=HEARD_AT + ago_s, trail=trail, heard_at=HEARD_AT, **more)


def day(ago: int, *capsules: Any, call: str = "none") -> dict[str, Any]:
    date = AS_OF.date() - timedelta(days=ago)
    return {"day": date.isoformat(), "capsules": list(capsules), "call": call}


class Process:
    """A backup process that answers as it was told to."""

    def __init__(self) -> None:
        self.answer: Trail | Exception = told()

    async def trail(self) -> Trail:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


# --- models -----------------------------------------------------------------------------------


def test_what_a_later_release_adds_does_not_disturb() -> None:
    answer = trail(weather="fair", call_today={"day": "2026-11-26", "state": "queued", "by": "us"})
    answer["archive"]["bytes"] = 7
    answer["days"][0]["capsules"][0]["colour"] = "blue"
    found = read(Trail, json.dumps(answer).encode())
    assert found.call_today.state == "queued"
    assert "Queued" in TrailDrawing(seen(found)).figures


def test_what_is_not_there_yet_is_none() -> None:
    found = told(newest_proven=None, last_drill=None, days=[], archive={"lag_seconds": None})
    assert found.newest_proven is None
    assert found.archive.problems == ()
    assert "Nothing is kept yet" in TrailDrawing(seen(found)).days


@pytest.mark.parametrize("change", [{"as_of": "2026-11-26T09:00:00"}, {"archive": None}])
def test_an_answer_that_makes_no_sense_is_no_answer(change: dict[str, Any]) -> None:
    with pytest.raises(NoAnswer):
        read(Trail, json.dumps(trail(**change)).encode())


# --- the poller -------------------------------------------------------------------------------


async def look(poller: TrailPoller) -> TrailSnapshot:
    await poller.poll()
    return poller.now


async def test_in_an_outage_the_last_known_is_kept_with_its_time() -> None:
    process = Process()
    poller = TrailPoller(process)
    assert poller.now == TrailSnapshot()
    heard = await look(poller)
    assert heard.trail == process.answer
    assert heard.trouble is None
    process.answer = NoAnswer("TimeoutError")
    kept = await look(poller)
    assert kept.trail is heard.trail
    assert kept.heard_at == heard.heard_at
    assert kept.trouble == "no usable answer (TimeoutError)"
    process.answer = told()
    assert (await look(poller)).trouble is None


async def test_a_process_that_does_not_let_us_look_is_quoted() -> None:
    process = Process()
    process.answer = Refusal(403, "forbidden", "This is not for your role", "", "", {})
    found = await look(TrailPoller(process))
    assert found.trail is None
    assert found.trouble == "it answers with status 403, This is not for your role"


# --- what is shown ----------------------------------------------------------------------------


def test_when_all_is_well_everything_is_told_in_words() -> None:
    drawn = TrailDrawing(seen(told()))
    for words in (
        *("Newest proven restore point", "3.8 h old", "Proven", "Up to 26 Nov 2026, 05:12:33 UTC"),
        *("Archive lag", "12.4 s", "Keeps up", "Limit 120 s"),
        *("Legacy call of 2026-11-26", "made", "Accepted"),
        *("Last drill", "12 days ago", "Passed", "It took 3 min", "20 orders were back"),
        *("Last nightly comparison", "02:40 UTC, 0 violations, 0 for people", "Agree"),
    ):
        assert words in drawn.figures, words
    assert drawn.spoken == "Backups: all is well."
    assert drawn.problems == ""
    assert "As of 09:00:00 UTC" in drawn.news


@pytest.mark.parametrize(
    ("hours", "words", "tone"), [(26, "Proven", "good"), (26.01, "Too old", "bad")]
)
def test_a_restore_point_is_too_old_after_26_hours(hours: float, words: str, tone: str) -> None:
    point = trail()["newest_proven"] | {"covers_to": (AS_OF - timedelta(hours=hours)).isoformat()}
    [newest, *_] = figures(seen(told(newest_proven=point)))
    assert (newest.label.words, newest.label.tone) == (words, tone)


def test_without_any_proven_restore_point_the_page_is_red_about_it() -> None:
    drawn = TrailDrawing(seen(told(newest_proven=None)))
    assert "No capsule was restored yet" in drawn.figures
    assert drawn.spoken == "Backups: Newest proven restore point: None."


@pytest.mark.parametrize(("lag_s", "words"), [(120, "Keeps up"), (121, "Behind")])
def test_the_archive_is_behind_above_120_seconds(lag_s: float, words: str) -> None:
    lag = figures(seen(told(archive={"lag_seconds": lag_s})))[1]
    assert lag.label.words == words


@pytest.mark.parametrize(
    ("state", "value", "meaning"),
    [
        ("not_yet", "not made yet", "once today's capsule has been proven"),
        ("claimed", "claimed", "Nobody else calls today"),
        ("done", "made", "has taken today's capsule"),
        ("refused", "refused", "Tomorrow's capsule holds today, too"),
        ("unknown", "made, outcome unknown", "not made again today"),
    ],
)
def test_todays_call_is_told_in_words_with_its_detail(state: str, value: str, meaning: str) -> None:
    call = {"day": "2026-11-26", "state": state, "detail": "429 <Too many>."}
    found = told(call_today=call)
    assert figures(seen(found))[2].value == value
    drawn = TrailDrawing(seen(found))
    assert meaning.replace("'", "&#x27;") in drawn.figures
    assert "Told: 429 &lt;Too many&gt;." in drawn.figures
    assert drawn.spoken == "Backups: all is well."  # the next capsule closes the hole


@pytest.mark.parametrize(
    ("change", "words", "tone"),
    [
        ({"ok": False}, "Failed", "bad"),
        ({"at": (AS_OF - timedelta(days=36)).isoformat()}, "Overdue", "warn"),
        ({"at": (AS_OF - timedelta(days=35)).isoformat()}, "Passed", "good"),
    ],
)
def test_a_drill_can_fail_or_be_long_ago(change: dict[str, Any], words: str, tone: str) -> None:
    drill = figures(seen(told(last_drill=trail()["last_drill"] | change)))[3]
    assert (drill.label.words, drill.label.tone) == (words, tone)


def test_who_never_drilled_is_told_how() -> None:
    assert "valerix backup drill" in TrailDrawing(seen(told(last_drill=None))).figures


def test_problems_of_the_archive_stand_out() -> None:
    drawn = TrailDrawing(seen(told(archive={"lag_seconds": 1, "problems": ["archive_mode <off>"]})))
    assert "note bad" in drawn.problems
    assert "archive_mode &lt;off&gt;" in drawn.problems
    assert "something needs attention" in drawn.spoken


def test_a_store_that_is_away_is_named() -> None:
    drawn = TrailDrawing(seen(told(stores_away=["off<site>"])))
    assert "The store off&lt;site&gt; cannot be asked" in drawn.problems
    assert drawn.spoken == "Backups: a store cannot be asked."


def test_a_lag_that_nobody_knows_is_not_taken_for_none() -> None:
    lag = figures(seen(told(archive={"lag_seconds": None})))[1]
    assert (lag.value, lag.label.words, lag.label.tone) == ("–", "Not known", "warn")


def test_while_nobody_answers_the_last_known_is_shown_and_goes_on_ageing() -> None:
    hours = 23.0  # 3.8 h old when it was heard
    drawn = TrailDrawing(seen(told(), ago_s=hours * 3600, trouble="no usable answer (<x>)"))
    assert "cannot be asked: no usable answer (&lt;x&gt;)" in drawn.news
    assert f"what it said {hours} h ago" in drawn.news
    assert "26.8 h old" in drawn.figures
    assert "Too old" in drawn.figures
    # what may have changed since is not judged
    assert "Keeps up" not in drawn.figures
    assert drawn.figures.count("As last told") == 2
    assert "the backup process cannot be asked" in drawn.spoken
    assert "<tbody>" in drawn.days


def test_before_the_first_answer_nothing_is_claimed() -> None:
    first = TrailDrawing(TrailSnapshot())
    assert "Asking" in first.news
    assert (first.figures, first.strip, first.spoken) == ("", "", "")
    never = TrailDrawing(TrailSnapshot(at=1.0, trouble="no usable answer (OSError)"))
    assert "is not known" in never.news
    assert never.spoken == "Backups: the backup process cannot be asked."


# --- the days ---------------------------------------------------------------------------------


def test_each_day_says_in_words_where_its_copies_are() -> None:
    today = AS_OF.date()
    two = capsule(today, copies=("copies", "off<site>"))
    found = told(days=[day(1, capsule(today - timedelta(days=1)), call="unknown"), day(0, two)])
    table = day_table(found)
    assert table.index("2026-11-26") < table.index("2026-11-25"), "newest first"
    for words in (
        *("copies, off&lt;site&gt;", "Nobody knows", "No call", "16.8 MB"),
        "19 Nov 2026, 05:12 to 26 Nov 2026, 05:12",
    ):
        assert words in table


def test_several_capsules_of_a_day_have_a_row_each_newest_first() -> None:
    today = AS_OF.date()
    later = capsule(today, proven=False, copies=()) | {"covers_to": AS_OF.isoformat()}
    table = day_table(told(days=[day(0, capsule(today), later)]))
    assert table.count("<tr>") == 3
    assert table.count("rowspan=2") == 2
    assert table.index("Not yet") < table.index("26 Nov 2026, 05:32")
    assert "No store yet" in table


def test_a_day_without_a_capsule_is_missed_only_between_the_first_and_today() -> None:
    date = AS_OF.date() - timedelta(days=2)
    table = day_table(told(days=[day(3), day(2, capsule(date)), day(1), day(0)]))
    for words in ("Before the first capsule", "No capsule of this day", "None yet"):
        assert table.count(words) == 1, words


@pytest.mark.parametrize(
    ("kept", "call", "tone", "copies"),
    [
        (capsule(AS_OF.date(), copies=("a", "b")), "done", "good", 3),
        (capsule(AS_OF.date(), copies=("a",)), "unknown", "good", 1),
        (capsule(AS_OF.date(), copies=()), "none", "warn", 0),
        (capsule(AS_OF.date(), proven=False), "done", "warn", 2),
    ],
)
def test_the_strip_counts_copies_with_that_at_the_legacy_service(
    kept: Any, call: str, tone: str, copies: int
) -> None:
    strip = day_strip(told(days=[day(0, kept, call=call)]))
    assert f'<li class="{tone}"><span>26</span>' in strip
    assert f"<b>{copies}</b>" in strip


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (16_800_000, "16.8 MB"),
        (999_700, "1.0 MB"),
        (2**40, "1099.5 GB"),
    ],
)
def test_sizes_are_in_peoples_units(size: int, words: str) -> None:
    assert labels.size(size) == words


@pytest.mark.parametrize(("seconds", "words"), [(7200, "2.0 h"), (12 * 86_400, "12 days")])
def test_ages_are_in_days_from_the_third_on(seconds: float, words: str) -> None:
    assert labels.age(seconds) == words
