"""Opening a capsule: everything is read and compared before the first file is written.

The capsule is read twice, once to verify and once to write, and compared both times; what was
written gets its place when all of it was right.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ValidationError

from backup.capsule.manifest import (
    BASE,
    NAME,
    WAL,
    CapsuleManifest,
    SealedCapsule,
    SealedFile,
    inner_path,
    label_name,
)
from backup.capsule.stream import read_entries
from backup.durable import gone_unless_done, move_durably, partial_beside, require_room, sync
from backup.errors import (
    BackupProblem,
    CapsuleDamaged,
    TargetInUse,
    WrongCapsule,
)
from backup.restore_points.base import MANIFEST
from backup.restore_points.wal import parse_lsn

_PIECE = 1024 * 1024
# What a restore leaves free, which nothing else stands beside on the worst day.
ROOM_TO_SPARE_BYTES = 64 * 1024 * 1024

Progress = Callable[[int], None]


class OpenedCapsule(BaseModel, frozen=True):
    """A capsule's content in a folder."""

    manifest: CapsuleManifest
    folder: Path

    @property
    def base(self) -> Path:
        """The data folder, as it was at the end of the base backup."""
        return self.folder / BASE

    @property
    def wal(self) -> Path:
        """The log, as an archive."""
        return self.folder / WAL


def labelled(path: Path) -> SealedCapsule:
    """Return what is known of a capsule in a folder without its key."""
    label = path.with_name(label_name(path.name))
    try:
        capsule = SealedCapsule.from_label(label.read_bytes(), path)
    except FileNotFoundError as error:
        raise CapsuleDamaged(f"{path.name} has no label: {label.name} is not beside it") from error
    except ValidationError as error:
        raise CapsuleDamaged(f"the label {label.name} cannot be read: it was altered") from error
    if capsule.name != path.name:
        raise WrongCapsule(f"the label {label.name} is of another capsule than {path.name}")
    return capsule


def verify(
    capsule: SealedCapsule,
    key: str,
    *,
    day: date | None = None,
    progress: Progress = lambda _: None,
) -> CapsuleManifest:
    """Read all of a capsule, write nothing, and return its manifest if everything is right.

    `day` is the one that was asked for. `key` is the secret one (`AGE-SECRET-KEY-1…`). Raises
    `CapsuleDamaged`, `WrongKey` or `WrongCapsule`, which say it in a sentence.
    """
    _check_outside(capsule)
    if day is not None and capsule.day != day:
        raise WrongCapsule(f"this is the capsule of {capsule.day}, not that of {day}")
    found = _Comparison(capsule, progress)
    read_entries(capsule, key, found.visit)
    return found.result()


def open_capsule(
    capsule: SealedCapsule,
    key: str,
    target: Path,
    *,
    day: date | None = None,
    progress: Progress = lambda _: None,
    reserve_bytes: int | None = ROOM_TO_SPARE_BYTES,
) -> OpenedCapsule:
    """Verify a capsule, then write its content to `target`, which must not be there yet.

    `reserve_bytes` stay free on the disk (`durable.require_room`): little on the worst day, but
    while the shop is open, its database may be on the same one. All is on disk then but the log,
    which is thousands of files, and read once from here.
    """
    if target.exists():
        raise TargetInUse(f"{target} is there already: nothing was changed, name a new folder")
    manifest = verify(capsule, key, day=day, progress=progress)
    needed = sum(file.size_bytes for file in manifest.files)
    require_room(target.parent, needed, "opening the capsule", reserve_bytes=reserve_bytes)
    partial = partial_beside(target)
    with gone_unless_done(partial, f"opening the capsule of {capsule.day}"):
        partial.mkdir(mode=0o700)
        written = _Comparison(capsule, progress, into=partial)
        read_entries(capsule, key, written.visit)
        if written.result() != manifest:
            raise CapsuleDamaged(f"{capsule.path.name} changed while it was read")
        for folder in (*manifest.folders, "."):
            sync(partial / folder)
        move_durably(partial, target)
    return OpenedCapsule(manifest=manifest, folder=target)


