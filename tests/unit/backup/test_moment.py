"""Moments as people give them."""

from datetime import UTC, datetime

import pytest

from backup.errors import BackupProblem
from backup.restore.moment import in_words, parse_moment

MOMENT = datetime(2026, 11, 26, 5, 12, 33, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26T05:12:33Z",
        "2026-11-26 05:12:33Z",
        "2026-11-26T06:12:33+01:00",
        " 2026-11-26T00:12:33-05:00 ",
        "20261126T051233Z",
    ],
)
def test_a_time_with_a_zone_is_one_moment_however_it_is_written(text: str) -> None:
    assert parse_moment(text) == MOMENT
    assert in_words(parse_moment(text)) == "2026-11-26 05:12:33 UTC"


@pytest.mark.parametrize("text", ["2026-11-26T05:12:33", "2026-11-26"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(BackupProblem, match="add Z"):
        parse_moment(text)


@pytest.mark.parametrize("text", ["", "yesterday", "05:12:33Z", "2026-02-30T05:12:33Z"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BackupProblem, match="2026-11-26T05:12:33Z"):
        parse_moment(text)
