"""Reads the truth: both databases by SQL, Temporal by its list and histories, the API by asking.

Never the system's own counters, and never through the code that is on trial.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import aiohttp
import asyncpg
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from chaos.checker.observations import (
    Fired,
    Movement,
    Observations,
    OrderEvent,
    OrderRow,
    Replay,
    Shelf,
    Snapshot,
    WorkflowRow,
    evidence,
)
from chaos.client.history import Entry
from chaos.scenarios.workload import PlannedOrder
from workflows.order import OrderWorkflow

CONCURRENCY = 16
TOLD_SHOPPERS = ("received", "waiting", "shipped", "rejected", "cancelled", "failed")

ORDERS = """
SELECT o.order_id, o.customer, o.idempotency_key AS key, o.status, o.reason, o.created_at,
       o.updated_at, array_agg(l.sku) AS skus, array_agg(l.quantity) AS quantities
FROM orders o LEFT JOIN order_lines l USING (order_id) GROUP BY o.order_id
"""
EVENTS = "SELECT seq, order_id, type, at FROM order_events ORDER BY seq"
OPEN = """
SELECT count(*) FROM orders
WHERE status NOT IN ('shipped', 'rejected', 'cancelled', 'failed') AND customer = ANY($1::text[])
"""
STATUSES = "SELECT order_id, status FROM orders"
NOTIFIED = "SELECT event_seq, count(*) AS n FROM notifications GROUP BY event_seq"
UNREAD = """
SELECT count(*) FROM order_events e, subscriber_cursors c WHERE (e.tx, e.seq) > (c.tx, c.seq)
"""
MOVEMENTS = "SELECT movement_id, order_id, sku, operation, quantity FROM movements ORDER BY 1"
RESERVATIONS = "SELECT order_id, state FROM reservations"
SHELVES = "SELECT sku, on_hand, reserved FROM stock ORDER BY sku"
FIRED = "SELECT rule, order_id, operation, attempt, point, fault, at FROM fault_log ORDER BY id"
# One statement, one snapshot of the database: level and ledger as of the same instant.
CONSERVATION = """
SELECT s.sku, s.on_hand, s.reserved,
       coalesce(sum(m.quantity) FILTER (WHERE m.operation IN ('initial', 'restock')), 0)
       - coalesce(sum(m.quantity) FILTER (WHERE m.operation = 'commit'), 0) AS ledger_on_hand,
       coalesce(sum(m.quantity) FILTER (WHERE m.operation = 'reserve'), 0)
       - coalesce(sum(m.quantity) FILTER (WHERE m.operation IN ('release', 'commit')), 0)
       AS ledger_reserved
FROM stock s LEFT JOIN movements m USING (sku) GROUP BY s.sku
"""
_STATUS = SearchAttributeKey.for_keyword("OrderStatus")


async def read_warehouse(
    dsn: str,
) -> tuple[list[Movement], dict[UUID, str], list[Shelf], list[Fired]]:
    """Return the ledger, the reservations' states, the shelves and the evidence of faults."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            movements = [
                Movement(r["movement_id"], r["order_id"], r["sku"], r["operation"], r["quantity"])
                for r in await connection.fetch(MOVEMENTS)
            ]
            states = {r["order_id"]: r["state"] for r in await connection.fetch(RESERVATIONS)}
            shelves = [
                Shelf(r["sku"], r["on_hand"], r["reserved"])
                for r in await connection.fetch(SHELVES)
            ]
            fired = [evidence(row) for row in await connection.fetch(FIRED)]
    finally:
        await connection.close()
    return movements, states, shelves, fired


async def snapshots(dsn: str, within_s: float = 10.0) -> list[Snapshot]:
    """Return every SKU's level and what the ledger says of it, as of this instant."""
    connection = await asyncpg.connect(dsn, timeout=within_s)
    try:
        rows = await connection.fetch(CONSERVATION, timeout=within_s)
    finally:
        await connection.close()
    now = time.time()
    return [
        Snapshot(
            now, r["sku"], r["on_hand"], r["reserved"], r["ledger_on_hand"], r["ledger_reserved"]
        )
        for r in rows
    ]


async def open_orders(dsn: str, customers: Collection[str]) -> int:
    """Return how many orders of these customers have not ended."""
    return await _count(dsn, OPEN, list(customers))


async def unread_events(dsn: str) -> int:
    """Return how many events some subscriber has not taken yet."""
    return await _count(dsn, UNREAD)


async def statuses(dsn: str) -> dict[UUID, str]:
    """Return the status of every order."""
    connection = await asyncpg.connect(dsn)
    try:
        return {r["order_id"]: r["status"] for r in await connection.fetch(STATUSES)}
    finally:
        await connection.close()


async def _count(dsn: str, sql: str, *values: object) -> int:
    connection = await asyncpg.connect(dsn, timeout=2.0)
    try:
        found: int = await connection.fetchval(sql, *values)
        return found
    finally:
        await connection.close()


