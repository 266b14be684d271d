"""Reader of Temporal: executions, their results, their histories against the code."""

import asyncio
from collections.abc import Iterable, Sequence
from uuid import UUID

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from chaos.checker.observations import Replay, WorkflowRow
from workflows.contracts import workflow_id
from workflows.order import OrderWorkflow
from workflows.search_attributes import ORDER_STATUS

CONCURRENCY = 16


class TemporalReader:
    """Temporal as the checker asks it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls, address: str) -> "TemporalReader":
        """Return the reader of the Temporal at `address`."""
        return cls(await Client.connect(address, data_converter=pydantic_data_converter))

    async def listed(self) -> list[WorkflowRow]:
        """Return every execution of an order's workflow, by Temporal's own list."""
        rows = []
        query = "WorkflowType = 'OrderWorkflow'"
        async for found in self.client.list_workflows(query, page_size=1000):
            state = found.status or WorkflowExecutionStatus.RUNNING
            status = found.typed_search_attributes.get(ORDER_STATUS)
            rows.append(WorkflowRow(found.id, found.run_id, state.name, status))
        return rows

    async def results(self, orders: Iterable[UUID]) -> dict[UUID, str]:
        """Return the status that each order's workflow ended with; the error if it failed."""
        gate = asyncio.Semaphore(CONCURRENCY)

        async def one(order_id: UUID) -> tuple[UUID, str]:
            handle = self.client.get_workflow_handle(workflow_id(order_id))
            async with gate:
                try:
                    async with asyncio.timeout(10):
                        return order_id, str((await handle.result())["status"])
                except (WorkflowFailureError, RPCError, TimeoutError) as error:
                    return order_id, f"no result: {type(error).__name__}"

        return dict(await asyncio.gather(*(one(order_id) for order_id in orders)))

    async def parked(self, names: Sequence[str]) -> dict[str, str | None]:
        """Return why each of these workflows does not get on, None where Temporal cannot say."""
        found: dict[str, str | None] = {}
        for name in names:
            handle = self.client.get_workflow_handle(name)
            found[name] = None
            async for event in handle.fetch_history_events():
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                    found[name] = event.workflow_task_failed_event_attributes.failure.message
            # Of a task whose first try was cut off, later failures are counted and not listed.
            tries = (await handle.describe()).raw_description.pending_workflow_task.attempt
            if found[name] is None and tries > 1:
                found[name] = f"its task is tried for the {tries}th time"
        return found

    async def replays(self, orders: Iterable[UUID], code: type[OrderWorkflow]) -> list[Replay]:
        """Run workflow code against the stored histories of these orders."""
        replayer = Replayer(
            workflows=[code],
            data_converter=pydantic_data_converter,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        found = []
        for order_id in orders:
            name = workflow_id(order_id)
            try:
                history = await self.client.get_workflow_handle(name).fetch_history()
            except RPCError as error:
                found.append(Replay(name, f"no history: {error.message}"))
                continue
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if (failure := result.replay_failure) is not None:
                found.append(Replay(name, str(failure)[:300], history.to_json()))
            else:
                found.append(Replay(name, None))
        return found
