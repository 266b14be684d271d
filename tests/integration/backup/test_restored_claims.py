"""What a restore leaves of the claims: its own clock, which may be wrong, allows no second call."""

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from backup.legacy.outcomes import CallReport
from backup.restore.spend import spend_call
from tests.support.trail.claims_site import ClaimsSite
from tests.support.trail.legacy import DAY, sealed


async def make(site: ClaimsSite, day: date = DAY, **settings: Any) -> CallReport:
    """Let a scheduler try."""
    return await site.call(**settings).make(sealed(site.folder / "capsules", day), day)


async def _call_of_another_day(site: ClaimsSite, days: int) -> None:
    """Have a call of it in both places."""
    site.legacy.clock.forward(days=days)
    assert (await make(site, DAY + timedelta(days=days))).state == "done"
    site.legacy.clock.forward(days=-days)


async def test_a_restore_spends_its_day(site: ClaimsSite) -> None:
    await site.call().spend(DAY, "restored")
    assert (await make(site)).by_us is False
    await site.put_database_back()
    assert (await make(site)).by_us is False
    assert site.legacy.calls() == 0


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("wrong_by", [-1, 1, 40], ids=str)
@pytest.mark.parametrize("kept", [0, 1], ids=["no claims", "an older claim"])
async def test_a_restore_whose_clock_is_wrong_allows_no_second_call(
    site: ClaimsSite, wrong_by: int, kept: int, tells: bool
) -> None:
    await _call_of_another_day(site, -2)
    await make(site)
    await site.put_database_back(DAY - timedelta(days=2 - kept))
    site.lose_folder()
    await site.call().spend(DAY + timedelta(days=wrong_by), "restored")
    again = await make(site, tells_its_calls=tells)
    assert (again.state, again.by_us, site.legacy.calls()) == ("unknown", False, 1)
    later = DAY + timedelta(days=2)
    site.legacy.clock.forward(days=2)
    assert (await make(site, later, tells_its_calls=tells)).state == "done"
    assert f"{later}.json" in site.files()


async def test_a_restore_to_before_all_claims_leaves_a_folder_that_shows_nothing(
    site: ClaimsSite,
) -> None:
    await make(site)
    await site.put_database_back()
    site.lose_folder()
    no_claims = urlsplit(site.admin_dsn)._replace(path="/postgres").geturl()
    await spend_call(no_claims, site.claims, DAY - timedelta(days=1))
    again = await make(site)
    assert (again.state, again.by_us, site.legacy.calls()) == ("unknown", False, 1)


async def test_a_restore_beside_a_folder_that_saw_it_all_costs_one_date_only(
    site: ClaimsSite,
) -> None:
    await _call_of_another_day(site, -2)
    await _call_of_another_day(site, -1)
    await site.put_database_back(DAY - timedelta(days=1))
    await site.call().spend(DAY, "restored")
    assert (await make(site, tells_its_calls=False)).by_us is False
    site.legacy.clock.forward(days=1)
    assert (await make(site, DAY + timedelta(days=1), tells_its_calls=False)).state == "done"
    assert site.legacy.calls() == 0
