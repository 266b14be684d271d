"""At most one call for each UTC date, by the stand-in's own count, whatever breaks around it."""

import asyncio
import contextlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from backup.legacy.call import LegacyCall
from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.claims import Claim
from backup.legacy.client import LegacyClient
from backup.legacy.outcomes import CallReport, NotCalled, TooLate
from deploy.local.ports import free_port
from legacy_service.contracts import Misdeed
from tests.support.trail.claims_site import (
    ClaimsSite,
    RestorableCalls,
    open_pool,
    refused_by_the_database,
)
from tests.support.trail.legacy import DAY, legacy_settings, sealed

TOMORROW = DAY + timedelta(days=1)


async def make(site: ClaimsSite, day: date = DAY, **settings: Any) -> CallReport:
    """Let one more scheduler try."""
    return await site.call(**settings).make(sealed(site.folder / "capsules", day), day)


async def test_a_call_is_made_kept_and_written_down(site: ClaimsSite) -> None:
    report = await make(site)
    assert (report.state, report.by_us) == ("done", True)
    assert (site.legacy.calls(), site.legacy.kept()) == (1, b"a capsule")
    assert await site.state() == "claimed"
    await site.calls.confirm(report, datetime.now(UTC))
    assert await site.state() == "done"
    assert site.files() == {f"{DAY}.json"}


@pytest.mark.parametrize(
    ("misdeed", "state"),
    [
        ("error", "unknown"),
        ("silence", "unknown"),
        ("cut", "unknown"),
        ("cut_early", "unknown"),
        ("trickle", "unknown"),
        ("lost", "done"),
        ("truncated", "done"),
    ],
)
async def test_no_answer_leads_to_a_second_call(
    site: ClaimsSite, misdeed: Misdeed, state: str
) -> None:
    site.legacy.misbehave(misdeed)
    unanswered = misdeed in ("silence", "trickle")
    report = await make(site, call_within_s=8.0 if unanswered else 60.0)
    assert (report.state, report.by_us) == (state, True)
    await site.calls.confirm(report, datetime.now(UTC))
    for _ in range(2):
        again = await make(site)
        assert (again.state, again.by_us, again.claim_id) == (state, False, report.claim_id)
    assert site.legacy.calls() == 1


async def test_a_service_that_is_away_spends_nothing(site: ClaimsSite) -> None:
    with pytest.raises(NotCalled, match="cannot be reached"):
        await make(site, url=f"http://127.0.0.1:{free_port()}")
    assert await site.state() is None


async def test_a_connection_that_is_refused_is_no_call(site: ClaimsSite) -> None:
    await _yesterday(site)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotCalled, match="cannot be reached"):
        await make(site, url=nowhere, clock_url=f"{site.legacy.url}/livez")
    assert await site.state() is None
    assert (await make(site)).state == "done"
    assert site.legacy.calls() == 1


@pytest.mark.parametrize("hours", [-36, 11.5, 24, 24 * 366], ids=str)
async def test_only_the_service_says_what_day_it_is(site: ClaimsSite, hours: float) -> None:
    site.legacy.clock.forward(hours=hours)
    with pytest.raises(NotCalled, match="not the time") as told:
        await make(site)
    assert isinstance(told.value, TooLate) == (hours > 0)
    assert await site.state() is None
    site.legacy.clock.forward(hours=-hours)
    assert (await make(site)).state == "done"


async def test_five_schedulers_at_once_make_one_call(site: ClaimsSite) -> None:
    reports = await asyncio.gather(*(make(site) for _ in range(5)))
    assert sum(report.by_us for report in reports) == 1
    assert site.legacy.calls() == 1


async def _yesterday(site: ClaimsSite) -> None:
    """Have a call of the day before in both places."""
    site.legacy.clock.forward(days=-1)
    assert (await make(site, DAY - timedelta(days=1))).state == "done"
    site.legacy.clock.forward(days=1)


@pytest.mark.parametrize("same_lineage", [False, True], ids=["restored", "disk put back"])
async def test_a_database_put_back_to_before_the_claim_calls_no_second_time(
    site: ClaimsSite, same_lineage: bool
) -> None:
    await _yesterday(site)
    await make(site)
    await site.put_database_back(same_lineage=same_lineage)
    again = await make(site)
    assert (again.state, again.by_us, site.legacy.calls()) == ("unknown", False, 1)
    assert await site.state() == "unknown"
    site.legacy.clock.forward(days=1)
    assert (await make(site, TOMORROW)).state == "done"


async def test_a_database_put_back_in_the_middle_of_a_call_makes_no_second_one(
    site: ClaimsSite,
) -> None:
    await _yesterday(site)

    class PutBack(RestorableCalls):
        async def claim(self, claim: Claim) -> bool:
            await make(site)
            await site.put_database_back()
            return await super().claim(claim)

    calls = PutBack(site.pool, deadline_s=60.0)
    late = LegacyCall(site.legacy.client(site.claims), calls, ClaimFolder(site.claims))
    report = await late.make(sealed(site.folder / "late"), DAY)
    assert (report.by_us, site.legacy.calls()) == (False, 1)


