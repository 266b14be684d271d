"""The life of one order, from accepted to settled: reserve, ship, undo what has to be undone."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
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
    from activities.contracts import (
        TERMINAL,
        EventType,
        Happening,
        OrderStatus,
        Progress,
        Recorded,
        StepCall,
        StepDone,
    )
    from workflows import policies
    from workflows.contracts import CANCEL, SETTLED, WORKFLOW, OrderInput, OrderOutcome

STATUS = SearchAttributeKey.for_keyword("OrderStatus")
STEP = SearchAttributeKey.for_keyword("OrderStep")

# A local activity hands its own error on, a normal one comes wrapped. A timeout of a local one
# comes wrapped when it happens and bare in a replay: both have to lead the same way, as has the
# cancellation of an attempt whose worker shuts down.
STEP_FAILED = FailureError


class Refused(Exception):
    """The warehouse holds nothing for this order and never will."""


class GivenUp(Exception):
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
        self._status: OrderStatus = "received"
        self._reason: str | None = None
        self._waiting_for: str | None = None
        self._changed_at = workflow.now()
        self._cancel_requested = False
        self._unwritten: list[Happening] = []
        self._story: list[str] = []
        self._told_at = self._changed_at
        self._written: OrderStatus = "received"

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        """Bring the order to exactly one of its ends and return it."""
        try:
            await self._reserve()
            self._ready_to_ship()
            await self._ship()
        except Refused:
            self._become("rejected", "out-of-stock")
        except GivenUp as end:
            await self._undo(end)
        await self._write_down()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._outcome()

    @workflow.update(name=SETTLED)
    async def settled(self) -> OrderOutcome:
        """Answer once there is something worth telling the shopper."""
        await workflow.wait_condition(self._worth_telling)
        return self._outcome()

    @workflow.update(name=CANCEL)
    async def cancel(self) -> OrderOutcome:
        """Ask to cancel; answers when the order has ended, one way or the other."""
        if not self._cancel_requested and self._status not in TERMINAL:
            self._cancel_requested = True
            self._happened("cancel_requested", "You asked us to cancel this order.")
        await workflow.wait_condition(lambda: self._written in TERMINAL)
        return self._outcome()

    # --- the steps -----------------------------------------------------------------------

    async def _reserve(self) -> None:
        self._stop_if_cancelled()
        try:
            done = await self._step("reserve", policies.RESERVE_WITHIN)
        except ApplicationError as refusal:
            if refusal.type == errors.OUT_OF_STOCK:
                self._happened("rejected", refusal.message)
                raise Refused from refusal
            raise await self._given_up("reserve", refusal) from refusal
        self._become("reserved", at=done)
        self._happened("reserved", "The warehouse holds your goods.", done)

    def _ready_to_ship(self) -> None:
        self._stop_if_cancelled()
        self._happened("ready_to_ship", "Everything is there; the parcel goes out.")

    async def _ship(self) -> None:
        try:
            done = await self._step("commit")
        except ApplicationError as refusal:
            raise await self._given_up("commit", refusal) from refusal
        self._shipped(done)

    async def _given_up(self, step: str, refusal: ApplicationError) -> GivenUp:
        """Return the end of an order that the warehouse refused, with its reason.

        Found released, it may have been cancelled in a task that was cut off after its release:
        then the order service asks again, and the order is cancelled and has not failed.
        """
        if refusal.type == errors.ALREADY_RELEASED and workflow.patched("cancel-comes-again"):
            try:
                await workflow.wait_condition(
                    lambda: self._cancel_requested, timeout=policies.CANCEL_COMES_AGAIN
                )
            except asyncio.TimeoutError:  # noqa: UP041  TimeoutError is the engine's here
                pass
            except BaseException as error:
                if not is_cancelled_exception(error):
                    raise
                self._cancel_requested = True
            if self._cancel_requested:
                return GivenUp("cancelled", "cancelled-by-customer")
        return GivenUp("failed", f"{step}: {refusal.type}")

    async def _undo(self, end: GivenUp) -> None:
        """Release whatever is held. Runs to its end however long the warehouse is away.

        A commit may have been on its way: then the warehouse says so, and the order has shipped.
        """
        try:
            done = await self._step("release", interruptible=False)
        except ApplicationError as refusal:
            if refusal.type == errors.ALREADY_COMMITTED:
                self._shipped(None)
            else:
                self._become("failed", f"{end.reason}; release: {refusal.type}")
                self._happened("failed", f"Needs a person: release: {refusal.type}.")
        else:
            self._happened("released", "The goods went back on the shelf.", done)
            self._become(end.status, end.reason)
            cancelled = end.status == "cancelled"
            story = "Cancelled." if cancelled else f"We had to give up: {end.reason}."
            self._happened("cancelled" if cancelled else "failed", story)

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
            fast: StepDone = await self._shielded(
                lambda: workflow.start_local_activity(
                    name,
                    call,
                    result_type=StepDone,
                    start_to_close_timeout=policies.FAST_STEP,
                    retry_policy=policies.ONCE,
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
            start_to_close_timeout=policies.DURABLE_STEP,
            schedule_to_close_timeout=within,
            retry_policy=policies.UNTIL_KNOWN,
            summary=f"{name}, retried until the warehouse's answer is known",
        )
        self._wait_for("warehouse", name)
        await self._write_down()
        try:
            done: StepDone = await self._outlast(step, interruptible=interruptible)
        except ActivityError as failure:
            _raise_if_final(failure)
            raise ApplicationError(f"{name} took too long", type="TooLong") from failure
        finally:
            self._waiting_for = None
        return done

    async def _outlast(
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
            # the engine's own Cancel, from the Web UI or the CLI, means the same as the shopper's
            self._cancel_requested = True
            if not interruptible:
                return await self._outlast(step, interruptible=False)
        if step.done():
            return step.result()
        step.cancel()
        step.add_done_callback(_disregard)
        raise GivenUp("cancelled", "cancelled-by-customer")

    async def _shielded(self, start: "Callable[[], workflow.ActivityHandle[Any]]") -> Any:
        """Let a started local activity finish even if the engine's Cancel arrives meanwhile."""
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
            raise GivenUp("cancelled", "cancelled-by-customer")

    # --- what is said about it -----------------------------------------------------------

    def _worth_telling(self) -> bool:
        if self._status == "reserved":
            # only what the row says too: what a client sees must not go back at the next look
            return self._waiting_for is not None and self._written == "reserved"
        return self._written in TERMINAL

    def _outcome(self) -> OrderOutcome:
        return OrderOutcome(
            order_id=self._order.order_id,
            status=self._status,
            at=self._changed_at,
            reason=self._reason,
            waiting_for=self._waiting_for,
        )

    def _shipped(self, done: StepDone | None) -> None:
        self._become("shipped", at=done)
        self._happened("shipped", "Your order is on its way.", done)

    def _become(
        self, status: OrderStatus, reason: str | None = None, at: StepDone | None = None
    ) -> None:
        self._status, self._reason = status, reason
        self._changed_at = at.at if at else workflow.now()

    def _happened(self, kind: EventType, story: str, done: StepDone | None = None) -> None:
        detail: dict[str, Any] = {"message": story}
        if done is not None and done.attempt > 1:
            detail["attempts"] = done.attempt
        self._tell(kind, kind, done.at if done else workflow.now(), detail)

    def _wait_for(self, whom: str, step: str) -> None:
        self._waiting_for = whom
        detail = {"message": f"The {whom} is slow to answer. We keep asking.", "step": step}
        self._tell(f"waiting:{step}", "waiting", workflow.now(), detail)

    def _tell(self, key: str, kind: EventType, at: datetime, detail: dict[str, Any]) -> None:
        # The worker's clock and the engine's differ a little; a timeline never goes back.
        self._told_at = max(self._told_at, at)
        self._unwritten.append(Happening(key=key, type=kind, at=self._told_at, detail=detail))
        self._story.append(f"- {self._told_at:%H:%M:%S} {detail['message']}")

    async def _write_down(self) -> None:
        """Bring the order's row and timeline up to date, and what the Web UI shows with them."""
        self._show()
        progress = Progress(
            order_id=self._order.order_id,
            status=self._status,
            at=self._changed_at,
            reason=self._reason,
            waiting_for=self._waiting_for,
            happenings=tuple(self._unwritten),
        )
        self._unwritten.clear()
        try:
            recorded: Recorded | None = await self._shielded(
                lambda: workflow.start_local_activity(
                    "record",
                    progress,
                    result_type=Recorded,
                    start_to_close_timeout=policies.FAST_STEP,
                    retry_policy=policies.ONCE,
                )
            )
        except STEP_FAILED:
            recorded = await self._shielded(
                lambda: workflow.start_activity(
                    "record",
                    progress.model_copy(update={"first_attempt": 2}),
                    result_type=Recorded,
                    start_to_close_timeout=policies.DURABLE_STEP,
                    retry_policy=policies.UNTIL_KNOWN,
                    summary="record, retried until the order's row is up to date",
                )
            )
        # None in histories from before the record answered
        told = recorded.status if recorded else self._status
        if told != self._status and {told, self._status} <= TERMINAL:
            # A task that was cut off after its record, and taken anew with a cancel in it, may
            # come to another end. What was told counts; the warehouse's part is the same.
            assert recorded is not None
            self._status, self._reason = recorded.status, recorded.reason
            self._show()
        self._written = self._status

    def _show(self) -> None:
        """Say in Temporal's lists and Web UI how the order stands."""
        workflow.upsert_search_attributes(
            [STATUS.value_set(self._status), STEP.value_set(self._waiting_for or self._status)]
        )
        because = f" ({self._reason})" if self._reason else ""
        workflow.set_current_details("\n".join([f"**{self._status}**{because}", *self._story]))


def _disregard(step: "asyncio.Task[Any]") -> None:
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
