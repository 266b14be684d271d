"""Part of section `restore`: what a week of log costs in which little happens every half minute.

Each half minute closes a file of it, and a recovery reads one after the other.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

from backup.capsule.make import make_capsule
from backup.capsule.manifest import SealedCapsule
from backup.restore.prove import RestoreProver
from backup.restore_points.base import BaseFolder
from backup.restore_points.cluster import mark
from backup.restore_points.programs import PostgresPrograms
from backup.trail_folder import TrailFolder
from bench.harness.processes import OWN
from bench.harness.results import Row
from bench.harness.stack import CpuUsage, Plan, cpu_usage_of, temporary_home
from deploy.cli.restore import RestorePlace, restore_to
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import BACKUP, DATABASES, EmbeddedPostgres
from deploy.local.recovery import LocalRecoveryServers

A_WEEK = 7 * 24 * 60 * 2
# Every file of them is archived by an interpreter of its own: all would take an hour.
FILES = A_WEEK // 40
_WITHIN_S = 3600.0
_TABLE = "CREATE TABLE lines (n bigint PRIMARY KEY)"
_A_LINE = "INSERT INTO lines VALUES ($1)"


async def long_log(plan: Plan) -> list[Row]:
    """Prove a capsule with so many files of log, and restore it on a new host."""
    files = FILES // 5 if plan.quick else FILES
    with temporary_home() as home:
        trail = TrailFolder(home.with_name("backups"))
        plan.say(f"archiving {files:,} files of log with a line each")
        capsule = await _capsule(home, trail, files)
        prover = RestoreProver(
            LocalRecoveryServers(_WITHIN_S),
            trail.secret_key,
            home.with_name("scratch"),
            DATABASES,
            _WITHIN_S,
            plan.say,
        )
        async with cpu_usage_of({}, plan) as proving:
            proof = await prover.proven(capsule)
        place = RestorePlace(home.with_name("new"), trail, trail)
        began = time.perf_counter()
        async with cpu_usage_of({}, plan) as restoring:
            restored = await restore_to(place, str(capsule.path), None)
        restored_s = time.perf_counter() - began
    wrong = "; ".join((*proof.differences, *restored.differences))
    return [
        *_rows("proof of a quiet log", proof.seconds, proving, files, wrong),
        *_rows("restore of a quiet log", restored_s, restoring, files, wrong),
    ]


async def _capsule(home: Path, trail: TrailFolder, files: int) -> SealedCapsule:
    async with EmbeddedPostgres(home, trail=trail.folder) as postgres:
        wal = postgres.wal
        assert wal is not None, "there is a trail"
        programs = PostgresPrograms(postgres.binaries.folder)
        bases, dsn = BaseFolder(wal.with_name("bases"), programs), postgres.admin_dsn(BACKUP)
        async with connected(dsn) as connection:
            await connection.execute(_TABLE)
            await bases.take(dsn, full_every=1, within_s=_WITHIN_S)
            for number in range(files):
                await connection.execute(_A_LINE, number)
                await mark(connection, "half a minute")
        return await make_capsule(
            day=datetime.now(UTC).date(),
            dsn=dsn,
            databases={BACKUP: dsn},
            ledgers={BACKUP: ("lines",)},
            bases=bases,
            wal=wal,
            folder=trail.capsules,
            earlier=(),
            recipients=[trail.public_key()],
            within_s=_WITHIN_S,
        )


def _rows(what: str, seconds: float, used: CpuUsage, files: int, wrong: str) -> list[Row]:
    def row(value: float, unit: str) -> Row:
        week = f"{files:,} files; a week's {A_WEEK:,} at this rate: {value * A_WEEK:,.0f} {unit}"
        note = f"WRONG: {wrong}" if wrong else week
        return Row(
            "restore",
            f"{what}, each file",
            1000 * value,
            unit.removesuffix("s") + "ms",
            met=False if wrong else None,
            note=note,
        )

    return [row(seconds / files, "s"), row(used.cpu_s[OWN] / files, "CPU s")]