async def test_a_lost_folder_is_written_anew_and_calls_no_second_time(site: ClaimsSite) -> None:
    await _yesterday(site)
    await make(site)
    site.lose_folder()
    assert (await make(site)).by_us is False
    site.legacy.clock.forward(days=1)
    assert (await make(site, TOMORROW)).state == "done"
    assert site.files() == {f"{DAY + timedelta(days=n)}.json" for n in (-1, 0, 1)}
    assert (site.legacy.calls(), site.legacy.calls(TOMORROW)) == (1, 1)


@pytest.mark.parametrize("tells", [True, False])
async def test_after_both_places_were_lost_the_day_is_over_for_calls(
    site: ClaimsSite, tells: bool
) -> None:
    await _yesterday(site)
    await make(site)
    await site.put_database_back()
    site.lose_folder()
    again = await make(site, tells_its_calls=tells)
    assert (again.state, again.by_us, site.legacy.calls()) == ("unknown", False, 1)
    site.legacy.clock.forward(days=1)
    assert (await make(site, TOMORROW, tells_its_calls=tells)).state == "done"


async def test_looking_at_another_date_first_does_not_make_a_lost_place_look_whole(
    site: ClaimsSite,
) -> None:
    await _yesterday(site)
    await make(site)
    await site.put_database_back()
    site.lose_folder()
    for other in (TOMORROW, DAY - timedelta(days=1), DAY - timedelta(days=2)):
        with contextlib.suppress(NotCalled):
            await make(site, other, tells_its_calls=False)
    assert (await make(site, tells_its_calls=False)).by_us is False
    assert site.legacy.calls() == 1


async def test_who_is_new_calls_at_once_only_if_the_service_says_that_nobody_has(
    site: ClaimsSite,
) -> None:
    assert (await make(site, tells_its_calls=False)).state == "unknown"
    assert site.legacy.calls() == 0
    await site.put_database_back()
    site.lose_folder()
    assert (await make(site)).state == "done"


async def test_a_folder_that_takes_no_files_spends_nothing(site: ClaimsSite) -> None:
    await _yesterday(site)
    site.lose_folder()
    site.claims.write_text("not a folder")
    with pytest.raises(NotCalled, match="cannot be written"):
        await make(site)
    assert (await site.state(), site.legacy.calls()) == (None, 0)
    site.claims.unlink()
    assert (await make(site)).state == "done"


async def test_a_database_that_is_away_spends_nothing(site: ClaimsSite) -> None:
    away = await open_pool(f"postgresql://backup:x@127.0.0.1:{free_port()}/backup")
    call = LegacyCall(
        site.legacy.client(site.claims), RestorableCalls(away), ClaimFolder(site.claims)
    )
    with pytest.raises(NotCalled, match="cannot be written"):
        await call.make(sealed(site.folder / "capsules"), DAY)
    away.terminate()
    assert (site.files(), site.legacy.calls()) == (set(), 0)


async def test_a_capsule_that_is_not_there_spends_nothing(site: ClaimsSite) -> None:
    capsule = sealed(site.folder / "capsules")
    capsule.path.write_bytes(b"cut")
    with pytest.raises(NotCalled, match="3 bytes"):
        await site.call().make(capsule, DAY)
    assert (await site.state(), site.legacy.calls()) == (None, 0)


async def test_a_machine_that_slept_in_the_gate_sends_nothing(site: ClaimsSite) -> None:
    naps = iter([0.0, 100.0])
    client = LegacyClient(legacy_settings(site.legacy.url, site.claims), lambda: next(naps))
    report = await site.call(client).make(sealed(site.folder / "capsules"), DAY)
    assert (report.state, site.legacy.calls()) == ("unknown", 0)


async def test_a_machine_that_slept_before_the_gate_claims_nothing(site: ClaimsSite) -> None:
    naps = iter([0.0, 100.0])
    call = LegacyCall(
        site.legacy.client(site.claims),
        site.calls,
        ClaimFolder(site.claims),
        elapsed=lambda: next(naps),
    )
    with pytest.raises(NotCalled, match="too long"):
        await call.make(sealed(site.folder / "capsules"), DAY)
    assert (await site.state(), site.legacy.calls()) == (None, 0)


async def test_what_is_known_of_a_call_only_grows(site: ClaimsSite) -> None:
    report = await make(site)
    for state, then in (("unknown", "unknown"), ("done", "done"), ("unknown", "done")):
        told = report.model_copy(update={"state": state})
        await site.calls.confirm(told, datetime.now(UTC))
        assert await site.state() == then


async def test_the_last_date_whose_call_is_done_is_known_however_long_ago(
    site: ClaimsSite,
) -> None:
    assert await site.calls.last_done() is None
    await site.calls.confirm(await make(site), datetime.now(UTC))
    site.legacy.clock.forward(days=90)
    site.legacy.misbehave("silence")
    later = DAY + timedelta(days=90)
    report = await make(site, later, call_within_s=1.0)
    await site.calls.confirm(report, datetime.now(UTC))
    assert report.state == "unknown"
    assert await site.calls.last_done() == DAY


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM legacy_calls",
        "TRUNCATE legacy_calls",
        "UPDATE legacy_calls SET day = day + 1",
        "UPDATE legacy_calls SET state = 'claimed', ended_at = NULL",
        "UPDATE legacy_calls SET claim_id = gen_random_uuid()",
    ],
)
async def test_the_database_itself_keeps_a_claim(
    site: ClaimsSite, backup_database: str, statement: str
) -> None:
    await site.calls.confirm(await make(site), datetime.now(UTC))
    assert await refused_by_the_database(backup_database, statement)
