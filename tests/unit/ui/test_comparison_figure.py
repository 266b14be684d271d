"""What the operations page says about the nightly comparison of orders and inventory."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.trail_answers import AS_OF, trail
from ui.clients.backup import Trail
from ui.components.backup_view import TrailDrawing, figures
from ui.live.trail_poller import TrailSnapshot


def drawn(**changes: Any) -> TrailDrawing:
    return TrailDrawing(seen(**changes))


def seen(**changes: Any) -> TrailSnapshot:
    return TrailSnapshot(at=0.0, trail=Trail.model_validate(trail(**changes)), heard_at=0.0)


@pytest.mark.parametrize(
    ("change", "value", "words", "tone"),
    [
        ({"violations": 2}, "02:40 UTC, 2 violations, 0 for people", "Disagree", "bad"),
        ({"violations": 1}, "02:40 UTC, 1 violation, 0 for people", "Disagree", "bad"),
        ({"for_people": 3}, "02:40 UTC, 0 violations, 3 for people", "To be decided", "warn"),
        (
            {"at": (AS_OF - timedelta(hours=26, minutes=1)).isoformat()},
            *("06:59 UTC, 0 violations, 0 for people", "Overdue", "warn"),
        ),
        (
            {"at": (AS_OF - timedelta(hours=26)).isoformat()},
            *("07:00 UTC, 0 violations, 0 for people", "Agree", "good"),
        ),
    ],
)
def test_a_comparison_says_when_it_was_and_what_it_found(
    change: dict[str, Any], value: str, words: str, tone: str
) -> None:
    found = trail()["last_comparison"] | change
    compared = figures(seen(last_comparison=found))[4]
    assert (compared.value, compared.label.words, compared.label.tone) == (value, words, tone)


def test_what_disagrees_is_said_with_what_to_do() -> None:
    found = trail()["last_comparison"] | {"violations": 5, "found": [f"{n} × <x>" for n in "abcd"]}
    shown = drawn(last_comparison=found)
    assert "Orders compared: 12,345, at 26 Nov 2026, 02:40:00 UTC." in shown.figures
    assert "c × &lt;x&gt;. See: valerix reconcile --dry-run" in shown.figures
    assert "d × " not in shown.figures
    assert shown.spoken == "Backups: Last nightly comparison: Disagree."


def test_a_comparison_that_could_not_be_made_says_why_beside_the_last_one() -> None:
    shown = drawn(comparison_problem="the database of <x> cannot be reached")
    assert "Orders and inventory could not be compared" in shown.problems
    assert "the database of &lt;x&gt; cannot be reached. It is tried again." in shown.problems
    assert "02:40 UTC, 0 violations" in shown.figures
    assert shown.spoken == "Backups: orders and inventory could not be compared."


def test_a_first_night_that_is_still_to_come_is_nothing_to_worry_about() -> None:
    compared = figures(seen(last_comparison=None))[4]
    assert (compared.value, compared.label.tone) == ("none yet", "idle")
