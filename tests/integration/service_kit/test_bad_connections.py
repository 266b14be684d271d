"""Clients that lie, dawdle, flood or leave are refused in time, and nobody else is hurt."""

import contextlib
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service_kit.http import request_middleware, server
from tests.support.bad_bodies import GOOD_LINE, MAX_BODY, lines
from tests.support.both_apis import JSON, BothApis, get, new_key
from tests.support.raw_http import (
    assert_refused,
    connect,
    drip,
    exchange,
    is_closed,
    read_answer,
    written,
)
from tests.support.serving import Served, bearer

HEAD_S = 0.4
BODY_S = 0.4
# Generous: machines are busy. What counts is that it ends by itself.
SOON_S = 60.0


@contextmanager
def impatient_for_heads(head_s: float = HEAD_S) -> Iterator[None]:
    """Tenths of a second where production waits for ten.

    Only while a head is on its way: it may be over before the first byte of a good request.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.BoundedHttp, "head_within_s", head_s)
        yield


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """A minute where production waits five seconds for a body: a machine may stand still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_middleware, "BODY_READ_S", SOON_S)
        yield


@pytest.fixture
def impatient_for_bodies() -> Iterator[None]:
    """The same for bodies, whose time begins with the end of a whole head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_middleware, "BODY_READ_S", BODY_S)
        yield


@pytest.fixture(autouse=True)
def nothing_is_stored(apis: BothApis) -> Iterator[None]:
    before = apis.contents()
    yield
    assert apis.contents() == before


def order_head(*more: tuple[str, str], key: str | None = None) -> list[tuple[str, str]]:
    key = key or new_key()
    return [*bearer().items(), ("Idempotency-Key", key), JSON, *more]


def served_well(apis: BothApis) -> None:
    assert get(apis.orders, "/v1/products").status == 200
    assert get(apis.inventory, "/v1/stock", "staff").status == 200


def both(apis: BothApis) -> tuple[Served, Served]:
    return apis.orders, apis.inventory


class TestFraming:
    @pytest.mark.usefixtures("impatient_for_bodies")
    def test_a_body_shorter_than_announced_is_not_waited_for(self, apis: BothApis) -> None:
        request = written(
            "POST", "/v1/orders", order_head(("Content-Length", "500")), lines(GOOD_LINE)
        )
        assert_refused(exchange(apis.orders.port, request), 408)

    def test_a_body_longer_than_announced_is_not_read_on(self, apis: BothApis) -> None:
        body = lines(GOOD_LINE)
        head = order_head(("Content-Length", str(len(body) - 5)))
        with connect(apis.orders.port) as connection:
            connection.sendall(written("POST", "/v1/orders", head, body))
            answer = read_answer(connection)
            assert_refused(answer, 400)
            assert is_closed(connection)

    def test_garbage_after_a_good_request_does_not_replace_its_answer(self, apis: BothApis) -> None:
        """Or a client would hear "nothing was stored" of an order that was."""
        with connect(apis.orders.port) as connection:
            connection.sendall(written("GET", "/v1/products", bearer().items()) + b"\0garbage")
            answer = read_answer(connection)
            assert answer is not None
            assert answer.status == 200
            assert is_closed(connection)

    @pytest.mark.parametrize(
        "length", ["65537", "9" * 30, "9" * 4400, "-1", "+5", "0x10", "5, 5", "1e3", "", " "]
    )
    def test_a_length_that_is_too_much_or_no_number_is_refused(
        self, apis: BothApis, length: str
    ) -> None:
        request = written("POST", "/v1/orders", order_head(("Content-Length", length)), b"{}")
        assert_refused(exchange(apis.orders.port, request), 400, 413)

    @pytest.mark.usefixtures("impatient_for_bodies")
    @pytest.mark.parametrize(
        "more",
        [
            [("Content-Length", "2"), ("Content-Length", "3")],
            [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
            [("Transfer-Encoding", "chunked, identity")],
            [("Transfer-Encoding", "gzip")],
        ],
        ids=["two lengths", "length and chunked", "chunked not last", "gzip"],
    )
    def test_framing_that_two_servers_could_read_differently_is_refused(
        self, apis: BothApis, more: list[tuple[str, str]]
    ) -> None:
        request = written("POST", "/v1/orders", order_head(*more), b"{}")
        assert_refused(exchange(apis.orders.port, request), 400, 408)

    def test_chunks_without_end_are_cut_off_by_size(self, apis: BothApis) -> None:
        head = written("POST", "/v1/orders", order_head(("Transfer-Encoding", "chunked")), b"")
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        request = head + chunk * (MAX_BODY // 0x1000 + 1)
        assert_refused(exchange(apis.orders.port, request), 413)

    @pytest.mark.usefixtures("impatient_for_bodies")
    def test_chunks_without_end_are_cut_off_by_time(self, apis: BothApis) -> None:
        head = written("POST", "/v1/orders", order_head(("Transfer-Encoding", "chunked")), b"")
        with connect(apis.orders.port) as connection:
            connection.sendall(head)
            assert_refused(drip(connection, b"1\r\n \r\n", every_s=BODY_S / 8), 408)
            assert is_closed(connection)

    @pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n", b"-1\r\n{}\r\n", b"ffffffffffffffffff\r\n"])
    def test_a_chunk_of_no_size_is_refused(self, apis: BothApis, chunk: bytes) -> None:
        head = written("POST", "/v1/orders", order_head(("Transfer-Encoding", "chunked")), b"")
        assert_refused(exchange(apis.orders.port, head + chunk), 400)

    def test_a_client_that_leaves_in_the_middle_counts_as_nobodys_error(
        self, apis: BothApis
    ) -> None:
        before = errors_counted(apis.orders)
        for _ in range(5):
            with connect(apis.orders.port) as connection:
                head = order_head(("Content-Length", "500"))
                connection.sendall(written("POST", "/v1/orders", head, b'{"lines"'))
        served_well(apis)
        assert errors_counted(apis.orders) == before


def errors_counted(served: Served) -> list[str]:
    page = httpx.get(f"{served.url}/metrics").text
    return [line for line in page.splitlines() if "_count{" in line and 'status="5' in line]


def dripping_head_is_refused(served: Served) -> bool:
    """Check that it is; False if the time was over before the first byte of it had come."""
    with connect(served.port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = drip(connection, b"X-Slow: loris\r\n", every_s=HEAD_S / 8)
        if answer is None:
            return False
        assert_refused(answer, 408)
        return is_closed(connection)


class TestHeads:
    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
            b"EHLO localhost\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"\xff\xfe\x00\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nBroken Name: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    def test_what_is_not_http_is_told_so(self, apis: BothApis, garbage: bytes) -> None:
        for served in both(apis):
            with connect(served.port) as connection:
                connection.sendall(garbage)
                answer = read_answer(connection)
                assert_refused(answer, 400)
                assert is_closed(connection)

    def test_a_header_smuggled_in_by_a_newline_is_not_obeyed(self, apis: BothApis) -> None:
        request = written("GET", "/v1/products", [("X-Note", "a\rAuthorization: Bearer x")])
        assert_refused(exchange(apis.orders.port, request), 400)

    @pytest.mark.parametrize("size", [server.MAX_HEAD_BYTES + 1, 1024 * 1024])
    @pytest.mark.parametrize("shape", ["one header", "many headers", "address", "unended"])
    def test_a_head_without_end_is_refused(self, apis: BothApis, size: int, shape: str) -> None:
        line = "X" * 100 + ": y\r\n"
        request = {
            "one header": f"GET / HTTP/1.1\r\nX: {'y' * size}\r\n\r\n",
            "many headers": f"GET / HTTP/1.1\r\n{line * (size // 100 + 1)}\r\n",
            "address": f"GET /{'y' * size} HTTP/1.1\r\n\r\n",
            "unended": f"GET / HTTP/1.1\r\nX: {'y' * size}",
        }[shape].encode()
        for served in both(apis):
            assert_refused(exchange(served.port, request), 431)

    def test_a_head_that_drips_in_is_cut_off(self, apis: BothApis) -> None:
        for served in both(apis):
            with impatient_for_heads():
                assert any(dripping_head_is_refused(served) for _ in range(10))

    def test_a_second_head_that_drips_in_is_cut_off_too(self, apis: BothApis) -> None:
        with connect(apis.orders.port) as connection:
            connection.sendall(written("GET", "/livez"))
            first = read_answer(connection)
            assert first is not None
            assert first.status == 200
            with impatient_for_heads():
                answer = drip(connection, b"\r\nGET / HTTP/1.1", every_s=HEAD_S / 8)
            assert_refused(answer, 400, 408)
            assert is_closed(connection)

    def test_empty_lines_do_not_keep_a_connection_alive(self, apis: BothApis) -> None:
        with connect(apis.orders.port) as connection:
            connection.sendall(written("GET", "/livez"))
            read_answer(connection)
            with impatient_for_heads():
                assert_refused(drip(connection, b"\r\n", every_s=HEAD_S / 8), 408)

    def test_a_body_that_nobody_reads_does_not_keep_a_connection_alive(
        self, apis: BothApis
    ) -> None:
        path = "/v1/orders/00000000-0000-0000-0000-000000000000/cancel"
        head = [*bearer().items(), ("Transfer-Encoding", "chunked")]
        with connect(apis.orders.port) as connection:
            connection.sendall(written("GET", "/livez"))
            read_answer(connection)  # from here a clock starts with the head, and it comes whole
            with impatient_for_heads():
                connection.sendall(written("POST", path, head, b"1\r\n \r\n"))
                first = read_answer(connection)
            assert_refused(first, 404)
            end = time.monotonic() + SOON_S
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while time.monotonic() < end:
                    connection.sendall(b"1\r\n \r\n")
                    time.sleep(HEAD_S / 8)
            assert time.monotonic() < end, "still open"

    def test_a_silent_connection_is_closed_without_a_word(self, apis: BothApis) -> None:
        for served in both(apis):
            with impatient_for_heads(), connect(served.port) as connection:
                assert read_answer(connection) is None

    def test_pipelined_requests_are_answered_in_order(self, apis: BothApis) -> None:
        with connect(apis.orders.port) as connection:
            product, health = (
                written("GET", "/v1/products", bearer().items()),
                written("GET", "/livez"),
            )
            connection.sendall(product + health + product)
            answers = [read_answer(connection) for _ in range(3)]
        assert [answer and answer.headers["content-type"] for answer in answers] == [
            "application/json",
            "application/health+json",
            "application/json",
        ]


class TestCrowds:
    def test_thousands_of_idle_sockets_are_no_trouble_and_go_away(self, apis: BothApis) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        server.raise_open_file_limit()
        # both ends are in this process
        count = min(2_000, (hard - 500) // 2)
        sockets = []
        try:
            with impatient_for_heads(5 * HEAD_S):  # most are there when the last one comes
                sockets += [connect(apis.orders.port, timeout_s=SOON_S) for _ in range(count)]
            served_well(apis)
            assert all(is_closed(idle) for idle in sockets)
        finally:
            for idle in sockets:
                idle.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        served_well(apis)