class _Comparison:
    """What was found in a capsule, compared with what its manifest says; written if wanted."""

    def __init__(
        self, capsule: SealedCapsule, progress: Progress, *, into: Path | None = None
    ) -> None:
        self._capsule = capsule
        self._progress = progress
        self._into = into
        self._files: list[SealedFile] = []
        self._folders: list[str] = []
        self._manifest: CapsuleManifest | None = None
        self._base_facts: bytes = b""

    def visit(self, entry: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """Take in the next entry."""
        if self._manifest is not None:
            raise self._damaged(f"{entry.name} comes after the manifest")
        if entry.name == NAME and content is not None:
            self._manifest = self._parse(content.read())
        elif content is not None and entry.isreg():
            self._take(entry.name, content)
        elif entry.isdir():
            self._folders.append(self._inside(entry.name))
            if self._into is not None:
                (self._into / entry.name).mkdir(mode=0o700)
        else:
            raise self._damaged(f"{entry.name} is neither a file nor a folder")

    def result(self) -> CapsuleManifest:
        """Return the manifest, if it tells of exactly what was found."""
        manifest = self._manifest
        if manifest is None:
            raise self._damaged("it has no manifest")
        listed = {file.path: file for file in manifest.files}
        for file in self._files:
            if listed.pop(file.path, None) != file:
                raise self._damaged(f"{file.path} is not what the manifest says")
        if listed:
            raise self._damaged(f"{min(listed)} is listed in the manifest and not there")
        if tuple(self._folders) != manifest.folders:
            raise self._damaged("its folders are not those of the manifest")
        self._check_label(manifest)
        self._check_base(manifest)
        return manifest

    def _take(self, name: str, content: IO[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        out = (self._into / self._inside(name)).open("xb") if self._into is not None else None
        kept = bytearray()
        try:
            while piece := content.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                self._progress(len(piece))
                if out is not None:
                    out.write(piece)
                if name == f"{BASE}/{MANIFEST}":
                    kept += piece
            if out is not None:
                os.fchmod(out.fileno(), 0o600)
                out.flush()
                if not name.startswith(f"{WAL}/"):
                    os.fsync(out.fileno())
        finally:
            if out is not None:
                out.close()
        self._base_facts = bytes(kept) or self._base_facts
        self._files.append(
            SealedFile(path=self._inside(name), size_bytes=size, sha256=digest.hexdigest())
        )

    def _inside(self, name: str) -> str:
        try:
            return inner_path(name)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _parse(self, content: bytes) -> CapsuleManifest:
        try:
            return CapsuleManifest.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise self._damaged(f"in its manifest, {where}: {first['msg']}") from error
        except BackupProblem as error:
            raise self._damaged(f"by its manifest, {error}") from error

    def _check_label(self, manifest: CapsuleManifest) -> None:
        if manifest.day != self._capsule.day:
            raise WrongCapsule(
                f"{self._capsule.path.name} was sealed as the capsule of {manifest.day}"
            )
        reach = manifest.reach
        if (reach.covers_from, reach.covers_to) != (
            self._capsule.covers_from,
            self._capsule.covers_to,
        ):
            raise self._damaged("its label tells of other times than its manifest")

    def _check_base(self, manifest: CapsuleManifest) -> None:
        """Compare with what Postgres itself wrote of the base backup."""
        facts: dict[str, Any] = json.loads(self._base_facts or b"{}")
        base = manifest.reach.base
        said = [
            (one["Timeline"], parse_lsn(one["Start-LSN"]), parse_lsn(one["End-LSN"]))
            for one in facts.get("WAL-Ranges", ())
        ]
        if said != [(base.timeline, base.start_lsn, base.end_lsn)]:
            raise self._damaged("its base backup is another one than its manifest says")
        if str(facts.get("System-Identifier", "")) not in {"", base.cluster.system_identifier}:
            raise self._damaged("its base backup is of another cluster than its manifest says")

    def _damaged(self, what: str) -> CapsuleDamaged:
        return CapsuleDamaged(f"{self._capsule.path.name} cannot be trusted: {what}")


def _check_outside(capsule: SealedCapsule) -> None:
    """Compare a capsule with its label: no key is needed for that."""
    digest, size = hashlib.sha256(), 0
    try:
        with capsule.path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise CapsuleDamaged(f"{capsule.path} cannot be read: {error}") from error
    if (digest.hexdigest(), size) != (capsule.sha256, capsule.size_bytes):
        raise CapsuleDamaged(
            f"{capsule.path.name} is damaged: it is not what was sealed, by its hash"
        )
