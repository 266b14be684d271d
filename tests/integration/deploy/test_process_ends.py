"""The real processes end cleanly, whatever is under way: exit code, log, and no order lost."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from deploy.local.ports import free_port
from deploy.local.temporal.server import EmbeddedTemporal
from order_api.contracts import OrderLine
from order_api.workflow_client import TEMPORAL_ERRORS, OrderWorkflows
from service_kit.temporal import connect
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.poisoned_workflow import PoisonedWorkflow
from tests.support.processes import bare_environment
from tests.support.serving import TOKEN_KEY, Served, token
from worker.temporal_worker import runner
from workflows.contracts import TASK_QUEUE


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    return {"relay_after_s": 2.5}


@asynccontextmanager
async def process(stack: OrderStack, module: str) -> AsyncIterator[str]:
    """Run `python -m module`, give its address once it is ready, and end it with SIGTERM."""
    port = free_port()
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env=bare_environment(
            TEMPORAL_ADDRESS=os.environ["TEMPORAL_ADDRESS"],
            ORDERS_DATABASE_URL=stack.orders_dsn,
            INVENTORY_URL=stack.inventory_url,
            INVENTORY_TOKEN=token("service", "worker"),
            ORDER_PORT=str(port),
            WORKER_PORT=str(port),
            TOKEN_KEY=TOKEN_KEY,
        ),
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stderr is not None
    said = asyncio.create_task(running.stderr.read())
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):  # the test has told it
            running.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(running.wait(), 20)
        log = (await said).decode()
        # 134 and 139 are what a pending call into Temporal's library makes of an exit
        assert code in (0, -signal.SIGTERM), (code, log[-3000:])
        for complaint in ("never retrieved", "was destroyed", "unfinished", "panicked"):
            assert complaint not in log, log[-3000:]


async def test_a_worker_that_is_told_to_stop_with_attempts_under_way_ends_cleanly(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    with order_stack.shut(order_stack.to_inventory):
        async with process(order_stack, "worker"):
            # these wait in a durable attempt
            orders = [(await shopper.place_stubbornly()).json()["order_id"] for _ in range(2)]
            asked = asyncio.create_task(shopper.place_stubbornly())
            seen = shopper.name

            async def stored() -> bool:
                found = await order_stack.rows("SELECT FROM orders WHERE customer = $1", seen)
                return len(found) == 3

            await eventually(stored)  # and this one in its fast attempt, or just before it
    orders.append((await asked).json()["order_id"])
    async with process(order_stack, "worker"):
        for order_id in orders:
            assert (await shopper.until_settled(order_id))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


async def test_an_order_api_that_is_told_to_stop_while_shoppers_wait_answers_them_first(
    order_stack: OrderStack,
) -> None:
    """Nobody works, so each request waits for Temporal when the process is told to end."""
    async with process(order_stack, "order_api") as address:
        served = Served(order_stack.orders.app, int(address.rpartition(":")[2]))
        async with Shopper(served) as shopper:
            waiting = [asyncio.create_task(shopper.place()) for _ in range(5)]

            async def stored() -> bool:
                return len(await order_stack.rows(OPEN)) == 5

            await eventually(stored)
            os.kill(await _pid_of(served.port), signal.SIGTERM)
            answers = await asyncio.gather(*waiting)
            assert {_said(answer) for answer in answers} <= {202, "/problems/outcome-unknown"}
    with order_stack.working():

        async def all_settled() -> bool:
            return not await order_stack.rows(OPEN)

        await eventually(all_settled, 60.0)


def _said(answer: httpx.Response) -> Any:
    """Return its status; of a 503, its type: the database may have stood still for a second."""
    return answer.json()["type"] if answer.status_code == 503 else answer.status_code


OPEN = "SELECT FROM orders WHERE status IN ('received', 'reserved')"


async def _pid_of(port: int) -> int:
    """Return the process that listens on a loopback port."""

    def find() -> int:
        [pid] = {
            found.pid
            for found in psutil.net_connections("tcp")
            if found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,)
        }
        assert pid is not None
        return pid

    return await asyncio.to_thread(find)


async def test_a_bug_in_the_saga_parks_its_order_until_it_is_mended(
    order_stack: OrderStack, shopper: Shopper, temporal_client: Client
) -> None:
    async with Worker(
        temporal_client,
        task_queue=TASK_QUEUE,
        workflows=[PoisonedWorkflow],
        workflow_runner=runner(sandbox=False),
    ):
        answer = await shopper.place_stubbornly(quantity=2)
        assert answer.status_code == 202
        poison = answer.json()
        handle = temporal_client.get_workflow_handle(poison["workflow_id"])

        async def task_failed() -> bool:
            history = await handle.fetch_history()
            return any(
                event.HasField("workflow_task_failed_event_attributes") for event in history.events
            )

        await eventually(task_failed)
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert (await shopper.order(poison["order_id"]))["status"] == "received"
    with order_stack.working():
        assert (await shopper.until_settled(poison["order_id"]))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


async def test_a_start_that_fails_leaves_no_exception_that_nobody_looked_at(
    temporal: EmbeddedTemporal, loop_thread: EventLoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    starter = OrderWorkflows(await connect(), workflow_task_s=5.0)
    loop_thread.run(temporal.process.stop())
    try:
        line = OrderLine(sku="MUG-BLUE", quantity=1, unit_price_minor=1490)
        for wait_s in (0.05, 5.0):
            with pytest.raises(TEMPORAL_ERRORS):
                await starter.first_answer(uuid4(), [line], wait_s)
        gc.collect()
    finally:
        loop_thread.run(temporal.process.start())
        loop_thread.run(temporal.process.wait_ready())
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]
