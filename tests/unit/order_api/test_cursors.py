"""Cursors say where the next page begins, to the microsecond, and nothing else."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_api import cursors
from service_kit.http.problems import Problem

SECONDS = 253_402_300_799  # to the end of the year 9999
times = st.builds(
    lambda seconds, micros: datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros),
    st.integers(0, SECONDS),
    st.integers(0, 999_999),
)


@settings(max_examples=50, deadline=None)
@given(times, st.uuids())
def test_a_cursor_comes_back_as_what_it_was_made_of(created_at: datetime, order_id: UUID) -> None:
    assert cursors.decode(cursors.encode(created_at, order_id)) == (created_at, order_id)


@settings(max_examples=50, deadline=None)
@given(st.text() | st.text("ABCDEFabcdef0123456789-_", min_size=32, max_size=32))
def test_whatever_text_comes_the_answer_is_a_place_or_a_422(text: str) -> None:
    try:
        cursors.decode(text)
    except Problem as problem:
        status = problem.status
    else:
        status = 200
    assert status in (200, 422)


@pytest.mark.parametrize("text", ["", "x", "A" * 31, "A" * 36, "_" * 32, "ä" * 32, "A" * 31 + "\n"])
def test_what_no_page_gave_out_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        cursors.decode(text)
    assert caught.value.status == 422