async def read_databases(
    orders_dsn: str,
    inventory_dsn: str,
    planned: tuple[PlannedOrder, ...],
    history: list[Entry],
) -> Observations:
    """Return what the databases hold, joined with the client's side."""
    movements, reservations, shelves, fired = await read_warehouse(inventory_dsn)
    connection = await asyncpg.connect(orders_dsn)
    try:
        orders = [_order(row) for row in await connection.fetch(ORDERS)]
        events = [
            OrderEvent(r["seq"], r["order_id"], r["type"], r["at"])
            for r in await connection.fetch(EVENTS)
        ]
        fired += [evidence(row) for row in await connection.fetch(FIRED)]
        notified = {r["event_seq"]: r["n"] for r in await connection.fetch(NOTIFIED)}
    finally:
        await connection.close()
    return Observations(
        planned=planned,
        history=history,
        orders=orders,
        events=events,
        movements=movements,
        reservations=reservations,
        shelves=shelves,
        fired=fired,
        notifications=notified,
    )


def _order(row: asyncpg.Record) -> OrderRow:
    lines: dict[str, int] = {}
    for sku, quantity in zip(row["skus"], row["quantities"], strict=True):
        if sku is None:  # an order without lines, as this release makes none
            continue
        lines[sku] = lines.get(sku, 0) + quantity
    return OrderRow(
        row["order_id"], row["customer"], row["key"], row["status"], row["reason"], lines,
        row["created_at"], row["updated_at"],
    )  # fmt: skip


class TemporalReader:
    """Temporal as the oracle asks it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls, address: str) -> "TemporalReader":
        """Return the engine at `address`."""
        return cls(await Client.connect(address, data_converter=pydantic_data_converter))

    async def listed(self) -> list[WorkflowRow]:
        """Return every execution of an order's workflow, by Temporal's own list."""
        rows = []
        query = "WorkflowType = 'OrderWorkflow'"
        async for found in self.client.list_workflows(query, page_size=1000):
            state = found.status or WorkflowExecutionStatus.RUNNING
            status = found.typed_search_attributes.get(_STATUS)
            rows.append(WorkflowRow(found.id, found.run_id, state.name, status))
        return rows

    async def running(self, condition: str = "") -> set[str]:
        """Return the orders' workflows that have not ended, by id; of those, a part."""
        query = f"WorkflowType = 'OrderWorkflow' AND ExecutionStatus = 'Running' {condition}"
        return {each.id async for each in self.client.list_workflows(query, page_size=1000)}

    async def results(self, orders: Iterable[UUID]) -> dict[UUID, str]:
        """Return the status that each order's workflow ended with; the error if it failed."""
        gate = asyncio.Semaphore(CONCURRENCY)

        async def one(order_id: UUID) -> tuple[UUID, str]:
            handle = self.client.get_workflow_handle(f"order-{order_id}")
            async with gate:
                try:
                    async with asyncio.timeout(10):
                        return order_id, str((await handle.result())["status"])
                except (WorkflowFailureError, RPCError, TimeoutError) as error:
                    return order_id, f"no result: {type(error).__name__}"

        return dict(await asyncio.gather(*(one(order_id) for order_id in orders)))

    async def parked(self, names: Sequence[str]) -> dict[str, str | None]:
        """Return why each of these workflows does not get on, None where the engine cannot say."""
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

    async def forget(self, order_id: UUID, within_s: float = 90.0) -> None:
        """Delete the memory of an order's workflow, as its retention would; TimeoutError."""
        name = f"order-{order_id}"
        execution = WorkflowExecution(workflow_id=name)
        request = DeleteWorkflowExecutionRequest(namespace="default", workflow_execution=execution)
        await self.client.workflow_service.delete_workflow_execution(request)
        deadline = time.monotonic() + within_s
        while await self._remembers(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is remembered after {within_s:g} s")
            await asyncio.sleep(0.1)

    async def _remembers(self, name: str) -> bool:
        listed = (await self.client.count_workflows(f"WorkflowId = '{name}'")).count
        try:
            await self.client.get_workflow_handle(name).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return bool(listed)
        return True

    async def replays(self, orders: Iterable[UUID], code: type[OrderWorkflow]) -> list[Replay]:
        """Run workflow code against the stored histories of these orders."""
        replayer = Replayer(
            workflows=[code],
            data_converter=pydantic_data_converter,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        found = []
        for order_id in orders:
            workflow_id = f"order-{order_id}"
            try:
                history = await self.client.get_workflow_handle(workflow_id).fetch_history()
            except RPCError as error:
                found.append(Replay(workflow_id, f"no history: {error.message}"))
                continue
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if (failure := result.replay_failure) is not None:
                found.append(Replay(workflow_id, str(failure)[:300], history.to_json()))
            else:
                found.append(Replay(workflow_id, None))
        return found


async def api_statuses(
    base_url: str, token: str, orders: Sequence[UUID], within_s: float = 60.0
) -> dict[UUID, str]:
    """Return the status that the API gives for each order."""
    gate = asyncio.Semaphore(CONCURRENCY)
    headers = {"Authorization": f"Bearer {token}"}
    limit = aiohttp.ClientTimeout(total=within_s)
    async with aiohttp.ClientSession(headers=headers, timeout=limit) as session:

        async def one(order_id: UUID) -> tuple[UUID, str]:
            try:
                async with gate, session.get(f"{base_url}/v1/orders/{order_id}") as response:
                    body = await response.json()
                    return order_id, str(body.get("status"))
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                return order_id, f"no answer: {type(error).__name__}"

        return dict(await asyncio.gather(*(one(order_id) for order_id in orders)))
