"""What a proof lets go of, and what becomes of the proof if that fails."""

from pathlib import Path

import asyncpg
import pytest
from prometheus_client import REGISTRY

from backup import metrics, steps
from backup.capsule.manifest import SealedCapsule
from backup.restore_points.programs import PostgresPrograms
from backup.steps import BackedUp, PruningProver
from backup.trail_folder import TrailFolder
from tests.support.small_capsules import make


class Proven:
    """Every capsule is good."""

    def __init__(self) -> None:
        self.proofs = 0

    async def prove(self, capsule: SealedCapsule) -> None:
        self.proofs += 1


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionRefusedError("nobody listens"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_that_does_not_answer_leaves_a_good_proof_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def unanswered(_: BackedUp) -> None:
        raise error

    monkeypatch.setattr(steps, "restore_points", unanswered)
    made = make(tmp_path)
    backed_up = BackedUp(
        dsn="",
        databases={},
        programs=PostgresPrograms(tmp_path),
        trail=TrailFolder(tmp_path / "trail"),
        within_s=1.0,
        full_every=7,
    )
    failures = failed_prunes()
    prover = Proven()
    await PruningProver(prover, backed_up).prove(made.seal())
    assert prover.proofs == 1
    assert failed_prunes() == failures + 1


def failed_prunes() -> float:
    return REGISTRY.get_sample_value("backup_failures_total", {"step": metrics.PRUNE}) or 0.0
