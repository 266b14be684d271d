"""`valerix backup now` on a real stack: sealed, proven, copied, and one legacy call a date."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from backup.contracts import Trail
from backup.daily import schedule
from backup.restore.proofs import newest_proven
from backup.steps import sealed_capsules
from backup.trail_folder import TrailFolder
from deploy.local.ports import LOOPBACK
from deploy.local.services import BACKUP, LEGACY
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack
from service_kit.temporal import DATA_CONVERTER
from tests.support.command_line import CommandLine
from tests.support.trail.legacy import SetClock, serve_legacy
from tests.support.trail.time_of_day import day_with, no_minute_of_the_schedule

WITHIN_S = 400.0
ONLY = frozenset({POSTGRES, TEMPORAL, BACKUP, LEGACY})

pytestmark = pytest.mark.timeout(1500)


class BackedUpStack:
    """A stack of what backups need, and the command line that finds it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        assert stack.settings.backup_home is not None
        self.trail = TrailFolder(stack.settings.backup_home)
        self.valerix = CommandLine(stack.settings.home, backups=True)
        self.valerix.within_s = WITHIN_S

    def calls(self, day: date) -> int:
        """Return the stand-in's own count."""
        file = self.trail.legacy_service / "calls" / day.isoformat()
        return len(file.read_bytes().splitlines()) if file.exists() else 0

    async def get(self, path: str, role: str | None = "staff") -> httpx.Response:
        headers = {}
        if role is not None:
            headers["Authorization"] = f"Bearer {self.stack.token('somebody', role)}"
        async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
            return await client.get(f"{self.stack.url(BACKUP)}{path}", headers=headers)


@asynccontextmanager
async def backed_up_stack(folder: Path) -> AsyncIterator[BackedUpStack]:
    """Run a stack that backs up when it is told to, at any hour: late in the day it is told noon.

    Only to midnight a backup has to come in time.
    """
    today = await day_with(timedelta(minutes=8))
    await no_minute_of_the_schedule()
    settings = StackSettings(
        home=folder / "home", backup_home=folder / "trail", ports=Ports.free(), only=ONLY
    )
    noon = SetClock(datetime.combine(today, time(12), UTC))
    with serve_legacy(folder / "noon", noon) as told:
        settings = settings.with_env(
            BACKUP, BACKUP_RESERVE_BYTES="0", BACKUP_LEGACY_CLOCK_URL=f"{told.url}/livez"
        )
        async with Stack(settings) as stack:
            await _pause_schedule(stack)
            yield BackedUpStack(stack)


async def _pause_schedule(stack: Stack) -> None:
    address = f"{LOOPBACK}:{stack.settings.ports.temporal}"
    client = await Client.connect(address, data_converter=DATA_CONVERTER)
    await schedule.ensure(client, ())
    await client.get_schedule_handle(schedule.SCHEDULE_ID).pause()


async def test_backup_now_keeps_everything_and_calls_once_a_date(tmp_path: Path) -> None:
    async with backed_up_stack(tmp_path) as backed_up:
        trail, valerix = backed_up.trail, backed_up.valerix
        today = datetime.now(UTC).date()
        code, said = await valerix.run("backup", "now")
        assert code == 0, said
        assert "UTC is in the archive" in said
        assert "Today's one legacy call: done" in said
        [capsule], problems = sealed_capsules(trail.capsules)
        assert problems == []
        proof = newest_proven(trail.capsules)
        assert proof is not None
        assert proof.capsule_sha256 == capsule.sha256
        assert (trail.copies / capsule.name).read_bytes() == capsule.path.read_bytes()
        kept = trail.legacy_service / "capsules" / f"{today.isoformat()}.capsule"
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == capsule.sha256
        assert backed_up.calls(today) == 1

        code, again = await valerix.run("backup", "now")
        assert code == 0, again
        assert "No legacy call" in again
        assert backed_up.calls(today) == 1
        capsules, _ = sealed_capsules(trail.capsules)
        assert [one.day for one in capsules] == [today, today]
        assert capsules[0].covers_to < capsules[1].covers_to

        code, listed = await valerix.run("backup", "list")
        assert code == 0
        assert all(one.sha256[:12] in listed for one in capsules)
        await _is_told_to_staff_only(backed_up, capsules[1].sha256)
    # what is kept can be seen without a stack, too
    code, listed = await valerix.run("backup", "list", VALERIX_BACKUP_HOME=str(trail.folder))
    assert code == 0, listed
    assert all(one.sha256[:12] in listed for one in capsules)
    assert "nothing runs" in listed


