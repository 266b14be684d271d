"""The capsules that the service keeps: files that are either whole and checked, or not there."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from legacy_service.call_log import sync_folder
from legacy_service.contracts import KeptCapsule

# Enough for a disk to work well, little enough for a hundred uploads in memory.
WRITTEN_AT_ONCE = 1024 * 1024

Storage = Literal["whole", "lost", "truncated"]


class WrongDigest(Exception):
    """What came is not what was announced."""


class CapsuleFiles:
    """Keeps `DATE.capsule` and what is known of it in `DATE.json`, which is written last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"

    def create(self) -> None:
        """Make the folders, and sweep up what a process that was killed left unfinished."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)

    async def keep(
        self,
        day: date,
        chunks: AsyncIterator[bytes],
        sha256: str,
        at: datetime,
        storage: Storage = "whole",
    ) -> KeptCapsule:
        """Write what comes to disk as it comes, check it, and give it its name.

        Raises WrongDigest if it is not what `sha256` says; nothing is kept then, nor after any
        other failure.
        """
        arriving = self._incoming / uuid.uuid4().hex
        try:
            found, size = await _receive(chunks, arriving)
            if found != sha256:
                raise WrongDigest
            kept = KeptCapsule(date=day, sha256=sha256, size_bytes=size, kept_at=at)
            if storage == "truncated":
                os.truncate(arriving, size // 2)
            if storage != "lost":
                await asyncio.to_thread(self._put_in_place, arriving, kept)
            return kept
        finally:
            with contextlib.suppress(FileNotFoundError):
                arriving.unlink()

    async def find(self, day: date) -> KeptCapsule | None:
        """Return what is known of the capsule of `day`."""
        return await asyncio.to_thread(self._read, self._folder / f"{day.isoformat()}.json")

    async def all(self) -> list[KeptCapsule]:
        """Return what is known of every capsule, oldest first."""
        return await asyncio.to_thread(self._read_all)

    def path(self, day: date) -> Path:
        """Return where the capsule of `day` is, if it is kept."""
        return self._folder / f"{day.isoformat()}.capsule"

    def _put_in_place(self, arriving: Path, kept: KeptCapsule) -> None:
        arriving.rename(self.path(kept.date))
        description = self._incoming / uuid.uuid4().hex
        with description.open("x") as file:
            file.write(kept.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        description.rename(self._folder / f"{kept.date.isoformat()}.json")
        sync_folder(self._folder)

    def _read_all(self) -> list[KeptCapsule]:
        found = [self._read(file) for file in sorted(self._folder.glob("*.json"))]
        return [each for each in found if each is not None]

    def _read(self, file: Path) -> KeptCapsule | None:
        try:
            return KeptCapsule.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None


async def _receive(chunks: AsyncIterator[bytes], arriving: Path) -> tuple[str, int]:
    """Write `chunks` to a new file, sync it, and return its digest and size."""
    digest = hashlib.sha256()
    size = 0
    waiting = bytearray()
    with arriving.open("xb") as file:
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= WRITTEN_AT_ONCE:
                size += await asyncio.to_thread(_write, file, digest, bytes(waiting))
                waiting.clear()
        size += await asyncio.to_thread(_write, file, digest, bytes(waiting))
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest(), size


class _Digest(Protocol):
    def update(self, content: bytes, /) -> None: ...


def _write(file: BinaryIO, digest: _Digest, content: bytes) -> int:
    digest.update(content)
    return file.write(content)
