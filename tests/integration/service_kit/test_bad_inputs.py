"""Whatever is sent, it is refused in our own words, with the right status, and leaves no trace."""

import gzip
from collections.abc import Iterator

import pytest

from tests.support.bad_bodies import BAD_KEYS, BAD_TYPES, GOOD_LINE, INVALID, QUANTITIES, lines
from tests.support.both_apis import JSON, BothApis, get, new_key, place, reserve, restock
from tests.support.raw_http import assert_refused, exchange, written
from tests.support.serving import bearer

UUID_LIKE = "00000000-0000"


@pytest.fixture(autouse=True)
def nothing_is_stored(apis: BothApis) -> Iterator[None]:
    before = apis.contents()
    yield
    assert apis.contents() == before


bodies = pytest.mark.parametrize(
    ("body", "status"), [case[1:] for case in INVALID], ids=[case[0] for case in INVALID]
)


class TestBodies:
    @bodies
    def test_an_order_with_this_body_is_refused(
        self, apis: BothApis, body: bytes, status: int
    ) -> None:
        assert_refused(place(apis, body, JSON, key=new_key()), status)

    @bodies
    def test_a_reservation_with_this_body_is_refused(
        self, apis: BothApis, body: bytes, status: int
    ) -> None:
        assert_refused(reserve(apis, body, JSON), status)

    @pytest.mark.parametrize(
        ("literal", "status"),
        [(literal, status) for name, literal, status in QUANTITIES if name != "quantity 10 001"]
        + [("1000001", 422)],
    )
    def test_a_delivery_of_this_many_is_refused(
        self, apis: BothApis, literal: str, status: int
    ) -> None:
        body = f'{{"quantity":{literal}}}'.encode()
        assert_refused(restock(apis, body, JSON, ("Idempotency-Key", new_key())), status)

    def test_an_unknown_sku_is_refused_by_name(self, apis: BothApis) -> None:
        answer = place(apis, lines({"sku": "NO-SUCH", "quantity": 1}), JSON, key=new_key())
        assert assert_refused(answer, 422)["skus"] == ["NO-SUCH"]

    def test_what_was_sent_is_not_repeated_in_the_refusal(self, apis: BothApis) -> None:
        mark = "CONFIDENTIAL"
        for body in (
            lines(GOOD_LINE, **{mark: 1}),
            lines({"sku": f"{mark} {mark}", "quantity": 1}),
            f'{{"lines":"{mark}"}}'.encode(),
            f'{{"lines":{mark}}}'.encode(),
        ):
            assert mark not in place(apis, body, JSON, key=new_key()).body.decode()


class TestHeaders:
    @pytest.mark.parametrize("headers", [c[1] for c in BAD_KEYS], ids=[c[0] for c in BAD_KEYS])
    def test_an_order_under_this_key_is_refused(
        self, apis: BothApis, headers: list[tuple[str, str]]
    ) -> None:
        assert_refused(place(apis, lines(GOOD_LINE), JSON, *headers), 400)

    @pytest.mark.parametrize("headers", [c[1] for c in BAD_KEYS], ids=[c[0] for c in BAD_KEYS])
    def test_a_delivery_under_this_key_is_refused(
        self, apis: BothApis, headers: list[tuple[str, str]]
    ) -> None:
        assert_refused(restock(apis, b'{"quantity":1}', JSON, *headers), 400)

    @pytest.mark.parametrize("headers", [c[1] for c in BAD_TYPES], ids=[c[0] for c in BAD_TYPES])
    def test_a_body_of_this_type_is_refused(
        self, apis: BothApis, headers: list[tuple[str, str]]
    ) -> None:
        assert_refused(place(apis, lines(GOOD_LINE), *headers, key=new_key()), 415)
        assert_refused(reserve(apis, lines(GOOD_LINE), *headers), 415)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
    def test_a_compressed_body_is_refused_before_it_is_unpacked(
        self, apis: BothApis, encoding: str
    ) -> None:
        bomb = gzip.compress(bytes(50_000_000))
        assert len(bomb) < 64 * 1024
        packed = ("Content-Encoding", encoding)
        assert_refused(place(apis, bomb, JSON, packed, key=new_key()), 415)
        assert_refused(reserve(apis, bomb, JSON, packed), 415)

    def test_an_unclean_request_id_is_not_taken_over(self, apis: BothApis) -> None:
        for given in ("x" * 65, "ä", "a b", "<script>"):
            answer = place(apis, b"{}", JSON, ("X-Request-Id", given), key=new_key())
            assert assert_refused(answer, 422)["request_id"] != given
        answer = place(apis, b"{}", JSON, ("X-Request-Id", "my-id.1"), key=new_key())
        assert assert_refused(answer, 422)["request_id"] == "my-id.1"


