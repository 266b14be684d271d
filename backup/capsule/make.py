"""A day's capsule, from the running cluster to the sealed file."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from backup.capsule.contents import count_contents
from backup.capsule.manifest import SealedCapsule
from backup.capsule.seal import Progress, seal
from backup.errors import ArchiveIncomplete, BackupProblem, BaseUnusable, NotCovered
from backup.restore_points.base import BaseBackup, BaseFolder
from backup.restore_points.cluster import Cluster, Mark, identify, mark, wait_archived
from backup.restore_points.reach import Reach, check_archive, lead_on, reach_to
from backup.restore_points.window import COPIES, DAY, bases_for, window_start
from service_kit.observability import logs
from service_kit.postgres.connection import connect

_CONNECT_WITHIN_S = 10.0
_log = logs.get(__name__)


class Sealing(Protocol):
    """Seals what can be restored, given the data folder that it begins with."""

    def __call__(self, *, base: Path, reach: Reach) -> SealedCapsule:
        """Return the sealed capsule."""
        ...


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
    reserve_bytes: int | None = None,
) -> SealedCapsule:
    """Mark the log, choose the base backup that reaches back far enough, and seal both.

    `dsn` is the address of the backup role, `databases` are addresses by name of what is counted,
    `earlier` the capsules sealed before. `within_s` is for each program of Postgres, and for the
    archive.
    """
    contents = await count_contents(databases, ledgers)
    cluster, made = await _marked(dsn, day)
    await wait_archived(made, wal, cluster.segment_bytes, within_s=within_s)
    ours = [
        base
        for base in lead_on(bases.all(), made.timeline, wal)
        if base.cluster.system_identifier == cluster.system_identifier
    ]
    if not ours:
        raise NotCovered("there is no base backup of this cluster yet: nothing can be sealed")
    start = window_start(made.at, ends_of_days(earlier), copies=copies, day=day_length)
    sealing = partial(
        seal,
        day=day,
        wal=wal,
        contents=contents,
        previous=max(earlier, key=lambda one: (one.day, one.covers_to), default=None),
        recipients=recipients,
        folder=folder,
        progress=progress,
        reserve_bytes=reserve_bytes,
    )
    return await seal_from_the_first_whole(
        bases_for(start, ours), made, bases, wal, sealing, within_s=within_s
    )


async def _marked(dsn: str, day: date) -> tuple[Cluster, Mark]:
    connection = await connect(dsn, _CONNECT_WITHIN_S)
    try:
        return await identify(connection), await mark(connection, f"capsule {day.isoformat()}")
    finally:
        await connection.close()


async def seal_from_the_first_whole(
    candidates: Sequence[BaseBackup],
    made: Mark,
    bases: BaseFolder,
    wal: Path,
    sealing: Sealing,
    *,
    within_s: float,
) -> SealedCapsule:
    """Seal from the first base backup that can be combined and whose log is whole up to the mark.

    A capsule that reaches back less far is better than none, as long as one base backup or file of
    the log is damaged that an older one needs: its `covers_from` says what it has. Raises what is
    wrong with the first if none will do.
    """
    problems: list[BackupProblem] = []
    for base in candidates:
        try:
            reach = reach_to(made, base, wal)
            if problems:  # otherwise sealing itself finds what is damaged, and reads it only once
                await asyncio.to_thread(check_archive, reach, wal)
            async with bases.combined(base, within_s=within_s) as data:
                capsule = await asyncio.to_thread(sealing, base=data, reach=reach)
        except (ArchiveIncomplete, BaseUnusable) as problem:
            problems.append(problem)
            _log.error("a base backup cannot be sealed", base=base.name, reason=str(problem))
            continue
        if problems:
            _log.error(
                "the capsule reaches back less far than it should",
                since=capsule.covers_from.isoformat(),
                should=candidates[0].ended_at.isoformat(),
            )
        return capsule
    raise problems[0]
