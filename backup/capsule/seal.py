"""Sealing: base backup and log, as tar, compressed, encrypted to a public key, in one pass.

Who seals needs the public key only, and cannot read what it has sealed. Nothing but the finished
capsule ever has its name: it is written under another, and what is left of a sealing that was cut
off is deleted by the next.
"""

import hashlib
import os
import tarfile
import threading
from collections.abc import Callable, Sequence
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import IO

import pyrage
import zstandard

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
    write_whole,
)
from backup.errors import ArchiveIncomplete, BackupProblem
from backup.restore_points import archive
from backup.restore_points.reach import Reach
from service_kit.observability import logs

_log = logs.get(__name__)
_LEVEL = 3
_PIECE = 1024 * 1024

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
) -> SealedCapsule:
    """Seal a capsule in `folder`; `base` is a whole data folder, `wal` the archive.

    `progress` is told how many bytes were read since it was told last. Raises `DiskFull`, and then
    nothing has changed.
    """
    made_folder(folder)
    keys = [recipient(text) for text in recipients]
    if not keys:
        raise BackupProblem("no public key was given to seal with")
    with alone_in(folder, "sealing a capsule"):
        partial = partial_beside(folder / f"{day.isoformat()}{SUFFIX}")
        with gone_unless_done(partial, f"sealing the capsule of {day}"):
            with partial.open("xb") as out:
                hashing = _Hashing(out)
                packer = _Packer(day, base, wal, reach, contents, previous, progress)
                _encrypt(packer.write, hashing, keys)
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


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        self._out.write(piece)
        self._digest.update(piece)
        return len(piece)

    def flush(self) -> None:
        self._out.flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _Remembering:
    """A file for pyrage, which keeps of an error only its text: this keeps the error itself."""

    def __init__(self, out: IO[bytes] | _Hashing) -> None:
        self._out = out
        self.failure: OSError | None = None

    def write(self, piece: bytes) -> int:
        try:
            return self._out.write(piece)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        try:
            self._out.flush()
        except OSError as error:
            self.failure = error
            raise


def _encrypt(
    pack: Callable[[IO[bytes]], None], out: _Hashing, keys: Sequence[pyrage.x25519.Recipient]
) -> None:
    """Encrypt to `out` what `pack` writes; both at the same time, nothing is kept in memory."""
    read_end, write_end = os.pipe()
    failures: list[BaseException] = []

    def write_plain() -> None:
        try:
            with os.fdopen(write_end, "wb", buffering=_PIECE) as plain:
                pack(plain)
        except BaseException as error:
            failures.append(error)

    remembering = _Remembering(out)
    writer = threading.Thread(target=write_plain, name="packing a capsule")
    with os.fdopen(read_end, "rb") as source:
        writer.start()
        try:
            pyrage.encrypt_io(source, remembering, list(keys))
        except pyrage.EncryptError as error:
            failures.append(error)
    writer.join()
    # The disk first: when it is full, the other side only finds a broken pipe. And an error of the
    # packing is an end to the encryption like any other, which then believes that it is done.
    if remembering.failure is not None:
        raise remembering.failure
    if failures:
        raise failures[0]


def recipient(text: str) -> pyrage.x25519.Recipient:
    """Read a public key (`age1…`)."""
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise BackupProblem(f"{text!r} is not a public key (age1…): {error}") from error


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
