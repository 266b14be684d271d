"""The fault run of backups in a short form: it sees the one call too many, and nothing else."""

from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from chaos.participants import Setting
from chaos.run import Run
from chaos.run_config import RunConfig
from chaos.scenarios.catalogue import SCENARIOS
from deploy.local.services import LEGACY

EVENTS = frozenset({"backup-killed-calling", "backup-raced", "backup-copy-flipped"})


class SomebodyCallsToo(Run):
    """A run in which somebody means well, and makes a call of the last date by hand."""

    async def _forget(self, setting: Setting) -> None:
        faults = setting.target.backup_faults
        assert faults is not None
        last = max(asked.day for asked in faults.asked)
        url = f"{setting.target.system.url(LEGACY)}/v1/capsules/{last.isoformat()}"
        headers = faults.legacy.headers
        async with aiohttp.ClientSession(headers=headers) as session, session.put(url) as answer:
            assert answer.status == 429


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_a_second_call_of_a_date_is_seen_and_all_else_is_kept(tmp_path: Path) -> None:
    scenario = SCENARIOS["backup"]
    events = tuple(event for event in scenario.events if event.name in EVENTS)
    assert len(events) == len(EVENTS)
    config = RunConfig(
        replace(scenario, events=events), 1, orders=200, rate=5.0, out=tmp_path, naive=None
    )
    outcome = await SomebodyCallsToo(config, lambda _: None).go()
    broken = [check for check in outcome.checks if not check.holds]
    assert [check.name for check in broken] == ["I19"], broken
    assert broken[0].violations[0].startswith("2 legacy calls on ")
    assert {fault.name for fault in outcome.faults if fault.fired} == EVENTS