async def _is_told_to_staff_only(backed_up: BackedUpStack, newest: str) -> None:
    assert (await backed_up.get("/v1/trail", None)).status_code == 401
    assert (await backed_up.get("/v1/trail", "shopper")).status_code == 403
    told = Trail.model_validate_json((await backed_up.get("/v1/trail")).content)
    assert told.call_today.state == "done"
    assert told.days[0].call == "done"
    assert told.archive.problems == []
    assert told.archive.lag_seconds is not None
    assert told.newest_proven is not None
    assert [one.copies for one in told.days[0].capsules] == [["copies"], ["copies"]]
    assert told.days[0].capsules[-1].sha256 == newest
    assert told.days[0].capsules[-1].proven_at is not None
    page = (await backed_up.get("/metrics", None)).text
    assert 'backup_legacy_call_state{state="done"} 1.0' in page
    assert 'backup_copies{store="copies"} 2.0' in page
    assert 'backup_failures_total{step="seal"} 0.0' in page
    health = (await backed_up.get("/health", None)).json()
    assert health["status"] == "pass", health


@pytest.mark.full
async def test_a_backup_goes_on_after_kill_9_in_the_middle(tmp_path: Path) -> None:
    async with backed_up_stack(tmp_path) as backed_up:
        today, backups, was_cut_off = datetime.now(UTC).date(), 0, False
        while not was_cut_off:  # a machine that stands still may kill when all is done
            backups += 1
            code, said = await _killed_in_between(backed_up)
            was_cut_off = "attempt 2" in said
        assert code == 0, said
        assert backed_up.calls(today) == 1
        capsules, _ = sealed_capsules(backed_up.trail.capsules)
        assert len(capsules) == backups
        proof = newest_proven(backed_up.trail.capsules)
        assert proof is not None
        assert proof.capsule_sha256 == capsules[-1].sha256
        assert (backed_up.trail.copies / capsules[-1].name).exists()
        assert not [*backed_up.trail.capsules.glob(".*.partial")]


async def _killed_in_between(backed_up: BackedUpStack) -> tuple[int, str]:
    """Kill the process once something is half-made; return how `backup now` ended."""
    asked = asyncio.create_task(backed_up.valerix.run("backup", "now"))
    half_made = "*/.*.partial"
    while not (asked.done() or any(backed_up.trail.folder.glob(half_made))):  # noqa: ASYNC110
        await asyncio.sleep(0.005)  # a file appears, and nobody tells
    old = backed_up.stack.kill(BACKUP)
    await backed_up.stack.wait_ready(BACKUP, 120.0)
    assert backed_up.stack.processes[BACKUP].pid != old
    return await asked


@pytest.mark.full
async def test_without_the_legacy_service_all_else_is_done_and_said(tmp_path: Path) -> None:
    async with backed_up_stack(tmp_path) as backed_up:
        await backed_up.stack.stop(LEGACY)
        code, said = await backed_up.valerix.run("backup", "now")
        assert code == 1, said
        assert "the service cannot be reached" in said
        assert "Today's one legacy call: not yet" in said
        assert "tried again until the day is over" in said
        assert newest_proven(backed_up.trail.capsules) is not None
        assert len([*backed_up.trail.copies.glob("*.capsule")]) == 1
        assert backed_up.calls(datetime.now(UTC).date()) == 0
