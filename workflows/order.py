"""The order workflow: reserve, ship, and undo what has to be undone."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities import errors
    from activities.contracts import OPEN, OrderStatus, StepCall, StepDone
    from activities.references import OrderRecords, WarehouseSteps
    from workflows import reasons, shopper_texts
    from workflows.activity_calls import LeftForCancel, call
    from workflows.cancellation import CancelRequest
    from workflows.contracts import CANCEL, FIRST_ANSWER, WORKFLOW, OrderInput, OrderOutcome
    from workflows.policies import CANCEL_COMES_AGAIN, POLICIES
    from workflows.timeline import OrderTimeline

Step = Callable[[Any, StepCall], Awaitable[StepDone]]


class OutOfStock(Exception):
    """The warehouse holds nothing for this order and never will; the text says what is missing."""


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
        self._cancel = CancelRequest()

    @workflow.run
    async def run(self, order: OrderInput) -> OrderOutcome:
        """Bring the order to exactly one of its ends and return it."""
        try:
            await self._reserve()
            self._ready_to_ship()
            await self._ship()
        except OutOfStock as refusal:
            self._timeline.transition("rejected", str(refusal), reason=reasons.OUT_OF_STOCK)
        except OrderEnded as end:
            await self._undo(end)
        await self._record()
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
        if not self._cancel.made and self._timeline.status in OPEN:
            self._cancel.made = True
            self._timeline.add_event("cancel_requested", shopper_texts.CANCEL_REQUESTED)
        await workflow.wait_condition(lambda: self._timeline.ended)
        return self._timeline.outcome

    # --- the steps -----------------------------------------------------------------------

    async def _reserve(self) -> None:
        self._stop_if_cancelled()
        try:
            done = await self._step(WarehouseSteps.reserve, within=POLICIES.reserve_within)
        except ApplicationError as refusal:
            if refusal.type == errors.OUT_OF_STOCK:
                raise OutOfStock(refusal.message) from refusal
            raise await self._end_after("reserve", refusal) from refusal
        self._timeline.transition("reserved", shopper_texts.RESERVED, done=done)

    def _ready_to_ship(self) -> None:
        self._stop_if_cancelled()
        self._timeline.add_event("ready_to_ship", shopper_texts.READY_TO_SHIP)

    async def _ship(self) -> None:
        try:
            done = await self._step(WarehouseSteps.commit)
        except ApplicationError as refusal:
            raise await self._end_after("commit", refusal) from refusal
        self._timeline.transition("shipped", shopper_texts.SHIPPED, done=done)

    async def _end_after(self, step: str, refusal: ApplicationError) -> OrderEnded:
        """Return the end of an order that the warehouse refused, with its reason.

        Found released, it may have been cancelled in a task that was cut off after its release:
        then the order service asks again, and the order is cancelled and has not failed.
        """
        if refusal.type == errors.ALREADY_RELEASED and workflow.patched("cancel-comes-again"):
            await self._cancel.wait_for(CANCEL_COMES_AGAIN)
            if self._cancel.made:
                return OrderEnded("cancelled", reasons.CANCELLED_BY_CUSTOMER)
        return OrderEnded("failed", reasons.step_refused(step, refusal.type))

    async def _undo(self, end: OrderEnded) -> None:
        """Release whatever is held. Runs to its end however long the warehouse is away.

        A commit may have been on its way: then the warehouse says so, and the order has shipped.
        """
        try:
            done = await self._step(WarehouseSteps.release, cancellable=False)
        except ApplicationError as refusal:
            if refusal.type == errors.ALREADY_COMMITTED:
                self._timeline.transition("shipped", shopper_texts.SHIPPED)
            else:
                failure = reasons.step_refused("release", refusal.type)
                message = shopper_texts.needs_a_person(failure)
                self._timeline.transition("failed", message, reason=f"{end.reason}; {failure}")
            return
        self._timeline.add_event("released", shopper_texts.RELEASED, done)
        message = shopper_texts.undone(end.status, end.reason)
        self._timeline.transition(end.status, message, reason=end.reason)

    def _stop_if_cancelled(self) -> None:
        if self._cancel.made:
            raise OrderEnded("cancelled", reasons.CANCELLED_BY_CUSTOMER)

    # --- how a step is taken -------------------------------------------------------------

    async def _step(
        self, step: Step, *, within: timedelta | None = None, cancellable: bool = True
    ) -> StepDone:
        """Have the warehouse take a step, and say so on the timeline if it is slow to answer."""

        async def tell() -> None:
            self._timeline.mark_waiting("warehouse", step.__name__)
            await self._record()

        lines = self._order.lines if step is WarehouseSteps.reserve else ()
        try:
            return await call(
                step,
                StepCall(order_id=self._order.order_id, lines=lines),
                self._cancel,
                until="the warehouse's answer is known",
                within=within,
                when_slow=tell,
                cancellable=cancellable,
            )
        except LeftForCancel:
            raise OrderEnded("cancelled", reasons.CANCELLED_BY_CUSTOMER) from None
        finally:
            self._timeline.waiting_for = None

    async def _record(self) -> None:
        """Bring the order's row and timeline up to date, and what the Web UI shows with them."""
        self._timeline.show()
        update = self._timeline.take_update()
        stored = await call(
            OrderRecords.record, update, self._cancel, until="the order's row is up to date"
        )
        if self._timeline.adopt(stored):
            self._timeline.show()
