"""The relay: what was accepted is settled, whoever died in between and whatever was lost."""

import shutil
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import httpx
import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from deploy.local.postgres.connection import connected
from deploy.local.temporal.server import EmbeddedTemporal
from order_api.contracts import OrderLine, order_id_for
from order_api.db.notifier import Notifier
from order_api.db.store import Store
from order_api.db.stored_order import NewOrder
from service_kit.postgres import pool
from tests.support.databases import Databases, name_in
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.serving import bearer


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    return {"patient": True, "relay_after_s": 2.5}


@pytest.fixture
def order_stack(fresh_order_stack: OrderStack) -> OrderStack:
    """Alone for each test, which looks at all of its orders."""
    return fresh_order_stack


DUE_NOW = "UPDATE orders SET relay_at = now() WHERE status IN ('received', 'reserved')"
# As an older backup would have it. Superusers may; the trigger refuses it to everybody else.
BEFORE_THE_END = """
SET session_replication_role = replica;
UPDATE orders SET status = 'received', reason = NULL, relay_at = now();
DELETE FROM order_events WHERE type <> 'received';
SET session_replication_role = origin;
"""


async def restore_older_backup(databases: Databases, dsn: str) -> None:
    name = name_in(dsn)
    async with connected(databases.postgres.admin_dsn(name)) as connection:
        await connection.execute(BEFORE_THE_END)


