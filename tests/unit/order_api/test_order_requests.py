"""How an order request's end is read from its answer, as a server calls us."""

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from order_api.order_requests import OrderRequests, tried, worked_on
from order_api.response_time import ResponseTimes
from service_kit.http.request_middleware import RequestMiddleware
from tests.support.response_time_vectors import Clock


class Answering:
    """An application that tries the order or not, works on it or not, and answers or raises."""

    def __init__(
        self, status: int | BaseException, *, tries: bool = True, works: bool = True
    ) -> None:
        self.status = status
        self.tries = tries
        self.works = tries and works

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.tries:
            tried(Request(scope))
        if self.works:
            worked_on(Request(scope))
        if isinstance(self.status, BaseException):
            raise self.status
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def visit(app: OrderRequests, method: str = "POST", path: str = "/v1/orders") -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    await app({"type": "http", "method": method, "path": path, "headers": []}, receive, send)


def found(times: ResponseTimes) -> tuple[int, int, int]:
    reading = times.read()
    assert reading.oldest_in_flight_s == 0.0
    return reading.count, reading.failed, reading.refused


@pytest.mark.parametrize(
    ("status", "tries", "count_failed_refused"),
    [
        (201, True, (1, 0, 0)),
        (202, True, (1, 0, 0)),
        (409, True, (1, 0, 0)),
        (503, True, (1, 1, 0)),
        (500, True, (1, 1, 0)),
        (422, True, (0, 0, 1)),
        (429, True, (0, 0, 1)),
        (400, False, (0, 0, 1)),
        (401, False, (0, 0, 1)),
        (413, False, (0, 0, 1)),
        (500, False, (0, 1, 0)),
    ],
)
async def test_an_order_request_counts_as(
    status: int, tries: bool, count_failed_refused: tuple[int, int, int]
) -> None:
    times = ResponseTimes()
    await visit(OrderRequests(Answering(status, tries=tries), times))
    assert found(times) == count_failed_refused


@pytest.mark.parametrize(
    ("status", "failed_refused"), [(201, (0, 1)), (202, (0, 1)), (409, (0, 1)), (503, (1, 0))]
)
async def test_an_answer_without_work_counts_apart_unless_it_is_a_failure(
    status: int, failed_refused: tuple[int, int]
) -> None:
    times = ResponseTimes()
    await visit(OrderRequests(Answering(status, works=False), times))
    assert found(times)[1:] == failed_refused


async def test_an_order_turned_away_by_an_overloaded_service_is_a_failure() -> None:
    times = ResponseTimes()
    await visit(OrderRequests(RequestMiddleware(Answering(201), in_flight_limit=0), times))
    reading = times.read()
    assert (reading.count, reading.average_s) == (0, None)
    assert (reading.state, reading.reasons, reading.failed) == ("red", ["failing"], 1)


@pytest.mark.parametrize(("tries", "failed"), [(True, 1), (False, 0)])
async def test_a_request_without_an_answer_is_a_failure_once_its_order_was_tried(
    tries: bool, failed: int
) -> None:
    times = ResponseTimes()
    await visit(OrderRequests(RequestMiddleware(Answering(ClientDisconnect(), tries=tries)), times))
    assert found(times) == (failed, failed, 0)


async def test_an_orders_time_is_ours_and_not_that_of_a_client_who_sends_slowly() -> None:
    clock = Clock()
    times = ResponseTimes(clock)

    async def receive() -> Message:
        clock.now += 3.0
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        clock.now += 0.25  # who is calling?
        await receive()
        clock.now += 0.25  # what is wanted?
        tried(Request(scope))
        clock.now += 0.5
        worked_on(Request(scope))
        await send({"type": "http.response.start", "status": 201, "headers": []})
        clock.now += 1.0  # the client has its answer

    scope = {"type": "http", "method": "POST", "path": "/v1/orders", "headers": []}
    await OrderRequests(app, times)(scope, receive, send)
    assert times.read().average_s == 1.0


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/orders"), ("POST", "/v1/orders/a/b")])
async def test_other_requests_are_left_alone(method: str, path: str) -> None:
    times = ResponseTimes()
    await visit(OrderRequests(Answering(503, tries=False), times), method, path)
    assert found(times) == (0, 0, 0)
