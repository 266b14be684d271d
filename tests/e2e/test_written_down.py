"""What all these faults have left behind: in the books, in logs, metrics, answers and histories."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from temporalio.client import Client

from tests.support.system_under_test import Shop

# By its name the last module on the shared stack. Alone it makes its own noise.
pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("order_api", "inventory_api", "worker", "subscribers", "ui")
# The beginning of every signed token: {"alg": in base64.
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}")


async def test_the_two_services_agree_about_every_order_of_the_run(shop: Shop) -> None:
    placed = await shop.place({await shop.shelf(): 1}, shop.customer())
    await shop.settled([placed.order_id], within_s=30)
    ordered = await shop.sql(
        "orders",
        """SELECT o.order_id, o.status,
                  array_agg((l.sku, l.quantity::bigint) ORDER BY l.sku) AS lines
           FROM orders o JOIN order_lines l USING (order_id) GROUP BY o.order_id""",
    )
    shipped = await shop.sql(
        "inventory",
        """SELECT order_id, array_agg((sku, quantity) ORDER BY sku) AS lines
           FROM movements WHERE operation = 'commit' GROUP BY order_id""",
    )
    known = await shop.sql("inventory", "SELECT order_id, state FROM reservations")
    assert {row["status"] for row in ordered} <= {"shipped", "rejected", "cancelled"}
    assert {row["order_id"]: row["lines"] for row in shipped} == {
        row["order_id"]: row["lines"] for row in ordered if row["status"] == "shipped"
    }
    fitting = {"committed": "shipped", "refused": "rejected", "released": "cancelled"}
    assert {row["order_id"]: fitting.get(row["state"], row["state"]) for row in known} == {
        row["order_id"]: row["status"] for row in ordered
    }
    await shop.assert_books_balance()


async def test_no_secret_is_written_down_anywhere(shop: Shop) -> None:
    lines = {await shop.shelf(): 1}
    async with shop.rule("noise", "inventory.after_commit", "crash", operations=("reserve",)):
        placed = await shop.place(lines, shop.customer())
        await shop.settled([placed.order_id], within_s=30)
    texts = {
        **{f"answer {answer.key}": answer.text for answer in shop.answers},
        **await _refusals(shop),
        **await _pages(shop),
        **await _histories(shop),
        **{f"log {log.name}": log.read_text(errors="replace") for log in _logs(shop)},
    }
    assert {"log worker.log", "log postgres.log", "log supervisor.log"} <= set(texts)
    for where, text in texts.items():
        for name, secret in _secrets(shop).items():
            assert secret not in text, f"{name} in {where}"
        assert not TOKEN.search(text), f"a token in {where}"


def _secrets(shop: Shop) -> dict[str, str]:
    passwords = (shop.stack.state_dir.secrets / "postgres").read_text().splitlines()
    found = dict(line.split(":", 1) for line in passwords)
    found["TOKEN_KEY"] = shop.stack.token_key
    found["INVENTORY_TOKEN"] = shop.stack.services.spec("worker").env["INVENTORY_TOKEN"]
    assert all(len(secret) >= 16 for secret in found.values())
    return found


def _logs(shop: Shop) -> list[Path]:
    return [path for path in shop.stack.state_dir.logs.iterdir() if path.is_file()]


async def _refusals(shop: Shop) -> dict[str, str]:
    """Errors of every kind, asked for with a real token and with a spoilt one."""
    url, token = shop.stack.url("order_api"), shop.token("mallory")
    found: dict[str, str] = {}
    for header, body in (
        (f"Bearer {token}", b"{"),
        (f"Bearer {token}", b'{"lines": []}'),
        (f"Bearer {token[:-2]}AA", b"{}"),
        (token, b"{}"),
    ):
        async with shop.session.post(
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


async def _pages(shop: Shop) -> dict[str, str]:
    found = {}
    for service in SERVICES:
        for path in ("/metrics", "/health"):
            try:
                async with shop.session.get(f"{shop.stack.url(service)}{path}") as answer:
                    found[f"{service}{path}"] = await answer.text()
            except aiohttp.ClientError as error:
                raise AssertionError(f"{service} does not answer") from error
    return found


async def _histories(shop: Shop) -> dict[str, str]:
    """Every history of the run, inputs and failures included, as text."""
    client = await Client.connect(f"127.0.0.1:{shop.stack.settings.ports.temporal}")
    few = asyncio.Semaphore(20)

    async def history(workflow_id: str) -> tuple[str, str]:
        async with few:
            events = await client.get_workflow_handle(workflow_id).fetch_history()
        payloads = b"".join(event.SerializeToString() for event in events.events)
        return f"history {workflow_id}", payloads.decode("latin-1")

    ids = [found.id async for found in client.list_workflows("")]
    return dict(await asyncio.gather(*(history(workflow_id) for workflow_id in ids)))
