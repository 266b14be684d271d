"""A client may offer another protocol with any request; the request is served all the same."""

import asyncio
import shutil
import socket
import subprocess
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from service_kit.http import server
from tests.support.bad_bodies import GOOD_LINE, lines
from tests.support.both_apis import JSON, BothApis, new_key
from tests.support.raw_http import (
    RawAnswer,
    assert_refused,
    connect,
    is_closed,
    read_answer,
    written,
)
from tests.support.serving import Served, bearer, token

H2C = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
]
WEBSOCKET = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
OFFERS = pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
CHUNKED = ("Transfer-Encoding", "chunked")
JVM_CLIENT = Path(__file__).with_name("PlaceOrders.java")


def order_request(offer: list[tuple[str, str]], key: str) -> bytes:
    head = [*bearer().items(), ("Idempotency-Key", key), JSON, *offer]
    return written("POST", "/v1/orders", head, lines(GOOD_LINE))


def sent(port: int, *pieces: bytes, answers: int = 1) -> list[RawAnswer]:
    """Send the pieces one after the other on one connection and return the answers."""
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        found = [read_answer(connection) for _ in range(answers)]
    assert all(found), "closed without an answer"
    return [answer for answer in found if answer]


class TestOrders:
    @OFFERS
    def test_an_order_is_placed_all_the_same(
        self, apis: BothApis, offer: list[tuple[str, str]]
    ) -> None:
        assert sent(apis.orders.port, order_request(offer, new_key()))[0].status == 202

    @OFFERS
    def test_it_makes_no_difference_where_the_packets_end(
        self, apis: BothApis, offer: list[tuple[str, str]]
    ) -> None:
        key = new_key()
        request = order_request(offer, key)
        end_of_head = request.index(b"\r\n\r\n") + 4
        whole = sent(apis.orders.port, request)[0].json()["order_id"]
        for cut in (9, end_of_head - 2, end_of_head, end_of_head + 1, len(request) - 1):
            again = sent(apis.orders.port, request[:cut], request[cut:])[0]
            assert again.json()["order_id"] == whole
        bytewise = [request[at : at + 1] for at in range(len(request))]
        assert sent(apis.orders.port, *bytewise)[0].json()["order_id"] == whole

    def test_a_chunked_body_arrives(self, apis: BothApis) -> None:
        body = lines(GOOD_LINE)
        head = [*bearer().items(), ("Idempotency-Key", new_key()), JSON, CHUNKED, *H2C]
        request = written("POST", "/v1/orders", head) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        assert sent(apis.orders.port, request)[0].status == 202

    def test_requests_that_follow_in_the_same_packet_are_answered_too(self, apis: BothApis) -> None:
        keys = [new_key() for _ in range(3)]
        requests = [
            order_request(offer, key) for offer, key in zip((H2C, [], H2C), keys, strict=True)
        ]
        answers = sent(apis.orders.port, b"".join(requests), answers=3)
        assert [answer.status for answer in answers] == [202, 202, 202]
        assert len({answer.json()["order_id"] for answer in answers}) == 3

    @OFFERS
    def test_the_limits_hold_for_who_offers_something(
        self, apis: BothApis, offer: list[tuple[str, str]]
    ) -> None:
        head = [*bearer().items(), ("Idempotency-Key", new_key()), JSON, *offer]
        big = written("POST", "/v1/orders", head, b" " * 70_000)
        assert_refused(sent(apis.orders.port, big)[0], 413)
        many = [("X-Filler", "x" * 1000)] * 70
        request = written("GET", "/v1/products", [*bearer().items(), *offer, *many])
        assert_refused(sent(apis.orders.port, request)[0], 431)


@OFFERS
def test_inventory_serves_a_client_that_offers_another_protocol(
    apis: BothApis, offer: list[tuple[str, str]]
) -> None:
    who = list(bearer("staff").items())
    restock = [*who, ("Idempotency-Key", new_key()), JSON, *offer]
    request = written("POST", "/v1/stock/MUG-BLUE/restock", restock, b'{"quantity": 1}')
    look = written("GET", "/v1/stock", [*who, *offer])
    answers = sent(apis.inventory.port, request + look, answers=2)
    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize("target", ["/v1/orders", "localhost:80", "*"])
def test_a_tunnel_is_refused_and_nothing_behind_it_is_taken_for_a_request(
    apis: BothApis, target: str
) -> None:
    request = written("CONNECT", target, bearer().items())
    with connect(apis.orders.port) as connection:
        connection.sendall(request + written("GET", "/v1/products", bearer().items()))
        answer = read_answer(connection)
        assert answer is not None
        assert_refused(answer, 400, 404, 405)
        assert is_closed(connection)


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


async def _echo_messages(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


async def test_who_speaks_websocket_still_does_and_ignores_all_else() -> None:
    app = Starlette(
        routes=[Route("/", _echo, methods=["POST"]), WebSocketRoute("/live", _echo_messages)]
    )
    config = server.config(app, "127.0.0.1", 0)
    config.ws = "auto"  # as the UI does
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    running = uvicorn.Server(config)
    serving = asyncio.create_task(running.serve([listener]))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.ws_connect("/live") as live:
                await live.send_str("to and fro")
                assert await live.receive_str() == "to and fro"
            async with session.post("/", data=b"kept", headers=dict(H2C)) as answer:
                assert (answer.status, await answer.read()) == (200, b"kept")
    finally:
        running.should_exit = True
        await serving


def test_a_jvm_client_with_default_settings_places_orders(
    order_app: Served, worker: Served
) -> None:
    """It offers h2c with the first request of each connection."""
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("no JDK: `java` and `javac` are not on PATH")
    done = subprocess.run(
        [java, str(JVM_CLIENT), order_app.url, token()],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    *placed, again = done.stdout.split()
    assert len(set(placed)) == 5, done.stdout
    assert again == placed[0], "the same key is the same order"
