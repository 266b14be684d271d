"""Collector of what became of backups: has one more, reads what is left, and restores a copy."""

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path

from temporalio.client import Client, WorkflowExecutionStatus

from backup.capsule.open import open_capsule
from backup.daily.contracts import BackupReport
from backup.durable import ABANDONED_AFTER_S, PARTIAL
from backup.errors import BackupProblem
from backup.restore.prove import looked_at
from backup.restore.scratch import scratch_in
from backup.restore_points.point_in_time import Target as RecoveryTarget
from backup.steps import proven_hashes
from backup.stores.folder import FolderStore
from chaos.checker.backup_findings import BackupFindings, BackupFound
from chaos.checker.databases import read_databases, snapshots
from chaos.checker.observations import Observations
from chaos.client.history import History
from chaos.nemesis.backup_faults import FAR, STORES, AskedBackup, BackupFaults
from chaos.nemesis.processes import restart
from chaos.nemesis.system import System
from chaos.scenarios.workload import PlannedOrder
from chaos.target.target import Target
from deploy.local.postgres.connection import connected
from deploy.local.recovery import LocalRecoveryServers
from deploy.local.services import BACKUP
from service_kit.temporal import DATA_CONVERTER

RECOVERED_WITHIN_S = 300.0
LOOKED_FOR_S = 90.0
POLL_INTERVAL_S = 0.1
A_RECORD = "SELECT pg_logical_emit_message(true, 'chaos', 'to be archived')"
FILE_OF_LOG = "SELECT pg_walfile_name(pg_current_wal_lsn())"
CLOSE = "SELECT pg_switch_wal()"


async def collect_backups(
    faults: BackupFaults, target: Target, planned: tuple[PlannedOrder, ...], history: History
) -> BackupFindings:
    """Return everything that the checks of backups need, read while no order moves any more.

    What killed processes have left is made old first, as it is cleared away only then.
    """
    system = target.system
    roots = (faults.trail.folder, faults.far)
    await asyncio.to_thread(_make_old, list(_half_made(roots)))
    await restart(system, BACKUP)
    await faults.back_up("nothing", system)
    findings = BackupFindings(
        backups=await _ends(faults, target.temporal_address),
        stores=STORES,
        calls=faults.legacy.calls(),
        flipped=faults.flipped,
        half_made=[str(path.relative_to(faults.far.parent)) for path in _half_made(roots)],
        archived_after_s=await _archived_after_s(system, faults),
        broken=faults.broken,
    )
    try:
        findings.restored = await _restored(faults, planned, history)
    except (BackupProblem, TimeoutError) as problem:
        findings.not_restored = f"{type(problem).__name__}: {problem}"
    return findings


async def _ends(faults: BackupFaults, temporal: str) -> list[BackupFound]:
    client = await Client.connect(temporal, data_converter=DATA_CONVERTER)
    proven = proven_hashes(faults.trail.capsules)

    async def end_of(asked: AskedBackup) -> BackupFound:
        backup = client.get_workflow_handle(asked.workflow_id, result_type=BackupReport)
        state = (await backup.describe()).status
        report = None
        if state is WorkflowExecutionStatus.COMPLETED:
            report = await backup.result()
        return BackupFound(
            asked.day,
            asked.meets,
            "unknown" if state is None else state.name,
            report,
            report is not None and report.capsule_sha256 in proven,
        )

    return [await end_of(asked) for asked in faults.asked]


async def _archived_after_s(system: System, faults: BackupFaults) -> float | None:
    """Close the file of the log that is being written, and return how soon it is archived (s)."""
    async with connected(system.admin_dsn("backup")) as connection:
        await connection.execute(A_RECORD)
        name = await connection.fetchval(FILE_OF_LOG)
        await connection.execute(CLOSE)
    began = time.monotonic()
    while time.monotonic() - began < LOOKED_FOR_S:
        if any(faults.trail.clusters.glob(f"*/wal/{name}*")):
            return time.monotonic() - began
        await asyncio.sleep(POLL_INTERVAL_S)
    return None


async def _restored(
    faults: BackupFaults, planned: tuple[PlannedOrder, ...], history: History
) -> Observations:
    """Restore the newest copy of the store that is outside of the trail, and read what is back."""
    store = FolderStore(FAR, faults.far)
    copies = await store.list_copies()
    if not copies:
        raise BackupProblem("the store has no copy")
    newest = max(copies, key=lambda copy: copy.covers_to)
    key = faults.trail.secret_key()
    async with scratch_in(faults.trail.folder / "checker", "restoring for a look") as folder:
        capsule = await store.get(newest, folder / "fetched")
        opened = await asyncio.to_thread(
            open_capsule, capsule, key, folder / "opened", reserve_bytes=0
        )
        servers = LocalRecoveryServers(RECOVERED_WITHIN_S)
        reach = opened.manifest.reach
        async with looked_at(opened, reach, RecoveryTarget(), servers) as server:
            orders, inventory = server.admin_dsn("orders"), server.admin_dsn("inventory")
            found = await read_databases(orders, inventory, planned, history.entries)
            found.snapshots = await snapshots(inventory)
    return found


def _half_made(roots: Iterable[Path]) -> Iterable[Path]:
    return (path for root in roots for path in root.rglob(f"*{PARTIAL}*"))


def _make_old(paths: Iterable[Path]) -> None:
    long_ago = time.time() - 2 * ABANDONED_AFTER_S
    for path in paths:
        os.utime(path, (long_ago, long_ago))
