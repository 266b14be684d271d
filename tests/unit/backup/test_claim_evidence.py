"""Whether a date's call can be claimed, by what both places of claims say."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.legacy.claims import UNWITNESSED, Claim, Evidence, last_lineage

TODAY = date(2028, 2, 29)
DAYS = [TODAY - timedelta(days=n) for n in range(5)]


def claims(days: set[date], lineage: str = "1/1") -> dict[date, Claim]:
    at = datetime(2028, 1, 1, tzinfo=UTC)
    return {
        day: Claim(day=day, claim_id=uuid4(), capsule_sha256=None, claimed_at=at, lineage=lineage)
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


def after_a_restore(rows: set[date], files: set[date], spent: date) -> Evidence:
    """Return what is there when a restore has spent the date that it took for today."""
    wrong = claims({spent}, UNWITNESSED)
    there, found = {**wrong, **claims(rows)}, {**wrong, **claims(files)}
    return Evidence(there, found, same_lineage=last_lineage(there) == "1/2")


@given(
    st.sets(st.sampled_from(DAYS)),
    st.integers(0, 5),
    st.integers(-400, 400).filter(bool),
)
def test_a_restore_whose_clock_is_wrong_shows_no_place_to_be_whole(
    called: set[date], kept: int, wrong_by: int
) -> None:
    put_back = set(sorted(called)[:kept])
    said = after_a_restore(put_back, set(), TODAY + timedelta(days=wrong_by)).verdict(TODAY)
    assert said == ("spent" if TODAY in put_back else "nobody_knows")


@pytest.mark.parametrize("wrong_by", [-30, -1, 1, 30])
def test_a_folder_that_saw_it_all_is_believed_after_a_restore(wrong_by: int) -> None:
    found = after_a_restore(set(DAYS[3:]), BEFORE, TODAY + timedelta(days=wrong_by))
    assert found.verdict(TODAY) == "claim"


def test_a_call_since_the_restore_shows_the_database_to_be_whole_again() -> None:
    rows = {
        **claims({DAYS[2]}),
        **claims({DAYS[1]}, "1/2"),
        **claims({TODAY + timedelta(days=400)}, UNWITNESSED),
    }
    assert last_lineage(rows) == "1/2"
    assert Evidence(rows, claims({DAYS[1]}), same_lineage=True).verdict(TODAY) == "claim"


def test_files_that_cannot_be_read_show_no_folder_to_be_whole() -> None:
    assert Evidence({}, {DAYS[1]: None}, same_lineage=False).verdict(TODAY) == "nobody_knows"
