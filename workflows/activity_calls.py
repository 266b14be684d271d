"""Calls of activities: one fast attempt, then durable retries until the outcome is known."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities import errors
    from activities.contracts import ActivityInput
    from workflows.cancellation import CancelRequest
    from workflows.policies import ONCE, POLICIES

Input = TypeVar("Input", bound=ActivityInput)
Result = TypeVar("Result")


class LeftForCancel(Exception):
    """A call was left because a cancel request came; what it did, its undoing finds out."""


async def call(
    activity: Callable[[Any, Input], Awaitable[Result]],
    argument: Input,
    cancel: CancelRequest,
    *,
    until: str,
    within: timedelta | None = None,
    when_slow: Callable[[], Awaitable[None]] | None = None,
    cancellable: bool = False,
) -> Result:
    """Try `activity` once, fast, inside this task; then durably, visibly, until it has a result.

    `until` says in the Web UI what the retries wait for, `within` bounds them, and `when_slow` runs
    once they have begun. Raises ApplicationError for a definite no and, if it is `cancellable`,
    LeftForCancel when a cancel request comes while it waits for retries.
    """
    name = activity.__name__
    fast = workflow.start_local_activity_method(
        activity,
        argument,
        start_to_close_timeout=POLICIES.fast_step,
        retry_policy=ONCE,
    )
    try:
        return await _result(fast, cancel, cancellable=False)
    except FailureError as failure:
        _raise_if_final(failure)
    durable = workflow.start_activity_method(
        activity,
        argument.model_copy(update={"first_attempt": 2}),
        start_to_close_timeout=POLICIES.durable_step,
        schedule_to_close_timeout=within,
        retry_policy=POLICIES.until_known,
        summary=f"{name}, retried until {until}",
    )
    if when_slow is not None:
        await when_slow()
    try:
        return await _result(durable, cancel, cancellable=cancellable)
    except ActivityError as failure:
        _raise_if_final(failure)
        raise ApplicationError(f"{name} took too long", type=errors.TOO_LONG) from failure


async def _result(
    handle: workflow.ActivityHandle[Result], cancel: CancelRequest, *, cancellable: bool
) -> Result:
    """Wait for `handle`, through Temporal's own Cancel unless the call is `cancellable`."""
    over = False
    while not over:
        await cancel.note_while_waiting(lambda: handle.done() or (cancellable and cancel.made))
        over = handle.done() or (cancellable and cancel.made)
    if handle.done():
        return handle.result()
    handle.cancel()
    handle.add_done_callback(_consume_failure)
    raise LeftForCancel


def _consume_failure(handle: "asyncio.Task[Any]") -> None:
    """Take note of how an activity ended that nobody waits for, or the log complains."""
    if not handle.cancelled():
        handle.exception()


def _raise_if_final(failure: FailureError) -> None:
    """Raise the definite no, if that is what made the activity fail.

    A normal activity's failure comes wrapped in an ActivityError, a local one's does not. A timeout
    of a local one comes wrapped when it happens and bare in a replay: both have to lead the same
    way, as has the cancellation of an attempt whose worker shuts down.
    """
    cause = failure.cause if isinstance(failure, ActivityError) else failure
    if isinstance(cause, ApplicationError) and cause.type in errors.FINAL:
        raise cause
