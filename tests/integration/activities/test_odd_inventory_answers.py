"""A warehouse that answers strangely is not believed, and not waited for longer than allowed."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import errors
from activities.contracts import StepCall, StepDone
from activities.inventory import HttpTimeouts, InventoryActivities
from inventory_api.contracts import Line

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ORDER = uuid4()
# Where an answer is to be heard, and where it never ends.
PATIENCE_S, SHORT_PATIENCE_S = 60.0, 0.5
STEP = StepCall(order_id=ORDER, lines=(Line(sku="MUG-BLUE", quantity=1),))


class FakeInventory:
    """A real HTTP server that gives whatever answer a test wants."""

    def __init__(self) -> None:
        self.answer: Handler = self._held
        self.asked: list[web.Request] = []
        self.activities: InventoryActivities

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)

    @staticmethod
    async def _held(_: web.Request) -> web.StreamResponse:
        return web.json_response({"order_id": str(ORDER), "state": "held"})

    async def reserve(self) -> StepDone:
        return await ActivityEnvironment().run(self.activities.reserve, STEP)

    async def failure(self) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.reserve()
        # it has to travel to Temporal and back, which takes well-formed text of bounded length
        assert len(caught.value.message.encode()) < 2_000
        assert caught.value.message.isprintable()
        return caught.value


@pytest.fixture
async def warehouse() -> AsyncIterator[FakeInventory]:
    odd = FakeInventory()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", odd.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [address] = runner.addresses
    async with aiohttp.ClientSession() as session:
        odd.activities = InventoryActivities(
            session,
            f"http://127.0.0.1:{address[1]}/",
            "token",
            HttpTimeouts(PATIENCE_S, PATIENCE_S),
        )
        yield odd
    await runner.cleanup()


def always(
    body: bytes | str,
    status: int = 200,
    content_type: str = "application/json",
    **headers: str,
) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        raw = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=raw, status=status, content_type=content_type, headers=named)

    return answer


def about(order_id: UUID | str = ORDER, **members: object) -> str:
    return json.dumps({"order_id": str(order_id), **members})


HELD = about(state="held")
UNBELIEVABLE: dict[str, Handler] = {
    "empty": always(b""),
    "HTML": always("<html>held</html>", content_type="text/html"),
    "half of the JSON": always(HELD[:-4]),
    "a list": always("[]"),
    "null": always("null"),
    "nested too deeply": always("[" * 30_000),
    "a number of 5000 digits": always(f'{{"order_id":{"9" * 5000}}}'),
    "bytes that are no text": always(b"\xff\xfe\x00"),
    "no state": always(about()),
    "another state": always(about(state="committed")),
    "a state that is a number": always(about(state=7)),
    "another order": always(about(uuid4(), state="held")),
    "no order": always('{"state":"held"}'),
    "the right words with status 201": always(HELD, 201),
    "the right words with status 202": always(HELD, 202),
    "204": always(b"", 204),
    "302 to itself": always(b"", 302, Location="/v1/reservations/x"),
    "302 to elsewhere": always(b"", 302, Location="http://127.0.0.1:1/"),
    "307 without an address": always(b"", 307),
    "401": always("{}", 401),
    "403": always("{}", 403),
    "404 of something else": always('{"type":"/problems/not-found"}', 404),
    "408": always("{}", 408),
    "429": always("{}", 429),
    "500": always("{}", 500),
    "503": always(about(type="/problems/warehouse-busy"), 503),
    "409 about another order": always(about(uuid4(), type="/problems/out-of-stock"), 409),
    "409 about nothing": always("", 409),
    "a megabyte": always(HELD.ljust(1024 * 1024)),
    "64 KiB and a byte": always(HELD.ljust(64 * 1024 + 1)),
    "a gzip bomb": always(gzip.compress(HELD.encode().ljust(100_000_000)), Content_Encoding="gzip"),
    "a lie about compression": always(HELD, Content_Encoding="gzip"),
    "an unknown compression": always(HELD, Content_Encoding="snappy"),
}


@pytest.mark.parametrize("answer", UNBELIEVABLE.values(), ids=UNBELIEVABLE.keys())
async def test_this_answer_leaves_the_outcome_unknown(
    warehouse: FakeInventory, answer: Handler
) -> None:
    warehouse.answer = answer
    failure = await warehouse.failure()
    assert failure.type == errors.UNKNOWN_OUTCOME
    assert not failure.non_retryable
    assert len(warehouse.asked) == 1, "asking again is Temporal's business"


@pytest.mark.parametrize(
    ("retry_after", "pause_s"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("1e9", errors.MAX_IMPOSED_DELAY_S),
        ("inf", errors.MAX_IMPOSED_DELAY_S),
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("tomorrow", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
async def test_a_warehouse_imposes_a_pause_only_within_reason(
    warehouse: FakeInventory, retry_after: str, pause_s: float | None
) -> None:
    warehouse.answer = always("{}", 429, Retry_After=retry_after)
    pause = (await warehouse.failure()).next_retry_delay
    assert (pause.total_seconds() if pause else None) == pause_s


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_can_never_work_is_not_repeated(
    warehouse: FakeInventory, status: int
) -> None:
    warehouse.answer = always('{"type":"/problems/' + "x" * 10_000 + '"}', status)
    failure = await warehouse.failure()
    assert (failure.type, failure.non_retryable) == (errors.UNWORKABLE, True)


@pytest.mark.parametrize(
    ("slug", "kind"),
    [
        ("out-of-stock", errors.OUT_OF_STOCK),
        ("released", errors.ALREADY_RELEASED),
        ("committed", errors.ALREADY_COMMITTED),
        ("something-new", errors.UNWORKABLE),
    ],
)
async def test_a_refusal_about_this_order_is_final(
    warehouse: FakeInventory, slug: str, kind: str
) -> None:
    detail = "not enough \ud800\x00\n " + "é" * 10_000
    warehouse.answer = always(about(type=f"/problems/{slug}", detail=detail), 409)
    failure = await warehouse.failure()
    assert (failure.type, failure.non_retryable) == (kind, True)


async def test_a_believable_answer_is_believed(warehouse: FakeInventory) -> None:
    warehouse.answer = always(about(state="held", more="members that a later version adds"))
    done = await warehouse.reserve()
    assert (done.state, done.attempt) == ("held", 1)
    [asked] = warehouse.asked
    assert (asked.method, asked.path) == ("PUT", f"/v1/reservations/{ORDER}")
    assert asked.headers["Authorization"] == "Bearer token"
    assert asked.headers["X-Attempt"] == "1"


async def trickle(request: web.Request) -> web.StreamResponse:
    """Send the right answer, a byte now and then: no single read takes long."""
    answer = HELD.ljust(1000)  # takes far longer than the test waits
    response = web.StreamResponse(headers={"Content-Length": str(len(answer))})
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError):
        for byte in answer.encode():
            await response.write(bytes([byte]))
            await asyncio.sleep(SHORT_PATIENCE_S / 5)
    return response


async def black_hole(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError):
        while True:
            await response.write(b" " * 1024)
    return response


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(HELD))})
    await response.prepare(request)
    await response.write(HELD.encode()[:20])
    assert request.transport is not None
    request.transport.abort()
    return response


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize("answer", [trickle, black_hole, endless, cut, reset])
async def test_a_warehouse_that_never_finishes_is_not_waited_for(
    warehouse: FakeInventory, answer: Handler
) -> None:
    warehouse.answer = answer
    warehouse.activities._timeouts = HttpTimeouts(SHORT_PATIENCE_S, SHORT_PATIENCE_S)
    async with asyncio.timeout(30):  # the machine may be busy; none of these ever ends by itself
        failure = await warehouse.failure()
    assert failure.type == errors.UNKNOWN_OUTCOME


async def test_a_warehouse_that_is_not_there_leaves_the_outcome_unknown(
    warehouse: FakeInventory, unused_tcp_port: int
) -> None:
    warehouse.activities._reservations = f"http://127.0.0.1:{unused_tcp_port}/v1/reservations"
    assert (await warehouse.failure()).type == errors.UNKNOWN_OUTCOME