async def wait_until_running(handle: WorkflowHandle[object, object]) -> None:
    async def running() -> bool:
        try:
            return (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        except RPCError:  # not started within the answer budget: the relay does it
            return False

    await eventually(running)


async def test_orders_that_were_stored_and_never_started_are_started_by_the_relay(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    """What an order_api leaves behind that dies between its commit and the start."""
    connections = await pool.create(
        order_stack.orders_dsn, name="dies", size=2, lock_timeout_s=10, statement_timeout_s=10
    )
    async with Notifier(connections) as notifier:
        store = Store(connections, notifier)
        orders = [uuid.uuid4() for _ in range(60)]  # more than the relay takes at once
        for order_id in orders:
            line = OrderLine(sku="MUG-BLUE", quantity=1, unit_price_minor=1490)
            await store.accept(
                NewOrder(
                    order_id=order_id,
                    customer=shopper.name,
                    key=str(order_id),
                    digest=b"",
                    lines=(line,),
                    total_minor=1490,
                    currency="EUR",
                    relay_in_s=0.0,
                )
            )
    connections.terminate()
    with order_stack.working():
        for order_id in orders:
            assert (await shopper.until_settled(str(order_id)))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


async def test_a_temporal_that_lost_everything_gets_its_open_orders_again_and_settles_them_once(
    order_stack: OrderStack, shopper: Shopper, temporal: EmbeddedTemporal
) -> None:
    with order_stack.working():
        shipped = await shopper.shipped()
        with order_stack.shut(order_stack.to_inventory):
            waiting = [(await shopper.place()).json()["order_id"] for _ in range(3)]
            order_stack.loop_thread.run(temporal.process.stop())
            for leftover in temporal.folder.glob("temporal.db*"):
                leftover.unlink()
            shutil.rmtree(temporal.folder / "namespace", ignore_errors=True)
            order_stack.loop_thread.run(temporal.process.start())
            order_stack.loop_thread.run(temporal.process.wait_ready())
        await order_stack.rows(DUE_NOW)  # or it takes the relay ten minutes to look again
        for order_id in waiting:
            assert (await shopper.until_settled(order_id))["status"] == "shipped"
    assert (await shopper.order(shipped))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


@pytest.mark.parametrize("cancelled", [False, True], ids=["shipped", "cancelled"])
async def test_a_row_behind_the_result_of_its_workflow_is_brought_up_to_date(
    order_stack: OrderStack,
    shopper: Shopper,
    databases: Databases,
    temporal_client: Client,
    *,
    cancelled: bool,
) -> None:
    with order_stack.working():
        if cancelled:
            with order_stack.shut(order_stack.to_inventory):
                order_id = (await shopper.place()).json()["order_id"]
                await shopper.cancel(order_id)
        else:
            order_id = (await shopper.place()).json()["order_id"]
        ended = await shopper.until_settled(order_id)
        # its row is written first, and without a worker the workflow would never end
        await temporal_client.get_workflow_handle(ended["workflow_id"]).result()
    await restore_older_backup(databases, order_stack.orders_dsn)
    healed = await shopper.until_settled(order_id)
    assert (healed["status"], healed["reason"]) == (ended["status"], ended["reason"])
    await order_stack.assert_ledger_agrees()


async def test_an_order_whose_wish_to_cancel_was_only_noted_down_is_cancelled_by_the_relay(
    order_stack: OrderStack, temporal: EmbeddedTemporal
) -> None:
    # no relay may be on its way with the order, to start it, when the wish is noted down
    with order_stack.another_order_api(patient=True, relay_after_s=20.0) as later:
        async with Shopper(later) as shopper:
            order_stack.loop_thread.run(temporal.process.stop())
            try:
                order_id = (await shopper.place()).json()["order_id"]
                assert (await shopper.cancel(order_id)).status_code == 202
            finally:
                order_stack.loop_thread.run(temporal.process.start())
                order_stack.loop_thread.run(temporal.process.wait_ready())
            with order_stack.working():
                assert (await shopper.until_settled(order_id))["status"] == "cancelled"


async def test_an_order_whose_workflow_was_terminated_is_taken_up_again(
    order_stack: OrderStack, shopper: Shopper, temporal_client: Client
) -> None:
    """By somebody in the Web UI, say. It is accepted, so it has to end."""
    with order_stack.working():
        with order_stack.shut(order_stack.to_inventory):
            order = (await shopper.place()).json()
            handle = temporal_client.get_workflow_handle(order["workflow_id"])
            await wait_until_running(handle)
            await handle.terminate("a slip of the finger")
        await order_stack.rows(DUE_NOW)
        assert (await shopper.until_settled(order["order_id"]))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


@pytest.fixture
async def waiting_shopper(order_stack: OrderStack) -> AsyncIterator[Shopper]:
    """A customer of an order_api that takes long to answer if it has to."""
    with order_stack.another_order_api(
        patient=True, answer_budget_s=15.0, relay_after_s=20.0
    ) as served:
        async with Shopper(served) as found:
            yield found


async def test_an_order_that_is_held_and_not_shipped_yet_survives_the_end_of_its_workflow(
    order_stack: OrderStack, waiting_shopper: Shopper, temporal_client: Client
) -> None:
    shopper = waiting_shopper
    order_id = order_id_for(shopper.name, "held")

    async def held() -> bool:
        answer = await warehouse.put(
            f"{order_stack.inventory.url}/v1/reservations/{order_id}",
            json={"lines": [{"sku": "MUG-BLUE", "quantity": 1}]},
        )
        return answer.status_code == 200  # 503 from a busy machine

    async with httpx.AsyncClient(headers=bearer("service"), timeout=30) as warehouse:
        await eventually(held)
    with order_stack.working():
        async with connected(order_stack.inventory_dsn) as connection, connection.transaction():
            # a commit needs this row, a copy of the reserve does not
            await connection.execute(LOCK, order_id)
            placed = await shopper.place(key="held")
            assert placed.status_code == 201
            assert placed.json()["status"] == "reserved"
            assert (await shopper.order(str(order_id)))["status"] == "reserved"
            handle = temporal_client.get_workflow_handle(placed.json()["workflow_id"])
            await handle.terminate("a slip of the finger")
        await order_stack.rows(DUE_NOW)
        assert (await shopper.until_settled(str(order_id)))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()


LOCK = "SELECT FROM reservations WHERE order_id = $1 FOR UPDATE"


async def test_a_status_never_goes_back_whoever_writes_it(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    with order_stack.working():
        order_id = uuid.UUID(await shopper.shipped())
    for status in ("received", "reserved", "cancelled", "failed", "rejected"):
        with pytest.raises(asyncpg.CheckViolationError, match="cannot become"):
            await order_stack.rows(
                "UPDATE orders SET status = $1 WHERE order_id = $2", status, order_id
            )
    for statement in ("UPDATE order_events SET type = 'failed'", "DELETE FROM order_events"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await order_stack.rows(statement)
    assert datetime.fromisoformat((await shopper.order(str(order_id)))["updated_at"]) < (
        datetime.now(UTC)
    )
