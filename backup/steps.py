"""The steps of a backup on a real cluster: seal, prove, copy, and let go of what is superfluous."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from backup import metrics
from backup.capsule.make import ends_of_days, make_capsule
from backup.capsule.manifest import SUFFIX, SealedCapsule
from backup.capsule.open import labelled
from backup.daily.parts import Prover
from backup.durable import ABANDONED_AFTER_S
from backup.errors import BackupProblem
from backup.keeping import superfluous_bases, superfluous_copies, superfluous_log
from backup.restore.proofs import all_proofs, delete_old_proofs
from backup.restore_points import archive
from backup.restore_points.base import BaseBackup, BaseFolder
from backup.restore_points.cluster import identify, timeline_now
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import lead_on
from backup.stores.folder import FolderStore
from backup.stores.store import Copy, Store
from backup.trail_folder import TrailFolder
from service_kit.observability import logs
from service_kit.postgres.connection import connect
from service_kit.postgres.pool import POSTGRES_ERRORS

# Tables to which rows are only ever added, by database: a proof compares them row by row.
LEDGERS = {"orders": ("order_events",), "inventory": ("movements",)}

_CONNECT_WITHIN_S = 10.0
_BASE_LOOKED_FOR_EVERY_S = 600.0
LOOK_WITHIN_S = 60.0
# What keeps superfluous things where they are until the next proof; OSError is one of them.
_LATER: tuple[type[Exception], ...] = (BackupProblem, *POSTGRES_ERRORS)
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """The cluster that is backed up, and where to.

    `dsn` is the address of the role that takes base backups, in its own database; `databases` are
    addresses by name of all that is counted.
    """

    dsn: str
    databases: Mapping[str, str]
    programs: PostgresPrograms
    trail: TrailFolder
    within_s: float
    full_every: int
    # What stays free on the disk; by the disk's size unless it is set (durable.require_room).
    reserve_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RestorePoints:
    """What the cluster can be brought back from; in `all_bases` are those of ended lives, too."""

    folder: BaseFolder
    wal: Path
    all_bases: Sequence[BaseBackup]
    bases: Sequence[BaseBackup]
    now: datetime


def sealed_capsules(folder: Path) -> tuple[list[SealedCapsule], list[str]]:
    """Return the capsules in a folder, oldest first, and what is wrong with others there."""
    found, problems = [], []
    for path in folder.glob(f"[!.]*{SUFFIX}"):
        try:
            found.append(labelled(path))
        except BackupProblem as problem:
            problems.append(str(problem))
    return sorted(found, key=lambda capsule: (capsule.day, capsule.covers_to)), problems


def proven_hashes(capsules: Path) -> set[str]:
    """Return the hashes of all capsules that a restore has shown to be good."""
    return {proof.capsule_sha256 for proof in all_proofs(capsules) if proof.holds}


class CapsuleSealer:
    """Takes base backups and seals capsules, one at a time."""

    def __init__(self, backed_up: BackedUp) -> None:
        self._backed_up = backed_up
        self._trail = backed_up.trail
        self._turn = asyncio.Lock()

    async def seal(
        self, day: date, not_before: datetime | None = None, instead_of: str | None = None
    ) -> SealedCapsule:
        """Return the newest capsule of `day` if it will do, else a new one; see `Sealer`."""
        async with self._turn:
            earlier, problems = await asyncio.to_thread(sealed_capsules, self._trail.capsules)
            for problem in problems:
                _log.warning("a capsule is left out", reason=problem)
            last = next((capsule for capsule in reversed(earlier) if capsule.day == day), None)
            if (
                last is not None
                and last.sha256 != instead_of
                and (not_before is None or last.covers_to >= not_before)
            ):
                return last
            points = await restore_points(self._backed_up)
            if not any(base.started_at.date() == points.now.date() for base in points.bases):
                await self._take_base(points)
            return await make_capsule(
                day=day,
                dsn=self._backed_up.dsn,
                databases=self._backed_up.databases,
                ledgers=LEDGERS,
                bases=points.folder,
                wal=points.wal,
                folder=self._trail.capsules,
                earlier=earlier,
                recipients=[self._trail.public_key()],
                within_s=self._backed_up.within_s,
                reserve_bytes=self._backed_up.reserve_bytes,
            )

    async def keep_base(self) -> None:
        """See to it, again and again, that there is a base backup to bring the cluster back from.

        The log alone is worth nothing, and the first day's backup may be many hours away. What
        killed archivers have left is cleared away on the way.
        """
        while True:
            async with self._turn:
                points = await restore_points(self._backed_up)
                if not points.bases:
                    await self._take_base(points)
                await asyncio.to_thread(
                    archive.sweep, points.wal, untouched_for_s=ABANDONED_AFTER_S
                )
            await asyncio.sleep(_BASE_LOOKED_FOR_EVERY_S)

    async def _take_base(self, points: RestorePoints) -> None:
        try:
            base = await points.folder.take(
                self._backed_up.dsn,
                full_every=self._backed_up.full_every,
                within_s=self._backed_up.within_s,
            )
        except Exception:
            metrics.FAILURES.labels(metrics.BASE).inc()
            raise
        metrics.succeeded(metrics.BASE)
        _log.info("took a base backup", name=base.name, kind=base.kind, bytes=base.size_bytes)


async def restore_points(backed_up: BackedUp) -> RestorePoints:
    """Return the base backups and the archive of the cluster that runs now."""
    connection = await connect(backed_up.dsn, _CONNECT_WITHIN_S)
    try:
        cluster = await identify(connection)
        timeline = await timeline_now(connection)
    finally:
        await connection.close()
    name = cluster.system_identifier
    folder = BaseFolder(
        backed_up.trail.bases(name), backed_up.programs, reserve_bytes=backed_up.reserve_bytes
    )
    wal = backed_up.trail.wal(name)
    found = folder.all()
    return RestorePoints(folder, wal, found, lead_on(found, timeline, wal), cluster.now)


class PruningProver:
    """Proves capsules; what a proven one makes superfluous beside it is let go of."""

    def __init__(self, prover: Prover, backed_up: BackedUp) -> None:
        self._prover = prover
        self._backed_up = backed_up

    async def prove(self, capsule: SealedCapsule) -> None:
        """Raise NotProven unless a restore brings everything back.

        What stays because it could not be let go of is no reason to restore it all again.
        """
        await self._prover.prove(capsule)
        try:
            await self._prune()
        except _LATER as error:
            metrics.FAILURES.labels(metrics.PRUNE).inc()
            _log.warning("what is superfluous stays for now", reason=str(error))
        else:
            metrics.succeeded(metrics.PRUNE)

    async def _prune(self) -> None:
        """Delete capsules, then base backups, then log: never what one that is kept relies on."""
        store = FolderStore("capsules", self._backed_up.trail.capsules)
        sealed, _ = await asyncio.to_thread(sealed_capsules, store.folder)
        copies = [Copy.of(capsule, store.name) for capsule in sealed]
        for copy in superfluous_copies(copies, proven_hashes(store.folder)):
            await _delete(store, copy)
        await asyncio.to_thread(delete_old_proofs, store.folder)
        points, ends = await restore_points(self._backed_up), ends_of_days(sealed)
        bases = superfluous_bases(points.now, ends, points.all_bases, points.bases)
        names = await asyncio.to_thread(archive.names, points.wal)
        log = superfluous_log(points.now, ends, points.bases, names)
        await asyncio.to_thread(points.folder.delete, bases)
        for name in log:
            archive.delete(points.wal, name)
        if bases or log:
            _log.info("let go of restore points", bases=len(bases), log_files=len(log))


class KeptStore:
    """A store as backups see it; `copies` are those that it had when it was asked last.

    `problem` says why it could not be asked since, and is empty if it could.
    """

    def __init__(self, store: Store, capsules: Path) -> None:
        self.name = store.name
        self.copies: Sequence[Copy] = ()
        self.problem = ""
        self._store = store
        self._capsules = capsules

    async def put(self, capsule: SealedCapsule) -> None:
        """Have a whole copy there, and delete those there that it makes superfluous."""
        await self._store.put(capsule)
        try:
            there = await self._store.list_copies()
            for copy in superfluous_copies(there, proven_hashes(self._capsules)):
                await _delete(self._store, copy)
        except BackupProblem as error:
            metrics.FAILURES.labels(metrics.PRUNE).inc()
            _log.warning("superfluous copies stay for now", store=self.name, reason=str(error))
        await self.look()

    async def look(self) -> None:
        """Ask it for its copies; one that does not answer in time is away."""
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                self.copies = await self._store.list_copies()
            self.problem = ""
        except BackupProblem as error:
            self.problem = str(error)
        except TimeoutError:
            self.problem = f"the store {self.name} did not answer within {LOOK_WITHIN_S:.0f} s"
        metrics.COPIES.labels(self.name).set(len(self.copies))
        newest = max((copy.covers_to.timestamp() for copy in self.copies), default=0.0)
        metrics.NEWEST_COPY.labels(self.name).set(newest)


async def _delete(store: Store, copy: Copy) -> None:
    await store.delete(copy)
    _log.info("deleted a copy", store=store.name, name=copy.name)
