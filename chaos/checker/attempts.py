"""Attempts: which ones an order's workflow made and how each went, by Temporal's history."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from workflows.contracts import workflow_id

_LOCAL = "core_local_activity"
# How a durable attempt ends, and what that makes of it; None: it succeeded.
_ENDINGS: Mapping[int, str | None] = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: None,
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: "failed",
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "timed out",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one step, between `since` and `at` (unix s). `failure` None: it succeeded.

    A fast attempt has the bounds of its workflow task, and a durable one that was not the last has
    those of its activity: Temporal notes no others.
    """

    operation: str
    number: int
    failure: str | None
    since: float
    at: float


def attempts_in(history: WorkflowHistory) -> list[Attempt]:
    """Return the attempts in `history`: the fast one of each step, then the durable ones.

    Of durable attempts that failed before the last, Temporal keeps no reason; they are listed with
    the failure 'earlier attempt failed'.
    """
    found: list[Attempt] = []
    scheduled: dict[int, tuple[str, float]] = {}
    started: dict[int, tuple[int, float]] = {}
    task_since = 0.0
    for event in history.events:
        at = event.event_time.ToNanoseconds() / 1e9
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                task_since = at
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                marker = event.marker_recorded_event_attributes
                if marker.marker_name == _LOCAL:
                    data = json.loads(marker.details["data"].payloads[0].data)
                    failure = _root(marker.failure) if marker.HasField("failure") else None
                    found.append(Attempt(str(data["activity_type"]), 1, failure, task_since, at))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                planned = event.activity_task_scheduled_event_attributes
                scheduled[event.event_id] = (planned.activity_type.name, at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                begun = event.activity_task_started_event_attributes
                started[begun.scheduled_event_id] = (begun.attempt, at)
            case _:
                found += _ended(event, scheduled, started, at)
    return found


def _ended(
    event: Any,
    scheduled: dict[int, tuple[str, float]],
    started: dict[int, tuple[int, float]],
    at: float,
) -> list[Attempt]:
    if event.event_type not in _ENDINGS:
        return []
    attributes = getattr(event, event.WhichOneof("attributes"))
    operation, since = scheduled[attributes.scheduled_event_id]
    last, last_since = started.get(attributes.scheduled_event_id, (1, since))
    # Durable attempts continue the count of the fast one.
    earlier = [
        Attempt(operation, n + 1, "earlier attempt failed", since, at) for n in range(1, last)
    ]
    return [*earlier, Attempt(operation, last + 1, _ENDINGS[event.event_type], last_since, at)]


def _root(failure: Any) -> str:
    while failure.HasField("cause"):
        failure = failure.cause
    return str(failure.message)


async def read_attempts(client: Client, order_id: UUID) -> list[Attempt]:
    """Return the attempts of an order's workflow; none if it has no history."""
    try:
        history = await client.get_workflow_handle(workflow_id(order_id)).fetch_history()
    except RPCError:
        return []
    return attempts_in(history)
