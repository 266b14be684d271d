"""What all these faults have left behind: in databases, logs, metrics, answers and histories."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from temporalio.client import Client

from tests.support.system_under_test import SystemUnderTest

# By its name the last module on the shared stack. Alone it makes its own noise.
pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("order_api", "inventory_api", "worker", "subscribers", "ui")
# The beginning of every signed token: {"alg": in base64.
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}")


async def test_the_two_services_agree_about_every_order_of_the_run(system: SystemUnderTest) -> None:
    placed = await system.place_stubbornly({await system.shelf(): 1}, system.customer())
    await system.settled([placed.order_id], within_s=60)
    ordered = await system.sql(
        "orders",
        """SELECT o.order_id, o.status,
                  array_agg((l.sku, l.quantity::bigint) ORDER BY l.sku) AS lines
           FROM orders o JOIN order_lines l USING (order_id) GROUP BY o.order_id""",
    )
    shipped = await system.sql(
        "inventory",
        """SELECT order_id, array_agg((sku, quantity) ORDER BY sku) AS lines
           FROM movements WHERE operation = 'commit' GROUP BY order_id""",
    )
    known = await system.sql("inventory", "SELECT order_id, state FROM reservations")
    assert {row["status"] for row in ordered} <= {"shipped", "rejected", "cancelled"}
    assert {row["order_id"]: row["lines"] for row in shipped} == {
        row["order_id"]: row["lines"] for row in ordered if row["status"] == "shipped"
    }
    fitting = {"committed": "shipped", "refused": "rejected", "released": "cancelled"}
    assert {row["order_id"]: fitting.get(row["state"], row["state"]) for row in known} == {
        row["order_id"]: row["status"] for row in ordered
    }
    await system.assert_stock_balances()


async def test_no_secret_is_written_down_anywhere(system: SystemUnderTest) -> None:
    lines = {await system.shelf(): 1}
    async with system.rule("noise", "inventory.after_commit", "crash", operations=("reserve",)):
        placed = await system.place_stubbornly(lines, system.customer())
        await system.settled([placed.order_id], within_s=60)
    texts = {
        **{f"answer {answer.key}": answer.text for answer in system.answers},
        **await _refusals(system),
        **await _pages(system),
        **await _histories(system),
        **{f"log {log.name}": log.read_text(errors="replace") for log in _logs(system)},
    }
    assert {"log worker.log", "log postgres.log", "log supervisor.log"} <= set(texts)
    for where, text in texts.items():
        for name, secret in _secrets(system).items():
            assert secret not in text, f"{name} in {where}"
        assert not TOKEN.search(text), f"a token in {where}"


def _secrets(system: SystemUnderTest) -> dict[str, str]:
    passwords = (system.stack.state_dir.secrets / "postgres").read_text().splitlines()
    found = dict(line.split(":", 1) for line in passwords)
    found["TOKEN_KEY"] = system.stack.token_key
    found["INVENTORY_TOKEN"] = system.stack.services.spec("worker").env["INVENTORY_TOKEN"]
    assert all(len(secret) >= 16 for secret in found.values())
    return found


def _logs(system: SystemUnderTest) -> list[Path]:
    return [path for path in system.stack.state_dir.logs.iterdir() if path.is_file()]


async def _refusals(system: SystemUnderTest) -> dict[str, str]:
    """Errors of every kind, asked for with a real token and with a spoilt one."""
    url, token = system.stack.url("order_api"), system.token("mallory")
    found: dict[str, str] = {}
    for header, body in (
        (f"Bearer {token}", b"{"),
        (f"Bearer {token}", b'{"lines": []}'),
        (f"Bearer {token[:-2]}AA", b"{}"),
        (token, b"{}"),
    ):
        async with system.session.post(
            f"{url}/v1/orders",
            data=body,
            headers={
                "Authorization": header,
                "Idempotency-Key": "k",
                "Content-Type": "application/json",
            },
        ) as answer:
            assert 400 <= answer.status < 500
            found[f"refusal {len(found)}"] = await answer.text()
    return found


async def _pages(system: SystemUnderTest) -> dict[str, str]:
    found = {}
    for service in SERVICES:
        for path in ("/metrics", "/health"):
            try:
                async with system.session.get(f"{system.stack.url(service)}{path}") as answer:
                    found[f"{service}{path}"] = await answer.text()
            except aiohttp.ClientError as error:
                raise AssertionError(f"{service} does not answer") from error
    return found


async def _histories(system: SystemUnderTest) -> dict[str, str]:
    """Every history of the run, inputs and failures included, as text."""
    client = await Client.connect(f"127.0.0.1:{system.stack.settings.ports.temporal}")
    few = asyncio.Semaphore(20)

    async def history(workflow_id: str) -> tuple[str, str]:
        async with few:
            events = await client.get_workflow_handle(workflow_id).fetch_history()
        payloads = b"".join(event.SerializeToString() for event in events.events)
        return f"history {workflow_id}", payloads.decode("latin-1")

    ids = [found.id async for found in client.list_workflows("")]
    return dict(await asyncio.gather(*(history(workflow_id) for workflow_id in ids)))
