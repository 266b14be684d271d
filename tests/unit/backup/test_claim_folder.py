"""The folder of claims keeps claims for ever, and nothing else."""

import os
import time
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.claims import Claim


def claim(day: int) -> Claim:
    return Claim(
        day=date(2026, 11, day),
        capsule_sha256="ab" * 32,
        claim_id=uuid4(),
        claimed_at=datetime(2026, 11, day, 3, tzinfo=UTC),
        lineage="1",
    )


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_what_a_death_left_prepared_is_swept_and_claims_stay(tmp_path: Path) -> None:
    folder = ClaimFolder(tmp_path)
    await folder.adopt([claim(24)])
    long_ago = time.time() - 2 * 86_400
    for name in (".dead.new", "2026-11-24.json"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / ".underway.new").touch()
    await folder.adopt([claim(25)])
    assert names(tmp_path) == [*(".underway.new", "2026-11-24.json", "2026-11-25.json")]
    assert set(await folder.known()) == {date(2026, 11, 24), date(2026, 11, 25)}
