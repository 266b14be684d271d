"""Client of the order workflows: start one and wait for its first answer, cancel, list."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from inventory_api.contracts import Line
from order_api.contracts import OrderLine
from service_kit import temporal
from service_kit.observability.health import CheckResult
from workflows.contracts import (
    CANCEL,
    FIRST_ANSWER,
    TASK_QUEUE,
    WORKFLOW,
    OrderInput,
    OrderOutcome,
    order_of,
    workflow_id,
)
from workflows.search_attributes import ORDER_SKUS, ORDER_STATUS

# One page of Temporal's lists, and how long reading any number of them may take.
PAGE = 1000
LIST_WITHIN_S = 30.0
NOT_ENDED = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus IN ('Running', 'Paused')"
ENDED_UNSETTLED = (
    f"WorkflowType = '{WORKFLOW}'"
    " AND ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut', 'Canceled')"
)


class Incompatible(TemporalError):
    """An order, or what its workflow says of it, that this release cannot put or take in words."""


# What Temporal away, slow, or in doubt looks like. The order itself is safe in the database.
TEMPORAL_ERRORS: tuple[type[Exception], ...] = (
    TimeoutError,
    RPCError,
    RuntimeError,
    TemporalError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)

WORKFLOW_ERRORS: tuple[type[Exception], ...] = (*TEMPORAL_ERRORS, WorkflowFailureError)


class OrderWorkflows:
    """Starts workflows under their deterministic ids; starting one twice is the same as once."""

    def __init__(self, client: Client, workflow_task_s: float) -> None:
        self._client = client
        self._task_timeout = timedelta(seconds=workflow_task_s)

    async def first_answer(
        self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome:
        """Make sure the order's workflow runs and return its outcome if it has one in `wait_s`.

        Raises one of TEMPORAL_ERRORS otherwise; the workflow may be running all the same.
        """
        return await self._ask(FIRST_ANSWER, order_id, lines, wait_s)

    async def cancel(
        self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome:
        """Ask the order's workflow to cancel, and return how it ended if it has in `wait_s`."""
        return await self._ask(CANCEL, order_id, lines, wait_s)

    async def start(self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float) -> None:
        """Start the order's workflow again if it ended without settling the order.

        Raises one of TEMPORAL_ERRORS if that is not so, or not known.
        """
        async with asyncio.timeout(wait_s):
            with _converting():
                await self._client.start_workflow(**self._start_arguments(order_id, lines))

    async def is_running(self, order_id: UUID, wait_s: float) -> bool:
        """Tell whether the order's workflow is running; False also if nobody can say."""
        try:
            async with asyncio.timeout(wait_s):
                found = await self._client.get_workflow_handle(workflow_id(order_id)).describe()
        except TEMPORAL_ERRORS:
            return False
        return found.status is WorkflowExecutionStatus.RUNNING

    async def final_outcome(self, order_id: UUID, wait_s: float) -> OrderOutcome | None:
        """Return what the order's workflow ended with, None if it has not, or not well.

        Raises Incompatible if it cannot be read.
        """
        handle = self._client.get_workflow_handle(workflow_id(order_id), result_type=OrderOutcome)
        try:
            async with asyncio.timeout(wait_s):
                with _converting():
                    outcome: OrderOutcome = await handle.result(follow_runs=False)
                return outcome
        except Incompatible:
            raise
        except WORKFLOW_ERRORS:
            return None

    async def ended_unsettled(self) -> dict[str, UUID]:
        """Return the newest workflows that ended without settling their order: run id to order.

        Up to a page of them, from Temporal's list. Raises one of TEMPORAL_ERRORS.
        """
        async with asyncio.timeout(LIST_WITHIN_S):
            found = self._client.list_workflows(ENDED_UNSETTLED, page_size=PAGE, limit=PAGE)
            runs = [(each.run_id, order_of(each.id)) async for each in found]
        return {run_id: order_id for run_id, order_id in runs if order_id is not None}

    async def running(self) -> frozenset[UUID]:
        """Return the orders whose workflow runs or is paused, by Temporal's list.

        The list may be a second behind. Raises one of TEMPORAL_ERRORS.
        """
        async with asyncio.timeout(LIST_WITHIN_S):
            found = self._client.list_workflows(NOT_ENDED, page_size=PAGE)
            orders = [order_of(each.id) async for each in found]
        return frozenset(order_id for order_id in orders if order_id is not None)

    async def answers(self) -> CheckResult:
        """Probe: does Temporal answer?"""
        return await temporal.answers(self._client)

    async def _ask(
        self, update: str, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome:
        with _converting():
            start: WithStartWorkflowOperation[OrderInput, OrderOutcome] = (
                WithStartWorkflowOperation(**self._start_arguments(order_id, lines))
            )
        try:
            async with asyncio.timeout(wait_s):
                handle = await self._client.start_update_with_start_workflow(
                    update,
                    # one update per question and order, however many ask it
                    id=update,
                    wait_for_stage=WorkflowUpdateStage.COMPLETED,
                    result_type=OrderOutcome,
                    start_workflow_operation=start,
                )
                with _converting():
                    outcome: OrderOutcome = await handle.result()
                return outcome
        except BaseException:
            _consume_failure(start)
            raise

    def _start_arguments(self, order_id: UUID, lines: Iterable[OrderLine]) -> dict[str, Any]:
        """Return how an order's workflow is started, whoever starts it."""
        wanted = tuple(Line(sku=line.sku, quantity=line.quantity) for line in lines)
        pieces = sum(line.quantity for line in wanted)
        return {
            "workflow": WORKFLOW,
            "arg": OrderInput(order_id=order_id, lines=wanted),
            "id": workflow_id(order_id),
            "task_queue": TASK_QUEUE,
            "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
            # An order whose workflow was terminated or failed is not settled: it may start again.
            "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            "task_timeout": self._task_timeout,
            "result_type": OrderOutcome,
            "search_attributes": TypedSearchAttributes(
                [
                    SearchAttributePair(ORDER_STATUS, "received"),
                    SearchAttributePair(ORDER_SKUS, [line.sku for line in wanted][:20]),
                ]
            ),
            "static_summary": f"{pieces} x {', '.join(line.sku for line in wanted[:3])}"[:200],
        }


@contextlib.contextmanager
def _converting() -> Iterator[None]:
    """Say Incompatible for what converting values to and from Temporal's payloads raises."""
    try:
        yield
    except (ValueError, TypeError, LookupError) as error:
        raise Incompatible(type(error).__name__) from error


def _consume_failure(start: "WithStartWorkflowOperation[OrderInput, OrderOutcome]") -> None:
    """Look at the copy of a failure that the start keeps, or the log complains that nobody did."""
    look = start.workflow_handle()
    with contextlib.suppress(BaseException):
        look.send(None)
    look.close()
