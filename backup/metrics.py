"""Prometheus metrics of the backup process."""

import math
from datetime import UTC, date, datetime, time
from typing import Any, get_args

from prometheus_client import Counter, Gauge
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from backup.legacy.outcomes import CallState
from backup.nightly.contracts import COMPARE

ARCHIVE_LAG = Gauge(
    "backup_archive_lag_seconds",
    "For how long the oldest finished file of the log waits to be archived; NaN if nobody knows.",
)
ARCHIVE_PROBLEMS = Gauge(
    "backup_archive_problems",
    "What makes restore points worth less, or impossible, however short the lag is.",
)
NEWEST_PROVEN = Gauge(
    "backup_newest_proven_timestamp_seconds",
    "Up to when everything is in a capsule that was restored once to see that it works; 0: none.",
)
CAPSULE_BYTES = Gauge("backup_capsule_bytes", "Size of the newest capsule.")
COPIES = Gauge("backup_copies", "Copies of capsules in a store, as it was seen last.", ["store"])
NEWEST_COPY = Gauge(
    "backup_newest_copy_timestamp_seconds",
    "Up to when everything is in a copy that a store has, as it was seen last; 0: it has none.",
    ["store"],
)
CALL_STATE = Gauge(
    "backup_legacy_call_state", "1 for what became of today's legacy call so far.", ["state"]
)
LAST_CALL = Gauge(
    "backup_last_legacy_call_timestamp_seconds",
    "When the last date began whose legacy call is known to be done; 0: there is none.",
)
VIOLATIONS = Gauge(
    "backup_reconcile_violations",
    "What disagreed at the last nightly comparison of orders and inventory; NaN: there was none.",
)
FOR_PEOPLE = Gauge(
    "backup_reconcile_for_people",
    "Orders that the last nightly comparison left to people to decide; NaN: there was none.",
)
LAST_SUCCESS = Gauge(
    "backup_last_success_timestamp_seconds", "When a step of a backup was done last.", ["step"]
)
FAILURES = Counter("backup_failures", "Attempts at a step of a backup that failed.", ["step"])

BASE, PRUNE, DRILL, RECONCILE = "base", "prune", "drill", "reconcile"
# As people call the activities.
_STEPS = {
    "seal_capsule": "seal",
    "prove_capsule": "prove",
    "copy_capsule": "copy",
    "call_legacy_service": "call",
    "confirm_legacy_call": "confirm",
    COMPARE: RECONCILE,
}
for _step in (*_STEPS.values(), BASE, PRUNE):
    FAILURES.labels(_step)  # shown from the start, or the first one is no increase
for _gauge in (VIOLATIONS, FOR_PEOPLE):
    _gauge.set(math.nan)  # nothing compared is not nothing found


def show_call(state: str) -> None:
    """Show what became of today's call."""
    for each in ("not_yet", *get_args(CallState)):
        CALL_STATE.labels(each).set(each == state)


def show_last_call(day: date | None) -> None:
    """Show the last date whose call is done."""
    LAST_CALL.set(0 if day is None else datetime.combine(day, time(), UTC).timestamp())


def succeeded(step: str) -> None:
    """Note that a step was done just now."""
    LAST_SUCCESS.labels(step).set_to_current_time()


class CountSteps(Interceptor):
    """Notes how each attempt at an activity ended."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Stand around every activity."""
        return _Counting(next)


class _Counting(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        step = _STEPS[activity.info().activity_type]
        try:
            result = await super().execute_activity(input)
        except Exception:  # a cancelled one is no failure
            FAILURES.labels(step).inc()
            raise
        succeeded(step)
        return result
