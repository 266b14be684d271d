"""Keys: exactly one, visible, not too long; and the order id that follows from it."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from order_api.contracts import order_id_for
from service_kit.http.idempotency_key import read
from service_kit.http.problems import Problem
from tests.support.asgi_requests import request

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
customers = st.text(min_size=1, max_size=20).filter(str.isprintable)


@settings(max_examples=50, deadline=None)
@given(visible)
def test_a_clean_key_is_the_same_with_and_without_the_quotes_of_the_draft(key: str) -> None:
    assume(not (key.startswith('"') and key.endswith('"')))
    assert read(request(("Idempotency-Key", key))) == key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert read(request(("Idempotency-Key", f'"{escaped}"'))) == key


@pytest.mark.parametrize("key", ['"', 'a"', '"a', '"a"b"', '"a\\"', '"a";q=1', '"\\a"'])
def test_what_is_not_quoted_as_a_whole_is_a_key_as_it_stands(key: str) -> None:
    assert read(request(("Idempotency-Key", key))) == key


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [""],
        ["k" * 256],
        ["a b"],
        ["a\t"],
        ["a\n"],
        ["é"],
        ["a", "b"],
        ["a", "a"],
        ["\x7f"],
        ['""'],
        ['"a b"'],
    ],
)
def test_anything_else_is_refused(keys: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        read(request(*(("Idempotency-Key", key) for key in keys)))
    assert caught.value.status == 400


@settings(max_examples=50, deadline=None)
@given(customers, visible, customers, visible)
def test_two_orders_have_the_same_id_only_for_the_same_customer_and_key(
    customer: str, key: str, other: str, other_key: str
) -> None:
    same = (customer, key) == (other, other_key)
    assert (order_id_for(customer, key) == order_id_for(other, other_key)) == same


def test_the_id_is_the_one_that_the_contract_promises_for_ever() -> None:
    assert str(order_id_for("alice", "first")) == "b877c4cd-8ae1-5a94-97f4-d9c2fc9df594"
