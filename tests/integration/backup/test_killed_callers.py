"""A caller that is killed with kill -9 around its call: nobody calls a second time that day."""

import asyncio
import signal
import sys

import pytest

from tests.support.trail.claims_site import ClaimsSite
from tests.support.trail.killed_caller import MOMENTS
from tests.support.trail.legacy import DAY, sealed

# What the next attempt says, and how often the stand-in was called in all. Between the claim and
# the first byte lies the one moment in which a death costs the date its call: whether the service
# had counted it, nobody could tell, and the capsule of the next date closes the hole.
AFTERWARDS = {
    "connected": ("done", 1),
    "between the places": ("unknown", 0),
    "claimed": ("unknown", 0),
    "waiting": ("unknown", 1),
    "answered": ("unknown", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_caller_is_killed(site: ClaimsSite, backup_database: str, moment: str) -> None:
    if moment == "waiting":
        site.legacy.misbehave("silence")
    caller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.trail.killed_caller"),
        *(moment, site.legacy.url, backup_database, str(site.folder), str(site.legacy.folder)),
    )
    assert await caller.wait() == -signal.SIGKILL
    capsule = sealed(site.folder / "capsules")
    report, _ = [await site.call().make(capsule, DAY) for _ in range(2)]
    assert (report.state, site.legacy.calls()) == AFTERWARDS[moment]
