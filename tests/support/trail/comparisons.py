"""Comparisons in place of databases: as a test has them found."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.client import Client

from backup.daily.worker import FurtherWork
from backup.nightly import schedule
from backup.nightly.activities import NightlyActivities
from backup.nightly.contracts import Comparison
from backup.nightly.kept import KeptComparison
from backup.nightly.workflow import NightlyReconcile


def found(violations: int = 0, **more: Any) -> Comparison:
    """Return what a look has found."""
    numbers = {"orders": 40, "reservations": 39, "open_orders": 1, "for_people": 0, "decided": 0}
    return Comparison.model_validate(
        {"at": datetime.now(UTC), "seconds": 0.5, "violations": violations, **numbers, **more}
    )


class Comparisons:
    """Finds one after the other, the last one again and again; an exception is raised."""

    def __init__(self, *each: Comparison | Exception) -> None:
        self._each: Sequence[Comparison | Exception] = each
        self.asked: list[Client | None] = []

    async def compare(self, temporal: Client | None) -> Comparison:
        self.asked.append(temporal)
        result = self._each[min(len(self.asked), len(self._each)) - 1]
        if isinstance(result, Exception):
            raise result
        return result


def nightly_work(comparisons: Comparisons, file: Path) -> FurtherWork:
    """Return what a worker needs for nightly comparisons that are kept in `file`."""
    steps = NightlyActivities(comparisons, KeptComparison(file))
    return FurtherWork(
        workflows=[NightlyReconcile],
        activities=[steps.compare],
        schedules={schedule.SCHEDULE_ID: schedule.nightly()},
    )
