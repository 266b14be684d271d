"""Temporal faults: orders that no workflow code can read, later releases, histories gone."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID, uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from chaos.nemesis.patched_process import released
from chaos.nemesis.processes import frozen, restart
from chaos.nemesis.system import System
from chaos.scenarios.workload import PlannedOrder
from deploy.local.services import WORKER
from workflows.contracts import TASK_QUEUE, WORKFLOW, workflow_id
from workflows.search_attributes import ORDER_STEP

POLL_INTERVAL_S = 0.2
HELD_UP_WITHIN_S = 60.0
FORGOTTEN_WITHIN_S = 90.0


class TemporalFaults:
    """Attacks the orders in the Temporal at `address`, and remembers which of them it has hit.

    `poisoned` are workflows that nobody can carry out. `releases` counts the releases of newer
    workflow code, and `went_over` are the workflows that had begun with older code.
    """

    def __init__(self, address: str) -> None:
        self.poisoned: list[str] = []
        self.releases = 0
        self.went_over: set[str] = set()
        self._address = address

    async def poison(self, nth: int) -> None:
        """Start an order whose input no workflow code can read."""
        client = await Client.connect(self._address)
        name = workflow_id(uuid4())
        await client.start_workflow(WORKFLOW, {"nobody": nth}, id=name, task_queue=TASK_QUEUE)
        self.poisoned.append(name)

    async def end_poisoned(self) -> None:
        """Terminate the orders that nobody can carry out."""
        client = await Client.connect(self._address)
        for name in self.poisoned:
            await client.get_workflow_handle(name).terminate("the fault run is over")

    async def release(self, system: System) -> bool:
        """Give the worker newer workflow code while orders wait for a silent warehouse.

        Waits for such orders, who have begun with older code; returns whether any came.
        """
        client = await Client.connect(self._address)
        waiting: set[str] = set()
        async with frozen(system, system.inventories):
            deadline = time.monotonic() + HELD_UP_WITHIN_S
            while not waiting and time.monotonic() < deadline:
                await asyncio.sleep(POLL_INTERVAL_S)
                with contextlib.suppress(RPCError):  # too busy to say
                    waiting = await running_orders(client, f"AND {ORDER_STEP.name} = 'warehouse'")
            self.releases += 1
            await restart(system, WORKER, **released(self.releases))
        self.went_over |= waiting
        return bool(waiting)

    async def forget(
        self,
        orders: Sequence[PlannedOrder],
        statuses: Mapping[UUID, str],
        spared: Collection[UUID],
        count: int,
    ) -> list[PlannedOrder]:
        """Delete the histories of `count` shipped orders, as retention would; return which.

        Not of those in `spared`: what happened to them is still to be read from their histories.
        """
        free = [
            order
            for order in orders
            if statuses.get(order.order_id) == "shipped" and order.order_id not in spared
        ]
        client = await Client.connect(self._address, data_converter=pydantic_data_converter)
        chosen = free[:: max(len(free) // count, 1)][:count]
        await asyncio.gather(*(_delete(client, workflow_id(each.order_id)) for each in chosen))
        return chosen


async def running_orders(client: Client, condition: str = "") -> set[str]:
    """Return the orders' workflows that have not ended, by id; of those, a part."""
    query = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus = 'Running' {condition}"
    return {each.id async for each in client.list_workflows(query, page_size=1000)}


async def _delete(client: Client, name: str) -> None:
    """Return once nothing is known of the workflow any more; TimeoutError."""
    execution = WorkflowExecution(workflow_id=name)
    request = DeleteWorkflowExecutionRequest(namespace="default", workflow_execution=execution)
    await client.workflow_service.delete_workflow_execution(request)
    deadline = time.monotonic() + FORGOTTEN_WITHIN_S
    while await _remembers(client, name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is remembered after {FORGOTTEN_WITHIN_S:g} s")
        await asyncio.sleep(0.1)


async def _remembers(client: Client, name: str) -> bool:
    listed = (await client.count_workflows(f"WorkflowId = '{name}'")).count
    try:
        await client.get_workflow_handle(name).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return bool(listed)
    return True
