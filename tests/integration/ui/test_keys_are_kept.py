"""A key is given up only for an answer about its order: nobody buys twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.harness.load import Shoppers as BenchShoppers
from chaos.client import load
from chaos.client.history import History
from chaos.client.load import Shoppers as ChaosShoppers
from chaos.scenarios.workload import Crowd, plan
from deploy.cli.order import place_and_follow
from deploy.local.errors import StartRefused
from deploy.local.postgres.connection import connected
from deploy.local.state_dir import StateDir, StateDirLock
from order_api.client_rules import is_definite
from order_api.contracts import order_id_for
from tests.support.http_proxy import HOLD, LOSE, ScriptedProxy, page, problem
from tests.support.serving import (
    TOKEN_KEY,
    Served,
    bearer,
    token,
)
from tests.support.ui_client import UiClient, ui_client, ui_settings
from ui.shop import checkout

# What the second try may meet while the first is on its way: it stored nothing, says nothing about
# the first, and that the cart must be changed or its new price be agreed to.
PREMATURE = {
    "unlisted": (422, "invalid-request", {}),
    "dearer": (409, "price-changed", {"total_minor": 5100, "currency": "EUR"}),
}
# What the second try may meet that says nothing about the first.
STRANGE = {
    "401 after a change of keys": problem(401, "unauthorized"),
    "403": problem(403, "forbidden"),
    "404 of a proxy": page(404),
    "404": problem(404, "not-found"),
    "408 of a proxy": page(408),
    "413 of a proxy": page(413),
    "422 about no order": problem(422, "key-reused"),
    "422 about another order": problem(
        422, "key-reused", order_id="5f1f0f5e-6c1c-5d0b-9b1e-3f0a8a5c2d17"
    ),
    "409 about no order": problem(409, "out-of-stock"),
    "500": problem(500, "internal-error"),
    "201 about nothing": {"status": 201, "content_type": "application/json", "members": {}},
}


@pytest.fixture
async def proxy(served_orders: Served) -> AsyncIterator[ScriptedProxy]:
    async with ScriptedProxy(served_orders.port) as found:
        yield found


@pytest.fixture
async def alice(
    served_orders: Served, served_inventory: Served, proxy: ScriptedProxy, tmp_path: Path
) -> AsyncIterator[UiClient]:
    async with ui_client(
        ui_settings(Served(served_orders.app, proxy.port), served_inventory, tmp_path)
    ) as visitor:
        yield visitor


async def keys_stored(dsn: str, customer: str) -> list[str]:
    async with connected(dsn) as connection:
        rows = await connection.fetch(
            "SELECT idempotency_key FROM orders WHERE customer = $1", customer
        )
    return [row["idempotency_key"] for row in rows]


def customer_of_the_page() -> str:
    from nicegui import core

    [kept] = core.app.storage._users.values()
    return str(kept["customer"])


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
async def test_the_shop_asks_again_until_an_answer_is_about_the_order(
    alice: UiClient,
    proxy: ScriptedProxy,
    orders_dsn: str,
    strange: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkout, "RETRY_FOR_S", 0.0)  # one try for each click
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    proxy.script.extend([LOSE, strange])
    await alice.clicks("buy")
    await alice.sees("We could not reach our order desk")
    await alice.clicks("buy")
    await proxy.has_seen(2)
    await alice.sees("Try again")
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")
    assert len(proxy.keys) == 3
    assert len(await keys_stored(orders_dsn, customer_of_the_page())) == 1


@pytest.mark.parametrize("premature", PREMATURE.values(), ids=PREMATURE)
async def test_the_shop_does_not_deny_an_order_whose_first_try_is_on_its_way(
    alice: UiClient, proxy: ScriptedProxy, orders_dsn: str, premature: Any
) -> None:
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    status, slug, members = premature
    proxy.script.extend([HOLD, problem(status, slug, **members)])
    await alice.clicks("buy")
    await alice.sees("An earlier try may have gone through", "Buy now")
    await alice.sees_no("Nothing was ordered")
    alice.presses("One Blue mug more")
    proxy.script.append(problem(status, slug, **members))
    await alice.clicks("buy")
    await alice.sees("An earlier try may have gone through")
    assert await proxy.held.popleft()() in (201, 202)
    await alice.clicks("buy")
    await alice.sees("An earlier cart went through", "See the order")
    assert len(set(proxy.keys)) == 1
    assert len(await keys_stored(orders_dsn, customer_of_the_page())) == 1


async def test_the_shop_goes_on_by_itself_after_a_strange_answer(
    alice: UiClient, proxy: ScriptedProxy, orders_dsn: str
) -> None:
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    proxy.script.extend([LOSE, page(404), problem(401, "unauthorized")])
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")
    assert len(await keys_stored(orders_dsn, customer_of_the_page())) == 1


async def test_a_cart_of_which_nothing_is_stored_can_be_changed_and_bought(
    alice: UiClient, proxy: ScriptedProxy, orders_dsn: str
) -> None:
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    proxy.script.append(problem(401, "unauthorized"))
    await alice.clicks("buy")
    await alice.sees("unauthorized", "Buy now")
    alice.presses("One Blue mug more")
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")
    assert await keys_stored(orders_dsn, customer_of_the_page()) == [proxy.keys[0]]


async def test_after_an_earlier_cart_went_through_the_next_one_has_a_new_key(
    alice: UiClient, proxy: ScriptedProxy, orders_dsn: str
) -> None:
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    proxy.script.append({**problem(401, "unauthorized"), "passed_on": True})
    await alice.clicks("buy")
    await alice.sees("unauthorized")
    alice.presses("One Blue mug more")
    await alice.clicks("buy")
    await alice.sees("An earlier cart went through", "See the order")
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")
    assert len(await keys_stored(orders_dsn, customer_of_the_page())) == 2


@pytest.fixture
def home(
    proxy: ScriptedProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StateDir]:
    """The home of a stack whose order service is behind the proxy, as the command line sees it."""
    monkeypatch.setenv("VALERIX_HOME", str(tmp_path / "home"))
    found = StateDir(tmp_path / "home").create()
    (found.secrets / "token_key").write_text(TOKEN_KEY)
    found.write_state({"children": {"order_api": {"port": proxy.port}}, "temporal_ui_port": 8233})
    lock = StateDirLock(found)
    lock.acquire()
    yield found
    lock.release()


async def order(*items: str, customer: str) -> int:
    return await asyncio.to_thread(place_and_follow, list(items), None, customer)


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
async def test_the_command_line_asks_again_for_an_order_whose_outcome_is_unknown(
    home: StateDir,
    proxy: ScriptedProxy,
    orders_dsn: str,
    strange: Any,
    request: pytest.FixtureRequest,
) -> None:
    customer = f"cli {request.node.callspec.id}"
    proxy.script.extend([LOSE, strange])
    for _ in range(2):
        with pytest.raises(StartRefused, match=r"(?s)may have been taken.*--key cli-1"):
            await order("MUG-BLUE=2", customer=customer)
    assert await order("MUG-BLUE=2", customer=customer) == 0
    assert proxy.keys == ["cli-1"] * 3
    assert await keys_stored(orders_dsn, customer) == ["cli-1"]
    assert await order("MUG-BLUE=2", customer=customer) == 0  # this one is another order
    assert len(await keys_stored(orders_dsn, customer)) == 2


@pytest.mark.parametrize("named", [True, False], ids=["with order_id", "without"])
@pytest.mark.parametrize("premature", PREMATURE.values(), ids=PREMATURE)
async def test_the_command_line_keeps_the_key_while_an_earlier_try_is_on_its_way(
    home: StateDir,
    proxy: ScriptedProxy,
    orders_dsn: str,
    premature: Any,
    named: bool,
    request: pytest.FixtureRequest,
) -> None:
    customer = f"early {request.node.callspec.id}"
    status, slug, members = premature
    about = {"order_id": str(order_id_for(customer, "cli-1"))} if named else {}
    proxy.script.extend([HOLD, problem(status, slug, **members, **about)])
    for _ in range(2):
        with pytest.raises(StartRefused, match=r"(?s)may have been taken.*--key cli-1"):
            await order("MUG-BLUE=2", customer=customer)
    assert await proxy.held.popleft()() in (201, 202)
    assert await order("MUG-BLUE=2", customer=customer) == 0
    assert proxy.keys == ["cli-1"] * 3
    assert await keys_stored(orders_dsn, customer) == ["cli-1"]


async def test_the_command_line_does_not_dwell_on_what_was_never_stored(
    home: StateDir, proxy: ScriptedProxy, orders_dsn: str
) -> None:
    assert await order("NO-SUCH-THING", customer="carol") == 1
    proxy.script.append(problem(401, "unauthorized"))
    assert await order("MUG-BLUE", customer="carol") == 1
    assert await order("MUG-BLUE", customer="carol") == 0
    assert proxy.keys == ["cli-1", "cli-2", "cli-3"]


async def test_shoppers_of_a_fault_run_ask_again_until_an_answer_is_about_the_order(
    proxy: ScriptedProxy, orders_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [planned] = plan(1, 1, 100.0, Crowd(), tag="kept")
    monkeypatch.setattr(load, "LONGEST_PAUSE_S", 0.01)
    proxy.script.extend([LOSE, *[page(404), problem(401, "unauthorized")] * 10])
    with History(tmp_path / "history.jsonl") as history:
        async with ChaosShoppers(
            proxy.url, lambda customer: token(subject=customer), history
        ) as shoppers:
            await shoppers.send([planned], settle_within_s=60)
            assert (shoppers.counts.acknowledged, shoppers.counts.given_up) == (1, 0)
    assert len(await keys_stored(orders_dsn, planned.customer)) == 1


async def test_shoppers_of_a_benchmark_ask_again_until_an_answer_is_about_the_order(
    proxy: ScriptedProxy, orders_dsn: str
) -> None:
    shoppers = BenchShoppers("127.0.0.1", proxy.port, lambda customer: token(subject=customer))
    proxy.script.extend([LOSE, page(404), problem(401, "unauthorized")])
    answers = await shoppers.open_model(4.0, 1.0, retry=True)
    shoppers.close()
    assert set(answers.statuses) <= {201, 202}
    assert len(set(proxy.keys)) == answers.sent == len(proxy.keys) - answers.retries


async def test_a_refusal_that_stored_nothing_names_no_order(
    served_orders: Served, orders_dsn: str
) -> None:
    async with httpx.AsyncClient(headers=bearer(subject="dave")) as client:
        for body, status, slug in (
            ({"lines": [{"sku": "NO-SUCH", "quantity": 1}]}, 422, "invalid-request"),
            (
                {"lines": [{"sku": "MUG-BLUE", "quantity": 1}], "expected_total_minor": 1},
                409,
                "price-changed",
            ),
        ):
            answer = await client.post(
                f"{served_orders.url}/v1/orders", json=body, headers={"Idempotency-Key": "k"}
            )
            told = answer.json()
            assert (answer.status_code, told["type"]) == (status, f"/problems/{slug}")
            assert "order_id" not in told, "an earlier try may be on its way through its commit"
            assert not is_definite(status, told, order_id_for("dave", "k"))
    assert not await keys_stored(orders_dsn, "dave")
