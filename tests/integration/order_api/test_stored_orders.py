"""What one customer has stored, no other sees, and no key changes."""

import json
from functools import partial
from typing import Any
from uuid import UUID

from tests.support.bad_bodies import GOOD_LINE, lines
from tests.support.both_apis import JSON, BothApis, at_last, get, new_key, place
from tests.support.raw_http import assert_refused, exchange, written
from tests.support.serving import bearer


def accepted(apis: BothApis, key: str, *items: dict[str, Any]) -> str:
    answer = at_last(lambda: place(apis, lines(*(items or (GOOD_LINE,))), JSON, key=key))
    assert answer.status == 202, answer.body
    return str(answer.json()["order_id"])


def test_the_order_of_another_customer_is_not_there(apis: BothApis) -> None:
    order_id = accepted(apis, new_key())
    for text in (order_id, order_id.upper(), f"{{{order_id}}}", order_id.replace("-", "")):
        for address in (f"/v1/orders/{text}", f"/v1/orders/{text}/events"):
            seen = at_last(partial(get, apis.orders, address, subject="mallory"))
            assert_refused(seen, 404)
    request = written(
        "POST", f"/v1/orders/{order_id}/cancel", bearer("shopper", "mallory").items(), b""
    )
    assert_refused(at_last(lambda: exchange(apis.orders.port, request)), 404)
    seen = at_last(lambda: get(apis.orders, f"/v1/orders/{order_id}"))
    assert seen.json()["message"].startswith("We have")


def test_somebody_elses_key_makes_another_order(apis: BothApis) -> None:
    key = new_key()
    first = accepted(apis, key)
    who = bearer("shopper", "bob").items()
    request = written(
        "POST", "/v1/orders", [*who, ("Idempotency-Key", key), JSON], lines(GOOD_LINE)
    )
    other = at_last(lambda: exchange(apis.orders.port, request))
    assert other.json()["order_id"] != first


def test_the_same_key_with_another_body_is_refused_and_changes_nothing(apis: BothApis) -> None:
    key = new_key()
    order_id = accepted(apis, key)
    before = apis.contents()
    other = lines(GOOD_LINE | {"quantity": 2})
    refused = at_last(lambda: place(apis, other, JSON, key=key))
    assert assert_refused(refused, 422)["order_id"] == order_id
    assert apis.contents() == before


def test_the_same_key_with_the_body_in_another_order_is_the_same_order(apis: BothApis) -> None:
    key, tee = new_key(), {"sku": "TEE-BASIC", "quantity": 3}
    first = accepted(apis, key, GOOD_LINE, tee)
    again = (
        b' { "lines" : [ {"quantity": 3, "sku": "TEE-BASIC"},\n'
        + json.dumps(GOOD_LINE).encode()
        + b"]}"
    )
    answer = at_last(lambda: place(apis, again, JSON, key=key))
    assert answer.status == 202
    assert UUID(answer.json()["order_id"]) == UUID(first)


def test_an_order_stays_reachable_under_its_key_after_its_product_is_withdrawn(
    apis: BothApis,
) -> None:
    key = new_key()
    order_id = accepted(apis, key, {"sku": "POSTER-CITY", "quantity": 1})
    apis.loop_thread.run(apis.databases[0].execute(WITHDRAW, "POSTER-CITY"))
    body = lines({"sku": "POSTER-CITY", "quantity": 1})
    while place(apis, body, JSON, key=new_key()).status != 422:
        # the price list may be five seconds old; an unknown SKU makes it read again
        place(apis, lines({"sku": "NO-SUCH", "quantity": 1}), JSON, key=new_key())
    answer = at_last(lambda: place(apis, body, JSON, key=key))
    assert answer.status == 202, answer.body
    assert answer.json()["order_id"] == order_id
    other = lines({"sku": "POSTER-CITY", "quantity": 2})
    assert_refused(at_last(lambda: place(apis, other, JSON, key=key)), 422)


WITHDRAW = "UPDATE products SET listed = false WHERE sku = $1"
