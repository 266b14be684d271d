"""Record histories of orders, on a real Temporal and with the real services.

    python -m tests.replay.record

Histories outlive releases, so what was recorded once is never written over: each run adds one
file for each story, under the next free number. Run it when the saga's commands change, and
commit what it adds.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio.client import Client, WorkflowHistory

from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.temporal.server import EmbeddedTemporal
from order_api.contracts import order_id_for
from service_kit.temporal import connect
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper, serve_order_stack
from tests.support.serving import bearer
from workflows.contracts import workflow_id

HISTORIES = Path(__file__).parent / "histories"
Story = Callable[[OrderStack, Shopper], Awaitable[str]]


async def shipped_at_once(_: OrderStack, shopper: Shopper) -> str:
    """Everything works the first time."""
    return await _id_of(shopper.place())


async def rejected(_: OrderStack, shopper: Shopper) -> str:
    """There is not enough."""
    return await _id_of(shopper.place("LAST-ONE", 5_000))


async def shipped_after_a_slow_reserve(running: OrderStack, shopper: Shopper) -> str:
    """The warehouse is silent for a while when it is asked to hold the goods."""
    with running.shut(running.to_inventory):
        return await _id_of(shopper.place())


async def shipped_after_a_slow_commit(running: OrderStack, shopper: Shopper) -> str:
    """The warehouse cannot let the goods go for a while."""
    order_id = await _held(running, shopper)
    async with connected(running.inventory_dsn) as connection, connection.transaction():
        await connection.execute(LOCK, order_id)
        await shopper.place(key="held")
    return str(order_id)


async def cancelled_while_waiting(running: OrderStack, shopper: Shopper) -> str:
    """The shopper has second thoughts while the warehouse is silent."""
    with running.shut(running.to_inventory):
        order_id = await _id_of(shopper.place())
        await shopper.cancel(order_id)
    return order_id


async def failed(running: OrderStack, shopper: Shopper) -> str:
    """Somebody gave the goods back before they were shipped."""
    order_id = await _held(running, shopper)
    async with httpx.AsyncClient(headers=bearer("service")) as warehouse:
        await warehouse.post(f"{running.inventory.url}/v1/reservations/{order_id}/release")
    await shopper.place(key="held")
    return str(order_id)


STORIES: tuple[Story, ...] = (
    shipped_at_once,
    rejected,
    shipped_after_a_slow_reserve,
    shipped_after_a_slow_commit,
    cancelled_while_waiting,
    failed,
)
LOCK = "SELECT FROM reservations WHERE order_id = $1 FOR UPDATE"


async def _id_of(answer: Awaitable[httpx.Response]) -> str:
    order_id: str = (await answer).json()["order_id"]
    return order_id


async def _held(running: OrderStack, shopper: Shopper) -> UUID:
    order_id = order_id_for(shopper.name, "held")
    async with httpx.AsyncClient(headers=bearer("service")) as warehouse:
        answer = await warehouse.put(
            f"{running.inventory.url}/v1/reservations/{order_id}",
            json={"lines": [{"sku": "MUG-BLUE", "quantity": 1}]},
        )
    answer.raise_for_status()
    return order_id


def next_file(name: str, folder: Path = HISTORIES) -> Path:
    """Return the path of a file that is not there yet: `name-1.json`, `name-2.json`, …"""
    number = 1
    while (file := folder / f"{name}-{number}.json").exists():
        number += 1
    return file


def impersonal(value: Any) -> Any:
    """Return a history's JSON without what belongs to the machine that it was recorded on."""
    if isinstance(value, list):
        return [impersonal(item) for item in value]
    if isinstance(value, dict):
        return {key: impersonal(item) for key, item in value.items() if key != "stackTrace"}
    if isinstance(value, str) and PROCESS.match(value):
        return "worker"
    return value


# Who did it, and the queue for what is in its cache: "4711@host", "4711@host-d3adb33f".
PROCESS = re.compile(r"\d+@")


def keep(history: WorkflowHistory, name: str, folder: Path = HISTORIES) -> None:
    """Write a history to a new file, and say which."""
    file = next_file(name, folder)
    with file.open("x") as new:
        json.dump(impersonal(history.to_json_dict()), new, indent=1)
        new.write("\n")
    sys.stdout.write(f"{file.relative_to(HISTORIES.parent)}\n")


async def record(running: OrderStack, client: Client, story: Story) -> None:
    """Live through `story` and write its order's history to a new file."""
    async with Shopper(running.orders) as shopper:
        order_id = await story(running, shopper)
        handle = client.get_workflow_handle(workflow_id(UUID(order_id)))
        await handle.result()
        history = await handle.fetch_history()
    keep(history, story.__name__.replace("_", "-"))


def main() -> None:
    """Record every story."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histories-")))
        folder.chmod(0o755)  # the database's account has to pass through
        loop_thread = stack.enter_context(EventLoopThread())
        postgres = EmbeddedPostgres(folder / "postgres", fsync=False)
        databases = Databases(loop_thread, stack.enter_context(loop_thread.entered(postgres)))
        databases.prepare()
        temporal = stack.enter_context(loop_thread.entered(EmbeddedTemporal(folder / "temporal")))
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(
            "TEMPORAL_ADDRESS", temporal.address
        )
        running = stack.enter_context(serve_order_stack(loop_thread, databases))
        stack.enter_context(running.working())

        async def all_stories() -> None:
            client = await connect()
            for story in STORIES:
                await record(running, client, story)

        asyncio.run(all_stories())


if __name__ == "__main__":
    main()
