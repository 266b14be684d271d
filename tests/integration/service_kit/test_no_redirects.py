"""An address that is almost right is not found; nobody is sent elsewhere, least of all by Host."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.baseline import service
from tests.support.bad_bodies import GOOD_LINE, lines
from tests.support.both_apis import JSON, BothApis, new_key, place
from tests.support.raw_http import RawAnswer, assert_refused, exchange, written
from tests.support.serving import TOKEN_KEY, Served, bearer
from tests.support.ui_client import ui_client, ui_settings

ELSEWHERE = "evil.example"
ID = "00000000-0000-0000-0000-000000000000"
ALMOST = [
    "{}/",
    "{}//",
    "/{}",
    "{}/.",
    "{}.",
    "{}%2F",
    "{}/?next=//evil.example",
    "//evil.example{}/",
    "http://evil.example{}/",
]
HEALTH = [("GET", path) for path in ("/livez", "/readyz", "/health", "/metrics", "/openapi.json")]
ORDERS = [
    ("POST", "/v1/orders"),
    ("GET", "/v1/orders"),
    ("GET", "/v1/products"),
    ("GET", f"/v1/orders/{ID}"),
    ("GET", f"/v1/orders/{ID}/events"),
    ("POST", f"/v1/orders/{ID}/cancel"),
    ("GET", "/v1/ops/summary"),
    *HEALTH,
]
INVENTORY = [
    ("GET", "/v1/stock"),
    ("GET", "/v1/stock/MUG-BLUE"),
    ("POST", "/v1/stock/MUG-BLUE/restock"),
    ("PUT", f"/v1/reservations/{ID}"),
    ("POST", f"/v1/reservations/{ID}/release"),
    *HEALTH,
]


def asked(served: Served, method: str, path: str, role: str) -> RawAnswer:
    """Send the request in the name of a host that is not ours."""
    body = lines(GOOD_LINE) if method != "GET" else None
    head = [*bearer(role).items(), ("Idempotency-Key", new_key()), JSON]
    request = written(method, path, head, body)
    return exchange(served.port, request.replace(b"Host: localhost", f"Host: {ELSEWHERE}".encode()))


@pytest.mark.parametrize("almost", ALMOST)
def test_no_call_sends_its_client_elsewhere(apis: BothApis, almost: str) -> None:
    before = apis.contents()
    for served, calls, role in (
        (apis.orders, ORDERS, "shopper"),
        (apis.inventory, INVENTORY, "staff"),
    ):
        for method, path in calls:
            answer = asked(served, method, almost.format(path), role)
            assert_refused(answer, 404, 405, 422)
            assert "location" not in answer.headers
    assert apis.contents() == before


def test_an_answer_names_addresses_without_a_host(apis: BothApis) -> None:
    answer = asked(apis.orders, "POST", "/v1/orders", "shopper")
    assert answer.status == 202
    assert answer.headers["location"] == f"/v1/orders/{answer.json()['order_id']}"
    for served in (apis.orders, apis.inventory):
        described = asked(served, "GET", "/openapi.json", "staff")
        assert described.status == 200
        assert ELSEWHERE not in described.body.decode()
        assert "servers" not in described.json()
    assert place(apis, lines(GOOD_LINE), JSON, key=new_key()).headers["location"].startswith("/v1/")


async def not_found(app: Any, *paths: str) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{ELSEWHERE}") as client:
        for path in paths:
            answer = await client.get(path)
            assert (path, answer.status_code) == (path, 404)
            assert "location" not in answer.headers


async def test_pages_and_their_files_are_not_elsewhere_either(
    apis: BothApis, tmp_path: Path
) -> None:
    async with ui_client(ui_settings(apis.orders, apis.inventory, tmp_path)) as visitor:
        app = visitor.http_client._transport.app  # type: ignore[attr-defined]
        paths = "/orders/", "/warehouse/", "/assets", "/pictures", "/_nicegui_ws"
        await not_found(app, *paths)


async def test_the_naive_service_redirects_nobody(apis: BothApis) -> None:
    settings = service.NaiveSettings(
        database_url="postgresql://nobody@127.0.0.1/none",
        inventory_url=apis.inventory.url,
        inventory_token=TOKEN_KEY,
        token_key=TOKEN_KEY,
    )
    await not_found(service.create_app(settings), "/v1/orders/", "/readyz/")
