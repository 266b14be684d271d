"""A store that is a folder: another disk, or a share of another machine.

The folder in which capsules are sealed looks the same, and can be read as a store.
"""

import asyncio
import contextvars
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from pydantic import ValidationError

from backup.capsule.manifest import SUFFIX, SealedCapsule, label_name
from backup.durable import (
    ABANDONED_AFTER_S,
    gone_unless_done,
    made_folder,
    move_durably,
    partial_beside,
    require_room,
    sweep,
    write_whole,
)
from backup.errors import CopyDamaged, CopyMissing, DiskFull, StoreUnavailable
from backup.stores.store import Copy
from service_kit.observability import logs

_log = logs.get(__name__)
_PIECE = 1024 * 1024
# Of each store: two backups that copy, one that deletes, and a look beside them.
_THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")


class FolderStore:
    """Copies in a folder; `reserve_bytes` stay free on its disk (`durable.require_room`)."""

    def __init__(self, name: str, folder: Path, *, reserve_bytes: int | None = None) -> None:
        self.name = name
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        # Its own: on a share whose machine is gone a thread waits for ever, and enough of those
        # would leave none for sealing and proving.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"store-{name}")

    async def put(self, capsule: SealedCapsule) -> Copy:
        """Copy the capsule, read while it is written, and its label."""
        return await self._in_thread(self._put, capsule)

    async def get(self, copy: Copy, folder: Path) -> SealedCapsule:
        """Copy it back."""
        return await self._in_thread(self._get, copy, folder)

    async def list_copies(self) -> list[Copy]:
        """Read the labels of those that are there."""
        return await self._in_thread(self._list)

    async def delete(self, copy: Copy) -> None:
        """Delete the capsule first: a label alone is no copy."""
        await self._in_thread(self._delete, copy)

    async def _in_thread(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        context = (
            contextvars.copy_context()
        )  # as asyncio.to_thread does: logs tell whose work it is
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(work, *arguments, **named)
        )

    def _put(self, capsule: SealedCapsule) -> Copy:
        copy = Copy.of(capsule, self.name)
        try:
            sweep(made_folder(self.folder), untouched_for_s=ABANDONED_AFTER_S)
            if not is_whole(self.folder / copy.name, capsule):
                require_room(
                    self.folder,
                    capsule.size_bytes,
                    f"copying {copy.name}",
                    reserve_bytes=self._reserve_bytes,
                )
                copy_checked(capsule.path, self.folder / copy.name, capsule.sha256)
            write_whole(self.folder / label_name(copy.name), capsule.label())
        except (OSError, DiskFull) as error:
            raise StoreUnavailable(f"the store {self.name} cannot be written: {error}") from error
        return copy

    def _get(self, copy: Copy, folder: Path) -> SealedCapsule:
        source = self.folder / copy.name
        if not source.exists():
            raise CopyMissing(f"the store {self.name} has no {copy.name}")
        sweep(made_folder(folder), untouched_for_s=ABANDONED_AFTER_S)
        capsule = copy.capsule(folder / copy.name)
        copy_checked(source, capsule.path, copy.sha256)
        write_whole(folder / label_name(copy.name), capsule.label())
        return capsule

    def _list(self) -> list[Copy]:
        try:
            # Not glob, which takes a folder that it may not read for an empty one.
            names = sorted(entry.name for entry in self.folder.iterdir())
            capsules = [name for name in names if name.endswith(SUFFIX) and name[0] != "."]
            copies = [self._labelled(self.folder / name) for name in capsules]
        except FileNotFoundError:
            return []  # nothing was ever put there
        except OSError as error:
            raise StoreUnavailable(f"the store {self.name} cannot be read: {error}") from error
        return [copy for copy in copies if copy is not None]

    def _labelled(self, path: Path) -> Copy | None:
        """Return what the label beside a capsule says, None if there is none to be believed."""
        try:
            label = path.with_name(label_name(path.name)).read_bytes()
        except FileNotFoundError:
            return None  # not whole: the other of the two is on its way, or going
        return believed_label(label, path, self.name)

    def _delete(self, copy: Copy) -> None:
        try:
            (self.folder / copy.name).unlink(missing_ok=True)
            (self.folder / label_name(copy.name)).unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"the store {self.name} cannot be written: {error}") from error


def believed_label(label: bytes, path: Path, store: str) -> Copy | None:
    """Return the copy that a label describes; one that is damaged is told of, and hides no other.

    Nothing is lost by it: the capsule can be opened without, by its own path.
    """
    try:
        return read_label(label, path, store)
    except CopyDamaged as problem:
        _log.warning("a copy is left out", store=store, reason=str(problem))
        return None


def read_label(label: bytes, path: Path, store: str) -> Copy:
    """Return the copy that a label describes, which lies beside `path`."""
    try:
        copy = Copy.of(SealedCapsule.from_label(label, path), store)
    except ValidationError as error:
        raise CopyDamaged(f"the label of {path.name} in {store} cannot be read") from error
    if copy.name != path.name:
        raise CopyDamaged(f"the label of {path.name} in {store} is of another capsule")
    return copy


def is_whole(path: Path, capsule: SealedCapsule) -> bool:
    """Tell whether this very capsule is at `path`: a name alone is no copy."""
    if not path.exists() or path.stat().st_size != capsule.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == capsule.sha256


def _pieces(source: Path) -> Iterator[bytes]:
    """Yield a file's content; a disk that cannot read it has damaged it."""
    try:
        with source.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise CopyDamaged(f"{source} cannot be read: {error}") from error


def copy_checked(source: Path, target: Path, sha256: str) -> None:
    """Copy a file durably, if its content has this hash."""
    partial = partial_beside(target)
    digest = hashlib.sha256()
    with gone_unless_done(partial, f"copying {source.name}"):
        with partial.open("xb") as out:
            for piece in _pieces(source):
                digest.update(piece)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise CopyDamaged(f"{source} is damaged: its content has another hash than its name")
        move_durably(partial, target)
