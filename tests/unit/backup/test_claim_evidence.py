"""Whether a date's call can be claimed, by what both places of claims say."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.legacy.claims import Claim, Evidence

TODAY = date(2028, 2, 29)
DAYS = [TODAY - timedelta(days=n) for n in range(5)]


def claims(days: set[date]) -> dict[date, Claim]:
    at = datetime(2028, 1, 1, tzinfo=UTC)
    return {
        day: Claim(day=day, claim_id=uuid4(), capsule_sha256=None, claimed_at=at, lineage="1/1")
        for day in days
    }


def verdict(rows: set[date], files: set[date], *, same_lineage: bool = True) -> str:
    return Evidence(claims(rows), claims(files), same_lineage).verdict(TODAY)


BEFORE = set(DAYS[1:])


@pytest.mark.parametrize(
    ("rows", "files", "same_lineage", "expected"),
    [
        (BEFORE, BEFORE, True, "claim"),  # a day like any other
        (BEFORE | {TODAY}, BEFORE, True, "spent"),
        (BEFORE, BEFORE | {TODAY}, False, "spent"),  # the database was put back
        (BEFORE, set(), True, "claim"),  # the folder is new, the database is not
        (BEFORE, set(), False, "nobody_knows"),  # and was put back, too
        (set(DAYS[3:]), BEFORE, False, "claim"),  # put back, but the folder saw it all
        (set(DAYS[2:]), set(DAYS[3:]), False, "nobody_knows"),  # both were put back
        (set(), BEFORE, True, "claim"),  # the database is new, the folder is not
        (set(), set(), True, "nobody_knows"),  # the first day, or the first after losing all
    ],
)
def test_the_call_of_today(
    rows: set[date], files: set[date], same_lineage: bool, expected: str
) -> None:
    assert verdict(rows, files, same_lineage=same_lineage) == expected


@given(
    st.sets(st.sampled_from(DAYS)),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(["database", "folder"]),
)
def test_one_place_that_lost_nothing_is_enough(
    called: set[date], kept: int, same_lineage: bool, whole: str
) -> None:
    put_back = set(sorted(called)[:kept])
    rows, files = (called, put_back) if whole == "database" else (put_back, called)
    # a database that was put back has another lineage, or the same if its disk was
    said = verdict(rows, files, same_lineage=same_lineage or whole == "database")
    assert said != "claim" or TODAY not in called


def test_a_claim_that_cannot_be_read_is_a_claim() -> None:
    assert Evidence({}, {TODAY: None}, same_lineage=False).verdict(TODAY) == "spent"
