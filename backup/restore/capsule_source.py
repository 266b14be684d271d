"""A capsule as a source: one file that holds every second of a week, and the key to it."""

import asyncio
import hashlib
import re
import tarfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from backup.capsule.manifest import NAME, CapsuleManifest, SealedCapsule, label_name
from backup.capsule.open import OpenedCapsule, labelled, open_capsule, verify
from backup.capsule.stream import read_entries
from backup.durable import made_folder, remove
from backup.errors import CapsuleDamaged, CopyMissing, NotCovered, WrongCapsule
from backup.restore.moment import in_words
from backup.restore.server import DATA
from backup.restore.sources import LaidOut, Offer, Say
from backup.restore_points import archive
from backup.restore_points.lives import reach_for
from backup.restore_points.point_in_time import Target
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import Reach
from backup.trail_folder import TrailFolder

_OUR_NAME = re.compile(r"\d{4}-\d{2}-\d{2}\.[0-9a-f]{64}\.capsule")
_OPENED = "opened"
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class CapsuleSource:
    """A capsule in a folder, opened with `key`; its log goes to the archive in `trail`."""

    def __init__(
        self,
        capsule: SealedCapsule,
        key: str,
        trail: TrailFolder,
        programs: PostgresPrograms,
        *,
        say: Say,
        where: str = "",
    ) -> None:
        self._capsule = capsule
        self._key = key
        self._trail = trail
        self._programs = programs
        self._say = say
        self._what = f"the capsule of {capsule.day}{where}"

    async def check(self, at: datetime | None) -> Offer:
        """Read all of the capsule."""
        self._require(at)
        self._say(f"reading {self._what}, {_size(self._capsule)}")
        manifest = await asyncio.to_thread(verify, self._capsule, self._key)
        return self._offer(manifest, at)

    async def lay_out(self, at: datetime | None, into: Path) -> LaidOut:
        """Read all of it, then open it and hand its log to the archive."""
        self._require(at)
        self._say(f"reading and opening {self._what}, {_size(self._capsule)}")
        opened = await asyncio.to_thread(open_capsule, self._capsule, self._key, into / _OPENED)
        manifest = opened.manifest
        found, target = await target_in(opened, at, self._programs)
        self._say("handing its log to the archive")
        wal = self._trail.wal(found.base.cluster.system_identifier)
        mended = await asyncio.to_thread(hand_over_log, opened.wal, wal)
        notes = [
            f"the log file {name} was damaged in the archive: it was replaced by the whole one that"
            f" {self._what} has, and can be read there again"
            for name in mended
        ]
        for note in notes:
            self._say(note)
        opened.base.rename(into / DATA)
        remove(into / _OPENED)
        return LaidOut(
            offer=self._offer(manifest, at).noting(notes),
            data=into / DATA,
            wal=wal,
            reach=found,
            target=target,
            contents=manifest.contents if target.moment is None else None,
        )

    def _require(self, at: datetime | None) -> None:
        """Refuse by the label alone, before anything is read."""
        covered = self._capsule
        if at is not None and not covered.covers_from <= at <= covered.covers_to:
            raise NotCovered(
                f"{in_words(at)} is not in {self._what}, which reaches from"
                f" {in_words(covered.covers_from)} to {in_words(covered.covers_to)}"
            )

    def _offer(self, manifest: CapsuleManifest, at: datetime | None) -> Offer:
        reach = manifest.reach
        return Offer(
            what=self._what, reach=reach, up_to=at or reach.covers_to, latest=reach.covers_to
        )


async def target_in(
    opened: OpenedCapsule, at: datetime | None, programs: PostgresPrograms
) -> tuple[Reach, Target]:
    """Return what leads to a moment in an opened capsule, of whichever life it belongs to."""
    whole = opened.manifest.reach
    if at is None or at == whole.covers_to:
        return whole, Target()
    if whole.history:
        found = await _found_in(opened, at, programs)
        if found.timeline != whole.timeline:
            return found, Target(moment=at, timeline=found.timeline)
    return whole, Target(moment=at, timeline=whole.timeline)


async def _found_in(opened: OpenedCapsule, at: datetime, programs: PostgresPrograms) -> Reach:
    return await reach_for(at, [opened.manifest.reach.base], opened.wal, programs)


def hand_over_log(opened: Path, wal: Path) -> list[str]:
    """Put a capsule's log into the archive, where a cluster's next life goes on.

    There it is seen which timelines are taken; other content under the same name is refused. Return
    which files were damaged there, and are whole again.
    """
    made_folder(wal)
    return [
        name
        for name in archive.names(opened)
        if archive.adopt((opened / f"{name}{archive.SUFFIX}").read_bytes(), name, wal)
    ]


def found_capsule(path: Path, key: str) -> SealedCapsule:
    """Return what is known of a capsule file, also of one that came back without its label.

    The legacy service, a person or another system may have given it another name.
    """
    if not path.is_file():
        raise CopyMissing(f"there is no capsule at {path}")
    ours = bool(_OUR_NAME.fullmatch(path.name))
    if ours and path.with_name(label_name(path.name)).exists():
        return labelled(path)
    capsule = _from_manifest(path, key)
    if ours and capsule.name != path.name:
        raise WrongCapsule(f"{path.name} is not what its name says: it is {capsule.name}")
    return capsule


def _from_manifest(path: Path, key: str) -> SealedCapsule:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    unknown = SealedCapsule(
        day=date.min,
        path=path,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        covers_from=_UNKNOWN,
        covers_to=_UNKNOWN,
    )
    found: list[CapsuleManifest] = []

    def visit(entry: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        if entry.name == NAME and content is not None:
            found.append(CapsuleManifest.model_validate_json(content.read()))

    try:
        read_entries(unknown, key, visit)
    except ValidationError as error:
        raise CapsuleDamaged(f"the manifest of {path.name} cannot be read") from error
    if not found:
        raise CapsuleDamaged(f"{path.name} has no manifest: it is no capsule, or part of one")
    return unknown.model_copy(
        update={
            "day": found[0].day,
            "covers_from": found[0].reach.covers_from,
            "covers_to": found[0].reach.covers_to,
        }
    )


def _size(capsule: SealedCapsule) -> str:
    return f"{capsule.size_bytes / 1e6:.1f} MB"
