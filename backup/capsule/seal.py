"""Sealing: base backup and log, as tar, compressed, encrypted to a public key, in one pass.

Who seals needs the public key only, and cannot read what it has sealed. Nothing but the finished
capsule ever has its name: it is written under another, and what is left of a sealing that was cut
off is deleted by the next.
"""

import hashlib
import os
import tarfile
from collections.abc import Callable, Sequence
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import IO

import pyrage
import zstandard

from backup.capsule.encryption import Hashing, encrypt
from backup.capsule.manifest import (
    BASE,
    NAME,
    SUFFIX,
    WAL,
    CapsuleManifest,
    Contents,
    SealedCapsule,
    SealedFile,
    capsule_name,
    label_name,
)
from backup.durable import (
    alone_in,
    gone_unless_done,
    made_folder,
    move_durably,
    partial_beside,
    require_room,
    write_whole,
)
from backup.errors import ArchiveIncomplete, BackupProblem
from backup.restore_points import archive
from backup.restore_points.reach import Reach
from service_kit.observability import logs

_log = logs.get(__name__)
_LEVEL = 3
_SEALING = "sealing a capsule"
_LOOK_EVERY_BYTES = 64 * 1024 * 1024

Progress = Callable[[int], None]


def seal(
    *,
    day: date,
    base: Path,
    wal: Path,
    reach: Reach,
    contents: Contents,
    previous: SealedCapsule | None,
    recipients: Sequence[str],
    folder: Path,
    progress: Progress = lambda _: None,
    reserve_bytes: int | None = None,
) -> SealedCapsule:
    """Seal a capsule in `folder`; `base` is a whole data folder, `wal` the archive.

    `progress` is told how many bytes were read since it was told last. `reserve_bytes` stay free on
    the disk (`durable.require_room`). Raises `DiskFull`, and then nothing has changed.
    """
    made_folder(folder)
    keys = [recipient(text) for text in recipients]
    if not keys:
        raise BackupProblem("no public key was given to seal with")
    with alone_in(folder, _SEALING):
        # About as large as the one before; what it comes to is looked at meanwhile.
        require_room(
            folder, previous.size_bytes if previous else 0, _SEALING, reserve_bytes=reserve_bytes
        )
        watched = _Watched(folder, progress, reserve_bytes)
        partial = partial_beside(folder / f"{day.isoformat()}{SUFFIX}")
        with gone_unless_done(partial, f"sealing the capsule of {day}"):
            with partial.open("xb") as out:
                hashing = Hashing(out)
                packer = _Packer(day, base, wal, reach, contents, previous, watched)
                encrypt(packer.write, hashing, keys)
                out.flush()
                os.fsync(out.fileno())
            capsule = SealedCapsule(
                day=day,
                path=folder / capsule_name(day, hashing.sha256),
                sha256=hashing.sha256,
                size_bytes=partial.stat().st_size,
                covers_from=reach.covers_from,
                covers_to=reach.covers_to,
            )
            # The label first: a capsule that can be seen has one.
            write_whole(folder / label_name(capsule.name), capsule.label())
            move_durably(partial, capsule.path)
    return capsule


class _Packer:
    """Writes the files of a capsule and, from what was really written, its manifest."""

    def __init__(
        self,
        day: date,
        base: Path,
        wal: Path,
        reach: Reach,
        contents: Contents,
        previous: SealedCapsule | None,
        progress: Progress,
    ) -> None:
        self._day = day
        self._base = base
        self._wal = wal
        self._reach = reach
        self._contents = contents
        self._previous = previous
        self._progress = progress
        self._files: list[SealedFile] = []
        self._folders: list[str] = [BASE, WAL]

    def write(self, out: IO[bytes]) -> None:
        """Write everything to `out`."""
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        with (
            compressor.stream_writer(out, closefd=False) as packed,
            # GNU: sizes above 8 GiB, and no extra headers for the names there are.
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
        ):
            for folder in self._folders:
                tar.addfile(_folder_entry(folder))
            self._add_base(tar)
            needed = frozenset(self._reach.needed())
            for name in self._reach.files(archive.names(self._wal)):
                self._add_log(tar, name, is_needed=name in needed)
            manifest = self._manifest().model_dump_json().encode()
            tar.addfile(_file_entry(NAME, len(manifest)), BytesIO(manifest))

    def _add_base(self, tar: tarfile.TarFile) -> None:
        for path in sorted(self._base.rglob("*")):
            inner = f"{BASE}/{path.relative_to(self._base).as_posix()}"
            if path.is_symlink():
                raise BackupProblem(f"{path} is a link: only the data folder itself is backed up")
            if path.is_dir():
                self._folders.append(inner)
                tar.addfile(_folder_entry(inner))
            else:
                with path.open("rb") as file:
                    self._add(tar, inner, file, path.stat().st_size)

    def _add_log(self, tar: tarfile.TarFile, name: str, *, is_needed: bool) -> None:
        packed = (self._wal / f"{name}{archive.SUFFIX}").read_bytes()
        try:
            self._reach.check_segment(name, archive.unpack(name, packed))
        except ArchiveIncomplete as problem:
            if is_needed:
                raise
            # Of a life that was ended: without it that one ends there, and this one is whole.
            _log.warning("a file of an ended life is left out", reason=str(problem))
            return
        self._add(tar, f"{WAL}/{name}{archive.SUFFIX}", BytesIO(packed), len(packed))

    def _add(self, tar: tarfile.TarFile, inner: str, content: IO[bytes], size: int) -> None:
        counted = _Counted(content, self._progress)
        tar.addfile(_file_entry(inner, size), counted)
        self._files.append(
            SealedFile(path=inner, size_bytes=size, sha256=counted.digest.hexdigest())
        )

    def _manifest(self) -> CapsuleManifest:
        return CapsuleManifest(
            day=self._day,
            reach=self._reach,
            contents=self._contents,
            previous_sha256=self._previous.sha256 if self._previous else None,
            folders=tuple(self._folders),
            files=tuple(self._files),
        )


class _Watched:
    """Tells of progress, and looks every now and then whether the disk has room left."""

    def __init__(self, folder: Path, progress: Progress, reserve_bytes: int | None) -> None:
        self._folder = folder
        self._progress = progress
        self._reserve_bytes = reserve_bytes
        self._since = 0

    def __call__(self, read: int) -> None:
        self._progress(read)
        self._since += read
        if self._since >= _LOOK_EVERY_BYTES:
            self._since = 0
            require_room(self._folder, 0, _SEALING, reserve_bytes=self._reserve_bytes)


class _Counted:
    """A file that is hashed while tar reads it: what is listed is what was written."""

    def __init__(self, content: IO[bytes], progress: Progress) -> None:
        self._content = content
        self._progress = progress
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self.digest.update(piece)
        self._progress(len(piece))
        return piece


def recipient(text: str) -> pyrage.x25519.Recipient:
    """Read a public key (`age1…`)."""
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        # without its text, and that of the error: a secret key may have been given by mistake
        raise BackupProblem("what was given to seal with is not a public key (age1…)") from None


def _file_entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o600
    return entry


def _folder_entry(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = 0o700
    return entry