PATHS = [
    "0",
    "00000000-0000-0000-0000-000000000000",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "%F0%9F%98%80",
    "%ff%fe",
    "'%20OR%201=1--",
    "a" * 10_000,
    "-",
]


class TestAddresses:
    @pytest.mark.parametrize("text", PATHS, ids=lambda text: text[:20])
    def test_this_is_nobodys_order(self, apis: BothApis, text: str) -> None:
        assert_refused(get(apis.orders, f"/v1/orders/{text}"), 404)
        assert_refused(get(apis.orders, f"/v1/orders/{text}/events"), 404)
        request = written("POST", f"/v1/orders/{text}/cancel", bearer().items(), b"")
        assert_refused(exchange(apis.orders.port, request), 404)

    @pytest.mark.parametrize("text", PATHS, ids=lambda text: text[:20])
    def test_this_is_nobodys_reservation(self, apis: BothApis, text: str) -> None:
        assert_refused(get(apis.inventory, f"/v1/reservations/{text}", "service"), 404, 422)
        for verb in ("commit", *(() if UUID_LIKE in text else ("release",))):
            path = f"/v1/reservations/{text}/{verb}"
            request = written("POST", path, bearer("service").items(), b"")
            assert_refused(exchange(apis.inventory.port, request), 404, 422)

    @pytest.mark.parametrize("text", PATHS, ids=lambda text: text[:20])
    def test_this_is_no_sku(self, apis: BothApis, text: str) -> None:
        assert_refused(get(apis.inventory, f"/v1/stock/{text}", "staff"), 404, 422)
        key = ("Idempotency-Key", new_key())
        assert_refused(restock(apis, b'{"quantity":1}', JSON, key, sku=text), 404, 422)

    @pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "OPTIONS", "TRACE"])
    def test_this_method_is_not_for_orders(self, apis: BothApis, method: str) -> None:
        request = written(method, "/v1/orders", bearer().items())
        answer = exchange(apis.orders.port, request)
        assert_refused(answer, 405)
        assert answer.headers["allow"] == "GET, POST"

    @pytest.mark.parametrize(
        "query",
        [
            "limit=-1",
            "limit=0",
            "limit=101",
            "limit=1000000000",
            "limit=1e9",
            "limit=9999999999999999999999",
            "limit=NaN",
            "limit=",
            "status=sent",
            "status=%00",
            "scope=everything",
            "cursor=x",
            "cursor=%00",
            "cursor=%F0%9F%98%80",
            "cursor=________________________________",
            "cursor=" + "A" * 199,
            "cursor=" + "A" * 10_000,
        ],
        ids=lambda text: text[:20],
    )
    def test_this_is_no_page(self, apis: BothApis, query: str) -> None:
        assert_refused(get(apis.orders, f"/v1/orders?{query}"), 422)

    def test_a_shopper_sees_no_list_of_all_orders(self, apis: BothApis) -> None:
        assert_refused(get(apis.orders, "/v1/orders?scope=all"), 403)

    def test_the_first_and_the_last_cursor_there_can_be_are_pages(self, apis: BothApis) -> None:
        for cursor in ("A" * 32, "A" * 8 + "_" * 24):
            assert get(apis.orders, f"/v1/orders?cursor={cursor}").json()["items"] == []
