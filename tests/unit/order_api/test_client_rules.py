"""Which answers say what became of an order, so that its key may be given up."""

from typing import Any
from uuid import UUID

import pytest

from order_api.client_rules import is_definite, stored_nothing

OURS = UUID("0190d5a8-0000-7000-8000-000000000001")
ANOTHER = UUID("0190d5a8-0000-7000-8000-000000000002")


def body(slug: str | None = None, order_id: UUID | None = OURS) -> dict[str, Any]:
    named = {} if order_id is None else {"order_id": str(order_id)}
    return named if slug is None else {**named, "type": f"/problems/{slug}"}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (201, body()),
        (202, body()),
        (409, body("out-of-stock")),
        (422, body("key-reused")),
    ],
)
def test_a_key_is_given_up_for_the_word_that_its_order_exists(
    status: int, answer: dict[str, Any]
) -> None:
    assert is_definite(status, answer, OURS)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (None, {}),  # nothing came back
        (201, body(order_id=ANOTHER)),
        (202, body(order_id=None)),
        (200, body()),
        (401, body("unauthorized")),
        (404, body()),
        (408, {}),
        (409, {"order_id": str(OURS), "type": "about:blank"}),  # a proxy's
        (409, body("price-changed")),
        (422, body("unprocessable")),
        (422, {"order_id": str(OURS), "type": "key-reused"}),
        (503, body("outcome-unknown")),
    ],
)
def test_a_key_is_kept_while_an_earlier_try_may_have_stored_its_order(
    status: int | None, answer: dict[str, Any]
) -> None:
    assert not is_definite(status, answer, OURS)


@pytest.mark.parametrize(
    ("status", "answer", "nothing"),
    [
        (422, body("unprocessable"), True),
        (409, body("price-changed"), True),
        (503, body("not-stored"), True),
        (503, body("outcome-unknown"), False),
        (500, body("internal-error"), False),
        (404, {}, False),  # a proxy's: it may have passed the request on
        (502, {"type": "about:blank"}, False),
        (201, body(), False),
    ],
)
def test_only_the_service_itself_can_say_that_it_stored_nothing(
    status: int, answer: dict[str, Any], nothing: bool
) -> None:
    assert stored_nothing(status, answer) is nothing
