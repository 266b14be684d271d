"""What an order's history says of its attempts is the same wherever the run is made."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from chaos.checker.attempts import attempts_in

FILE = Path(__file__).parents[2] / "replay" / "histories" / "shipped-after-a-slow-reserve-1.json"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_attempts_have_the_bounds_of_their_tasks(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    history = json.loads(FILE.read_text())
    times = [datetime.fromisoformat(e["eventTime"]).timestamp() for e in history["events"]]
    try:
        found = attempts_in(WorkflowHistory.from_json("order", history))
    finally:
        monkeypatch.undo()
        time.tzset()
    fast, *later = [each for each in found if each.operation == "reserve"]
    assert fast.number == 1
    assert fast.failure
    assert later
    assert later[-1].failure is None
    assert [each.number for each in later] == list(range(2, len(later) + 2))
    for attempt in found:
        assert times[0] <= attempt.since <= attempt.at <= times[-1]
