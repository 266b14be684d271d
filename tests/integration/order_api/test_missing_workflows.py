"""Orders whose workflow somebody ended or deleted are found by looking at Temporal's lists."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    FailWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    PollWorkflowTaskQueueRequest,
    ResetWorkflowExecutionRequest,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from inventory_api.contracts import Line
from order_api.contracts import order_id_for
from tests.support.order_stack import OrderStack, Shopper, eventually
from workflows.contracts import TASK_QUEUE, WORKFLOW, OrderInput, workflow_id

Handle = WorkflowHandle[Any, Any]
FAIL = Command(
    command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
    fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
        failure=Failure(message="a release with a bug")
    ),
)
CANCEL = Command(
    command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
    cancel_workflow_execution_command_attributes=CancelWorkflowExecutionCommandAttributes(),
)
LEFT_ALONE = """
SELECT FROM orders WHERE order_id = $1 AND relay_at > now() + interval '20 seconds'
"""


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    return {"patient": True, "relay_after_s": 2.5}


@pytest.fixture
def order_stack(fresh_order_stack: OrderStack) -> OrderStack:
    """Alone for each test, which ends workflows of any order that it finds."""
    return fresh_order_stack


async def placed(shopper: Shopper, order_stack: OrderStack, key: str | None = None) -> str:
    """Return a new order that the relay has seen to be at work, and so leaves alone for minutes."""
    order_id: str = (await shopper.place(key=key)).json()["order_id"]
    await eventually(lambda: order_stack.rows(LEFT_ALONE, order_id))
    return order_id


async def end_by(client: Client, wanted: WorkflowExecution, command: Command) -> None:
    """End the workflow in the name of a worker, as a release with a bug would."""
    ended = False
    while not ended:
        task = await client.workflow_service.poll_workflow_task_queue(
            PollWorkflowTaskQueueRequest(
                namespace=client.namespace, task_queue=TaskQueue(name=TASK_QUEUE)
            )
        )
        if task.workflow_execution.workflow_id == wanted.workflow_id:
            ended = await answered(client, task.task_token, command)


async def answered(client: Client, task_token: bytes, command: Command) -> bool:
    """Answer a workflow task; False if that came too late, after the five seconds for one."""
    try:
        await client.workflow_service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=client.namespace, task_token=task_token, commands=[command]
            )
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def delete(client: Client, execution: WorkflowExecution) -> None:
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    )


async def test_orders_whose_workflow_ended_badly_or_vanished_are_taken_up_again_soon(
    order_stack: OrderStack, shopper: Shopper, temporal_client: Client
) -> None:
    """After the relay has looked once: its next look is too far away to be waited for."""
    late = order_id_for(shopper.name, "timed-out")
    doomed: Handle = await temporal_client.start_workflow(
        WORKFLOW,
        OrderInput(order_id=late, lines=(Line(sku="MUG-BLUE", quantity=1),)),
        id=workflow_id(late),
        task_queue=TASK_QUEUE,
        execution_timeout=timedelta(seconds=12),
    )
    keys = ("timed-out", "terminated", "deleted", "failed", "cancelled")
    orders = await asyncio.gather(*(placed(shopper, order_stack, key) for key in keys))
    with pytest.raises(WorkflowFailureError):
        await doomed.result()
    _, terminated, deleted, failed, cancelled = (
        WorkflowExecution(workflow_id=f"order-{order_id}") for order_id in orders
    )
    await temporal_client.get_workflow_handle(terminated.workflow_id).terminate(
        "a slip of the finger"
    )
    await delete(temporal_client, deleted)
    await end_by(temporal_client, failed, FAIL)
    await end_by(temporal_client, cancelled, CANCEL)
    with order_stack.working():
        for order_id in orders:
            assert (await shopper.until_settled(order_id))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


async def first_task_done(handle: Handle) -> int:
    """Return the number of the event that ends the first task; 0 if none was done yet.

    The fourth, unless a worker was too slow with it.
    """
    history = await handle.fetch_history()
    kind = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    return next((event.event_id for event in history.events if event.event_type == kind), 0)


async def test_an_order_whose_workflow_was_reset_settles_once(
    order_stack: OrderStack, shopper: Shopper, temporal_client: Client
) -> None:
    with order_stack.working():
        with order_stack.shut(order_stack.to_inventory):
            order_id = await placed(shopper, order_stack)
            execution = WorkflowExecution(workflow_id=f"order-{order_id}")
            handle: Handle = temporal_client.get_workflow_handle(execution.workflow_id)
            await temporal_client.workflow_service.reset_workflow_execution(
                ResetWorkflowExecutionRequest(
                    namespace=temporal_client.namespace,
                    workflow_execution=execution,
                    reason="an operator tries his luck",
                    workflow_task_finish_event_id=await eventually(lambda: first_task_done(handle)),
                    request_id="once",
                )
            )
        assert (await shopper.until_settled(order_id))["status"] == "shipped"
        # the row says so first; the run that was reset has been terminated
        await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    await order_stack.assert_ledger_agrees()
