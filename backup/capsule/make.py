"""A day's capsule, from the running cluster to the sealed file."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from backup.capsule.contents import count_contents
from backup.capsule.manifest import SealedCapsule
from backup.capsule.seal import Progress, seal
from backup.errors import NotCovered
from backup.restore_points.base import BaseFolder
from backup.restore_points.cluster import identify, mark, wait_archived
from backup.restore_points.reach import lead_on, reach_to
from backup.restore_points.window import COPIES, DAY, base_for, window_start
from service_kit.postgres.connection import connect

_CONNECT_WITHIN_S = 10.0


def ends_of_days(earlier: Sequence[SealedCapsule]) -> list[datetime]:
    """Return up to where the capsules before reach, one for each day: the last that was made."""
    in_order = sorted(earlier, key=lambda capsule: (capsule.day, capsule.covers_to))
    return list({capsule.day: capsule.covers_to for capsule in in_order}.values())


async def make_capsule(
    *,
    day: date,
    dsn: str,
    databases: Mapping[str, str],
    ledgers: Mapping[str, Sequence[str]],
    bases: BaseFolder,
    wal: Path,
    folder: Path,
    earlier: Sequence[SealedCapsule],
    recipients: Sequence[str],
    within_s: float,
    copies: int = COPIES,
    day_length: timedelta = DAY,
    progress: Progress = lambda _: None,
) -> SealedCapsule:
    """Mark the log, choose the base backup that reaches back far enough, and seal both.

    `dsn` is the address of the backup role, `databases` are addresses by name of what is counted,
    `earlier` the capsules sealed before. `within_s` is for each program of Postgres, and for the
    archive.
    """
    contents = await count_contents(databases, ledgers)
    connection = await connect(dsn, _CONNECT_WITHIN_S)
    try:
        cluster = await identify(connection)
        made = await mark(connection, f"capsule {day.isoformat()}")
    finally:
        await connection.close()
    await wait_archived(made, wal, cluster.segment_bytes, within_s=within_s)
    ours = [
        base
        for base in lead_on(bases.all(), made.timeline, wal)
        if base.cluster.system_identifier == cluster.system_identifier
    ]
    if not ours:
        raise NotCovered("there is no base backup of this cluster yet: nothing can be sealed")
    start = window_start(made.at, ends_of_days(earlier), copies=copies, day=day_length)
    base = base_for(start, ours)
    reach = reach_to(made, base, wal)
    before = max(earlier, key=lambda capsule: (capsule.day, capsule.covers_to), default=None)
    async with bases.combined(base, within_s=within_s) as data:
        return await asyncio.to_thread(
            seal,
            day=day,
            base=data,
            wal=wal,
            reach=reach,
            contents=contents,
            previous=before,
            recipients=recipients,
            folder=folder,
            progress=progress,
        )
