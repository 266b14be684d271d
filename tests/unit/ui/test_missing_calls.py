"""What the operations page says when dates go by without a legacy call."""

from datetime import datetime, time, timedelta
from typing import Any

import pytest

from tests.support.trail_answers import AS_OF, capsule, trail
from ui.clients.backup import Trail
from ui.components.backup_view import TrailDrawing
from ui.live.trail_poller import TrailSnapshot

MIDNIGHT = datetime.combine(AS_OF.date(), time(), AS_OF.tzinfo)


def drawn(as_of: datetime, calls: list[str], capsules: list[Any]) -> TrailDrawing:
    """Return the page's part on a day whose calls, and those of the days before, were these."""
    days = [
        {
            "day": (as_of.date() - timedelta(days=ago)).isoformat(),
            "capsules": capsules,
            "call": call,
        }
        for ago, call in enumerate(calls)
    ]
    told = trail(as_of=as_of.isoformat(), days=days)
    return TrailDrawing(TrailSnapshot(at=1.0, trail=Trail.model_validate(told), heard_at=1.0))


@pytest.mark.parametrize(
    ("hour", "calls", "missing"),
    [
        (1, ["none", "unknown", "done"], False),  # today's is still to come
        (3, ["none", "unknown", "done"], True),
        (3, ["done", "none", "none"], False),
        (23, ["none", "done", "none"], False),
        (3, ["none", "none"], False),  # an installation of yesterday
        (3, ["none", "refused", "none"], True),
    ],
)
def test_dates_without_a_call_are_told(hour: int, calls: list[str], missing: bool) -> None:
    found = drawn(MIDNIGHT + timedelta(hours=hour), calls, [capsule(AS_OF.date())])
    assert ("No legacy call" in found.problems) == missing
    assert ("legacy calls are missing" in found.spoken) == missing


def test_where_nothing_is_kept_no_call_is_missing() -> None:
    assert "No legacy call" not in drawn(MIDNIGHT, ["none"] * 9, []).problems


def test_the_last_date_that_has_one_is_named() -> None:
    found = drawn(MIDNIGHT, ["not_yet", "none", "none", "done"], [capsule(AS_OF.date())])
    last = (MIDNIGHT - timedelta(days=3)).date().isoformat()
    assert f"No legacy call since {last} is known to be done" in found.problems
