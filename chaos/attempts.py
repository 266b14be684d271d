"""Which attempts an order's workflow made and how each went, read from Temporal's history."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

_LOCAL = "core_local_activity"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one step. `failure` None: it succeeded. `at` is when its end was noted."""

    operation: str
    number: int
    failure: str | None
    at: float


def attempts_in(history: WorkflowHistory) -> list[Attempt]:
    """Return the attempts in `history`: the fast one of each step, then the durable ones.

    Of durable attempts that failed before the last, Temporal keeps no reason; they are listed with
    the failure 'earlier attempt failed'.
    """
    found: list[Attempt] = []
    scheduled: dict[int, str] = {}
    started: dict[int, int] = {}
    for event in history.events:
        at = event.event_time.ToDatetime().timestamp()
        match event.event_type:
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                marker = event.marker_recorded_event_attributes
                if marker.marker_name == _LOCAL:
                    data = json.loads(marker.details["data"].payloads[0].data)
                    failure = marker.failure.message if marker.HasField("failure") else None
                    if failure is not None:
                        failure = _root(marker.failure)
                    found.append(Attempt(str(data["activity_type"]), 1, failure, at))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                planned = event.activity_task_scheduled_event_attributes
                scheduled[event.event_id] = planned.activity_type.name
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                begun = event.activity_task_started_event_attributes
                started[begun.scheduled_event_id] = begun.attempt
            case _:
                found += _ended(event, scheduled, started, at)
    return found


def _ended(
    event: Any, scheduled: dict[int, str], started: dict[int, int], at: float
) -> list[Attempt]:
    endings: dict[int, tuple[Any, str | None]] = {
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: (
            event.activity_task_completed_event_attributes,
            None,
        ),
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: (
            event.activity_task_failed_event_attributes,
            "failed",
        ),
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: (
            event.activity_task_timed_out_event_attributes,
            "timed out",
        ),
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: (
            event.activity_task_canceled_event_attributes,
            "cancelled",
        ),
    }
    if event.event_type not in endings:
        return []
    attributes, failure = endings[event.event_type]
    operation = scheduled[attributes.scheduled_event_id]
    last = started.get(attributes.scheduled_event_id, 1)
    # Durable attempts continue the count of the fast one.
    earlier = [Attempt(operation, n + 1, "earlier attempt failed", at) for n in range(1, last)]
    return [*earlier, Attempt(operation, last + 1, failure, at)]


def _root(failure: Any) -> str:
    while failure.HasField("cause"):
        failure = failure.cause
    return str(failure.message)


async def read_attempts(client: Any, order_id: UUID) -> list[Attempt]:
    """Return the attempts of an order's workflow; none if it has no history."""
    from temporalio.service import RPCError

    try:
        history = await client.get_workflow_handle(f"order-{order_id}").fetch_history()
    except RPCError:
        return []
    return attempts_in(history)
