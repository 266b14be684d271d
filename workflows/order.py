"""The order workflow: reserve, ship, and undo what has to be undone."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities import errors
    from activities.contracts import OPEN, OrderStatus, StepCall, StepDone, StoredStatus
    from workflows.contracts import CANCEL, FIRST_ANSWER, WORKFLOW, OrderInput, OrderOutcome
    from workflows.policies import CANCEL_COMES_AGAIN, ONCE, POLICIES
    from workflows.timeline import OrderTimeline

STATUS = SearchAttributeKey.for_keyword("OrderStatus")
STEP = SearchAttributeKey.for_keyword("OrderStep")

# A local activity hands its own error on, a normal one comes wrapped. A timeout of a local one
# comes wrapped when it happens and bare in a replay: both have to lead the same way, as has the
# cancellation of an attempt whose worker shuts down.
STEP_FAILED = FailureError


class OutOfStock(Exception):
    """The warehouse holds nothing for this order and never will."""


class OrderEnded(Exception):
    """The order ends as `status` unless it turns out to have shipped; what it holds goes back."""

    def __init__(self, status: OrderStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@workflow.defn(name=WORKFLOW)
class OrderWorkflow:
    """One order. The warehouse decides every race: its answer, not our guess, is what counts."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        self._order = order
        self._timeline = OrderTimeline(order.order_id, workflow.now())
        self._cancel_requested = False

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        """Bring the order to exactly one of its ends and return it."""
        try:
            await self._reserve()
            self._ready_to_ship()
            await self._ship()
        except OutOfStock:
            self._timeline.become("rejected", "out-of-stock")
        except OrderEnded as end:
            await self._undo(end)
        await self._write_down()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._timeline.outcome

    @workflow.update(name=FIRST_ANSWER)
    async def first_answer(self) -> OrderOutcome:
        """Answer once there is something worth telling the shopper."""
        await workflow.wait_condition(lambda: self._timeline.has_first_answer)
        return self._timeline.outcome

    @workflow.update(name=CANCEL)
    async def cancel(self) -> OrderOutcome:
        """Ask to cancel; answers when the order has ended, one way or the other."""
        if not self._cancel_requested and self._timeline.status in OPEN:
            self._cancel_requested = True
            self._timeline.happened("cancel_requested", "You asked us to cancel this order.")
        await workflow.wait_condition(lambda: self._timeline.ended)
        return self._timeline.outcome

    # --- the steps -----------------------------------------------------------------------

    async def _reserve(self) -> None:
        self._stop_if_cancelled()
        try:
            done = await self._step("reserve", POLICIES.reserve_within)
        except ApplicationError as refusal:
            if refusal.type == errors.OUT_OF_STOCK:
                self._timeline.happened("rejected", refusal.message)
                raise OutOfStock from refusal
            raise await self._given_up("reserve", refusal) from refusal
        self._timeline.become("reserved", at=done)
        self._timeline.happened("reserved", "The warehouse holds your goods.", done)

    def _ready_to_ship(self) -> None:
        self._stop_if_cancelled()
        self._timeline.happened("ready_to_ship", "Everything is there; the parcel goes out.")

    async def _ship(self) -> None:
        try:
            done = await self._step("commit")
        except ApplicationError as refusal:
            raise await self._given_up("commit", refusal) from refusal
        self._shipped(done)

    async def _given_up(self, step: str, refusal: ApplicationError) -> OrderEnded:
        """Return the end of an order that the warehouse refused, with its reason.

        Found released, it may have been cancelled in a task that was cut off after its release:
        then the order service asks again, and the order is cancelled and has not failed.
        """
        if refusal.type == errors.ALREADY_RELEASED and workflow.patched("cancel-comes-again"):
            try:
                await workflow.wait_condition(
                    lambda: self._cancel_requested, timeout=CANCEL_COMES_AGAIN
                )
            except asyncio.TimeoutError:  # noqa: UP041  TimeoutError is Temporal's here
                pass
            except BaseException as error:
                if not is_cancelled_exception(error):
                    raise
                self._cancel_requested = True
            if self._cancel_requested:
                return OrderEnded("cancelled", "cancelled-by-customer")
        return OrderEnded("failed", f"{step}: {refusal.type}")

    async def _undo(self, end: OrderEnded) -> None:
        """Release whatever is held. Runs to its end however long the warehouse is away.

        A commit may have been on its way: then the warehouse says so, and the order has shipped.
        """
        try:
            done = await self._step("release", interruptible=False)
        except ApplicationError as refusal:
            if refusal.type == errors.ALREADY_COMMITTED:
                self._shipped(None)
            else:
                self._timeline.become("failed", f"{end.reason}; release: {refusal.type}")
                self._timeline.happened("failed", f"Needs a person: release: {refusal.type}.")
        else:
            self._timeline.happened("released", "The goods went back on the shelf.", done)
            self._timeline.become(end.status, end.reason)
            cancelled = end.status == "cancelled"
            words = "Cancelled." if cancelled else f"We had to give up: {end.reason}."
            self._timeline.happened("cancelled" if cancelled else "failed", words)

    # --- how a step is taken --------------------------------------------------------------

    async def _step(
        self,
        name: str,
        within: timedelta | None = None,
        *,
        interruptible: bool = True,
    ) -> StepDone:
        """Try once, fast, inside this task; then durably, visibly, until the outcome is known.

        Raises ApplicationError for a definite no, GivenUp if a cancel came while waiting.
        """
        call = StepCall(
            order_id=self._order.order_id, lines=self._order.lines if name == "reserve" else ()
        )
        try:
            fast: StepDone = await self._uncancellable(
                lambda: workflow.start_local_activity(
                    name,
                    call,
                    result_type=StepDone,
                    start_to_close_timeout=POLICIES.fast_step,
                    retry_policy=ONCE,
                )
            )
            return fast
        except STEP_FAILED as failure:
            _raise_if_final(failure)
        return await self._durably(name, call, within, interruptible=interruptible)

    async def _durably(
        self, name: str, call: StepCall, within: timedelta | None, *, interruptible: bool
    ) -> StepDone:
        step = workflow.start_activity(
            name,
            call.model_copy(update={"first_attempt": 2}),
            result_type=StepDone,
            start_to_close_timeout=POLICIES.durable_step,
            schedule_to_close_timeout=within,
            retry_policy=POLICIES.until_known,
            summary=f"{name}, retried until the warehouse's answer is known",
        )
        self._timeline.mark_waiting("warehouse", name)
        await self._write_down()
        try:
            done: StepDone = await self._wait_unless_cancelled(step, interruptible=interruptible)
        except ActivityError as failure:
            _raise_if_final(failure)
            raise ApplicationError(f"{name} took too long", type="TooLong") from failure
        finally:
            self._timeline.waiting_for = None
        return done

    async def _wait_unless_cancelled(
        self, step: "workflow.ActivityHandle[StepDone]", *, interruptible: bool
    ) -> StepDone:
        """Wait for `step`, unless a cancel comes first and may."""
        try:
            await workflow.wait_condition(
                lambda: step.done() or (interruptible and self._cancel_requested)
            )
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            # Temporal's own Cancel, from the Web UI or the CLI, means the same as the shopper's
            self._cancel_requested = True
            if not interruptible:
                return await self._wait_unless_cancelled(step, interruptible=False)
        if step.done():
            return step.result()
        step.cancel()
        step.add_done_callback(_consume_failure)
        raise OrderEnded("cancelled", "cancelled-by-customer")

    async def _uncancellable(self, start: "Callable[[], workflow.ActivityHandle[Any]]") -> Any:
        """Let a started local activity finish even if Temporal's Cancel arrives meanwhile."""
        handle = start()
        while True:
            try:
                await workflow.wait_condition(handle.done)
            except BaseException as error:
                if not is_cancelled_exception(error):
                    raise
                self._cancel_requested = True
            else:
                return handle.result()

    def _stop_if_cancelled(self) -> None:
        if self._cancel_requested:
            raise OrderEnded("cancelled", "cancelled-by-customer")

    # --- what is said about it -----------------------------------------------------------

    def _shipped(self, done: StepDone | None) -> None:
        self._timeline.become("shipped", at=done)
        self._timeline.happened("shipped", "Your order is on its way.", done)

    async def _write_down(self) -> None:
        """Bring the order's row and timeline up to date, and what the Web UI shows with them."""
        self._show()
        progress = self._timeline.to_write()
        try:
            recorded: StoredStatus | None = await self._uncancellable(
                lambda: workflow.start_local_activity(
                    "record",
                    progress,
                    result_type=StoredStatus,
                    start_to_close_timeout=POLICIES.fast_step,
                    retry_policy=ONCE,
                )
            )
        except STEP_FAILED:
            recorded = await self._uncancellable(
                lambda: workflow.start_activity(
                    "record",
                    progress.model_copy(update={"first_attempt": 2}),
                    result_type=StoredStatus,
                    start_to_close_timeout=POLICIES.durable_step,
                    retry_policy=POLICIES.until_known,
                    summary="record, retried until the order's row is up to date",
                )
            )
        if self._timeline.has_been_written(recorded):
            self._show()

    def _show(self) -> None:
        """Say in Temporal's lists and Web UI how the order stands."""
        timeline = self._timeline
        workflow.upsert_search_attributes(
            [
                STATUS.value_set(timeline.status),
                STEP.value_set(timeline.waiting_for or timeline.status),
            ]
        )
        workflow.set_current_details(timeline.details)


def _consume_failure(step: "asyncio.Task[Any]") -> None:
    """Take note of how a step ended that nobody waits for; what it did, its undoing finds out."""
    if not step.cancelled():
        step.exception()


def _raise_if_final(failure: FailureError) -> None:
    """Raise the warehouse's definite no, if that is what made the activity fail.

    A normal activity's failure comes wrapped in an ActivityError, a local one's does not.
    """
    cause = failure.cause if isinstance(failure, ActivityError) else failure
    if isinstance(cause, ApplicationError) and cause.type in errors.FINAL:
        raise cause
