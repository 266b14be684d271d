"""Files that are there whole or not at all, also after the machine died."""

import errno
import fcntl
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backup.errors import AlreadyUnderWay, DiskFull

PARTIAL = ".partial"
LOCK = ".lock"
# Writers of files write all the time: one that has not for so long is dead, and its file too.
ABANDONED_AFTER_S = 3600.0
# EFBIG is what a process gets that may not make a file longer, whatever the disk has.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# What backups leave to the database, which often is on the same disk: it stops when it cannot write
# its log. So much of the disk, within these two limits.
_RESERVED_SHARE = 0.05
_LEAST_RESERVE_BYTES = 2 << 30
_MOST_RESERVE_BYTES = 16 << 30


def require_room(
    folder: Path, needed_bytes: int, doing: str, *, reserve_bytes: int | None = None
) -> None:
    """Raise `DiskFull` unless so much can be written to `folder`, and the reserve stays free.

    The reserve is 5 % of the disk, at least 2 GiB and at most 16, unless another is given.
    """
    disk = shutil.disk_usage(folder)
    if reserve_bytes is None:
        share = int(_RESERVED_SHARE * disk.total)
        reserve_bytes = min(max(share, _LEAST_RESERVE_BYTES), _MOST_RESERVE_BYTES)
    if disk.free < needed_bytes + reserve_bytes:
        raise DiskFull(
            f"the disk of {folder} has {disk.free >> 20} MiB left: {doing} needs"
            f" {needed_bytes >> 20} MiB of it, and {reserve_bytes >> 20} MiB have to stay free,"
            " as a database may be on it; all that was there before is kept; make room and do it"
            " again"
        )


def is_full(error: BaseException) -> bool:
    """Tell whether this is how a disk says that it is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def partial_beside(target: Path) -> Path:
    """Return a name of our own in the folder of `target`, which `sweep` recognises."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}")


@contextmanager
def alone_in(folder: Path, doing: str) -> Iterator[None]:
    """Keep other writers out of a folder, and clear away what killed ones have left there."""
    with (folder / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUnderWay(f"another process is {doing} in {folder} now") from error
        sweep(folder)
        yield


def sweep(folder: Path, *, untouched_for_s: float = 0.0) -> int:
    """Delete what killed writers left in `folder`, and return how much that was.

    Only while nobody writes there, or what nobody has written to for so long.
    """
    written_before = time.time() - untouched_for_s if untouched_for_s else math.inf
    left = [
        entry
        for entry in folder.iterdir()
        if entry.name.endswith(PARTIAL) and _written_at(entry) < written_before
    ]
    for entry in left:
        remove(entry)
    return len(left)


def remove(path: Path) -> None:
    """Delete a file or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def gone_unless_done(partial: Path, doing: str) -> Iterator[None]:
    """Delete `partial` if its writer does not come to the end; tell a full disk by its name."""
    try:
        yield
    except BaseException as error:
        remove(partial)
        if is_full(error):
            raise DiskFull(
                f"the disk of {partial.parent} filled while {doing}: nothing half-made is left,"
                " all that was there before is kept; make room and do it again"
            ) from error
        raise


def write_whole(target: Path, content: bytes) -> None:
    """Write a small file durably; it replaces another of its name at once."""
    partial = partial_beside(target)
    with gone_unless_done(partial, f"writing {target.name}"):
        with partial.open("xb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        move_durably(partial, target)


def write_new(target: Path, content: bytes) -> bool:
    """Write a small file durably, for its owner alone; return False if there is one already.

    Of several who do it at a time, one succeeds.
    """
    partial = partial_beside(target)
    with gone_unless_done(partial, f"writing {target.name}"):
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        try:
            # not a rename, which would replace the one that is there
            os.link(partial, target)
            is_new = True
        except FileExistsError:
            is_new = False
        partial.unlink()
    # Also of a file that was there: whoever made it may have died before this.
    sync(target.parent)
    return is_new


def move_durably(partial: Path, target: Path) -> None:
    """Give what is on disk already its final name."""
    partial.replace(target)
    sync(target.parent)


def made_folder(folder: Path) -> Path:
    """Return a folder that is there now, closed to others if it is new."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # its writer was not dead


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
