"""A time-skipping Temporal and what it takes to let orders run on it."""

import asyncio
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import WorkflowHandle, WorkflowUpdateHandle, WorkflowUpdateStage
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from inventory_api.contracts import Line
from tests.support.in_memory_services import InMemoryInventory, InMemoryOrderStore, activities_of
from worker.temporal_worker import runner
from workflows import search_attributes
from workflows.contracts import (
    CANCEL,
    FIRST_ANSWER,
    TASK_QUEUE,
    OrderInput,
    OrderOutcome,
    workflow_id,
)
from workflows.order import OrderWorkflow
from workflows.policies import POLICIES

TEST_SERVER = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
SEARCH_ATTRIBUTES = {
    key.name: IndexedValueType.ValueType(key.indexed_value_type.value)
    for key in search_attributes.ALL
}
Handle = WorkflowHandle[OrderWorkflow, OrderOutcome]


async def start_temporal() -> WorkflowEnvironment:
    """Return a time-skipping server that knows our search attributes."""
    env = await start_time_skipping(pydantic_data_converter)
    await env.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=env.client.namespace, search_attributes=SEARCH_ATTRIBUTES
        )
    )
    return env


async def start_time_skipping(data_converter: DataConverter) -> WorkflowEnvironment:
    """Return a time-skipping server.

    The SDK gives one five seconds to come, few on a busy machine: then another is started.
    """
    tries_left = 5
    while True:
        tries_left -= 1
        try:
            return await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=str(TEST_SERVER), data_converter=data_converter
            )
        except RuntimeError:
            if not tries_left:
                raise


@dataclass
class SagaEnvironment:
    """One order's surroundings: Temporal, an inventory with two mugs, and the order store."""

    env: WorkflowEnvironment
    inventory: InMemoryInventory
    store: InMemoryOrderStore
    sandboxed: bool

    def working(
        self, *, cached: int = 100, orders: bool = True, durable: bool = True
    ) -> AbstractAsyncContextManager[Worker]:
        """Run a worker; without `orders` it does durable activities only, or all but those."""
        return Worker(
            self.env.client,
            task_queue=TASK_QUEUE,
            workflows=[OrderWorkflow] if orders else [],
            activities=activities_of(self.inventory, self.store),
            workflow_runner=runner(sandbox=self.sandboxed),
            max_cached_workflows=cached if orders else 0,
            no_remote_activities=not durable,
        )

    async def place(self, quantity: int = 1, order_id: UUID | None = None) -> Handle:
        """Start an order's workflow for so many mugs."""
        order = OrderInput(
            order_id=order_id or uuid4(), lines=(Line(sku="MUG", quantity=quantity),)
        )
        return await self.env.client.start_workflow(
            OrderWorkflow.run,
            order,
            id=workflow_id(order.order_id),
            task_queue=TASK_QUEUE,
            task_timeout=POLICIES.workflow_task,
        )

    async def ask(self, handle: Handle, update: str) -> OrderOutcome:
        """Send an update as order_api does, and wait for its answer."""
        asked: WorkflowUpdateHandle[OrderOutcome] = await handle.start_update(
            update,
            id=update,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
            result_type=OrderOutcome,
        )
        return await asked.result()

    async def settled(self, handle: Handle) -> OrderOutcome:
        """Ask how the order stands, once that is worth telling."""
        return await self.ask(handle, FIRST_ANSWER)

    async def cancel(self, handle: Handle) -> OrderOutcome:
        """Cancel as a shopper does."""
        return await self.ask(handle, CANCEL)

    async def begin_to_cancel(self, handle: Handle) -> WorkflowUpdateHandle[OrderOutcome]:
        """Cancel, and return once the order has taken note of it.

        Time must not be skipped before that (which `handle.result` does): the test server
        keeps its clock locked for ever if a retry falls due in the moment that it is cancelled.
        """
        return await handle.start_update(
            CANCEL,
            id=CANCEL,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            result_type=OrderOutcome,
        )

    async def until_cancel_has_come(self, handle: Handle) -> None:
        """Return once Temporal knows of the cancel, whether a worker has looked at it or not."""
        asked = PollWorkflowExecutionUpdateRequest(
            namespace=self.env.client.namespace,
            update_ref=UpdateRef(
                workflow_execution=WorkflowExecution(workflow_id=handle.id), update_id=CANCEL
            ),
        )
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.env.client.workflow_service.poll_workflow_execution_update(asked)
                    return
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                await asyncio.sleep(0.01)

    def check(self, outcome: OrderOutcome) -> OrderOutcome:
        """Assert that inventory and order store agree with `outcome`, and return it."""
        self.inventory.check(outcome.order_id, outcome.status)
        self.store.check(outcome.order_id, outcome.status)
        return outcome


async def until_pending(handle: Handle) -> None:
    """Return once the order waits for a durable activity; nothing announces that."""
    async with asyncio.timeout(60):
        while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def meanwhile(*tasks: "asyncio.Task[Any]") -> AsyncIterator[None]:
    """Make sure that no question is left unanswered when a test ends."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
