"""JSON that two readers could understand differently is understood by nobody."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_api.contracts import ReserveRequest
from service_kit.http.problems import Problem
from service_kit.http.strict_json import parse, read
from tests.support.asgi_requests import request

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None)
@given(values)
def test_what_is_json_comes_out_as_it_went_in(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


@settings(max_examples=50, deadline=None)
@given(st.binary())
def test_whatever_bytes_come_the_answer_is_a_value_or_a_400(body: bytes) -> None:
    try:
        parse(body)
    except Problem as problem:
        status = problem.status
    else:
        status = 200
    assert status in (200, 400)


@pytest.mark.parametrize(
    ("body", "because"),
    [
        (b'{"a":1,"a":1}', "appears twice"),
        (b'{"x":{"a":1,"b":2,"a":3}}', "appears twice"),
        (b"[NaN]", "NaN and Infinity"),
        (b"[-Infinity]", "NaN and Infinity"),
        (b"[1" + b"0" * 5000 + b"]", "too many digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff", "not UTF-8"),
        (b"{'a':1}", "at character 1"),
    ],
)
def test_a_refusal_says_what_was_wrong(body: bytes, because: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(body)
    assert caught.value.status == 400
    assert because in caught.value.detail


async def test_a_body_that_is_not_called_json_is_not_read() -> None:
    for media_type in ("text/plain", "", "application/json-patch+json"):
        sent = request(("Content-Type", media_type), body=b"{}")
        with pytest.raises(Problem) as caught:
            await read(sent, ReserveRequest)
        assert caught.value.status == 415


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
async def test_a_good_body_becomes_its_model(media_type: str) -> None:
    body = b'{"lines":[{"sku":"A","quantity":2}]}'
    found = await read(request(("Content-Type", media_type), body=body), ReserveRequest)
    assert [(line.sku, line.quantity) for line in found.lines] == [("A", 2)]


async def test_a_refusal_names_the_place_and_never_the_value() -> None:
    body = b'{"lines":[{"sku":"A","quantity":1},{"sku":"secret sku","quantity":"secret"}]}'
    with pytest.raises(Problem) as caught:
        await read(request(("Content-Type", "application/json"), body=body), ReserveRequest)
    problem = caught.value
    assert [error["at"] for error in problem.members["errors"]] == [
        "lines.1.sku",
        "lines.1.quantity",
    ]
    assert b"secret" not in bytes(problem.response().body)
