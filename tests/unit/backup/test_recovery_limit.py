import asyncio

import pytest

from backup.daily.workflow import PROOF
from backup.restore.prove import allow_for_log
from backup.restore.server import with_log
from backup.settings import BackupSettings
from tests.support.small_capsules import reach

A_WEEK = [f"{number:024X}" for number in range(7 * 24 * 60 * 2)]


def test_the_limit_of_a_recovery_follows_its_log() -> None:
    assert with_log(60.0, []) == 60.0
    assert with_log(60.0, A_WEEK) > 60.0 + 3600.0


async def test_the_limit_of_a_proof_is_put_off_once_its_log_is_known() -> None:
    async with asyncio.timeout(60.0) as limit:
        before = limit.when()
        assert before is not None
        await asyncio.sleep(0)
        allow_for_log(limit, reach())
        assert limit.when() == pytest.approx(with_log(before, reach().segments()))
        assert limit.when() != before


def test_a_proof_of_a_week_of_full_half_minutes_is_not_cut_off_from_outside() -> None:
    usual = BackupSettings.model_fields["within_s"].default
    assert PROOF.total_seconds() > 2 * with_log(usual, A_WEEK)
