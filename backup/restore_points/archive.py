"""The archive of write-ahead log: what Postgres runs for each finished file, and to get it back.

`archive_command` and `restore_command` are lines of this module::

    python -I -m backup.restore_points.archive push "%p" "%f" /archive
    python -I -m backup.restore_points.archive fetch "%f" "%p" /archive 00000001000000000000002A

The last word names the last file that a recovery reads.

The second first looks whether the file lies ready (`read_ahead`): a recovery asks for thousands.

Each file is kept compressed, as `<name>.zst` with a checksum of its content in it: a file that was
closed early because a minute had passed is almost all zeros, and takes a few hundred bytes.

Imports little: it is started for every file.
"""

import contextlib
import math
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import zstandard

from backup.errors import ArchiveConflict, ArchiveIncomplete, BackupProblem

SUFFIX = ".zst"
# Where the server's command leaves the name of the file that it was asked for last.
ASKED_FOR = "asked-for"
# The digits behind the first eight say which part of the log it is, on whichever timeline.
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_MODULE = "backup.restore_points.archive"
_PARTIAL = ".partial-"
_LEVEL = 3
# Postgres' files are 1 MiB to 1 GiB long: no frame of ours asks for more.
_MOST_BYTES = 1 << 30
# Postgres tries again after an error; above 125 a recovery gives up, where a plain error would mean
# "no such file", that is: the log ends here, start the database with what there is.
_REFUSED = 1
_NOT_THERE = 3
# An interpreter that does not start, or does not find this module, must not look like "not there".
_ONLY_THEN_THE_END = f"case $? in 0) exit 0;; {_NOT_THERE}) exit 1;; *) exit 200;; esac"


def archive_command(folder: Path, python: Path | None = None) -> str:
    """Return the setting `archive_command` that keeps all files in `folder`."""
    return _command("push", python, '"%p" "%f"', folder)


def restore_command(
    folder: Path, python: Path | None = None, *, last: str = "", ahead: Path | None = None
) -> str:
    """Return the setting `restore_command` that takes files from `folder`, up to `last` if given.

    A server asks for the file behind its target, too, to read ahead: one that is damaged there
    would end a recovery that does not need it. What lies ready in `ahead` is taken from there,
    without an interpreter. Whatever goes wrong with that, the file is fetched as if there was no
    such folder.
    """
    end = f" {last}" if last else ""
    fetch = _command("fetch", python, '"%f" "%p"', folder) + f"{end}; {_ONLY_THEN_THE_END}"
    if ahead is None:
        return fetch
    ready = _quoted(ahead)
    taken = f'echo "%f" >{ready}/{ASKED_FOR} && mv -f {ready}/"%f" "%p"'
    return f"{{ {taken}; }} 2>/dev/null && exit 0; {fetch}"


def ahead_of(data: Path) -> Path:
    """Return where files of the log lie ready for the server that recovers a data folder.

    Beside it, on the same disk: to move one from there is to rename it.
    """
    return data.with_name("log-ahead")


def push(source: Path, name: str, folder: Path) -> None:
    """Keep a file under its name, durably, or raise; safe to repeat, at any time, by anybody.

    The whole file appears at once, after it is on disk. Other content under the same name is never
    replaced: it belongs to another cluster, or to a life of this one that somebody wants back.
    """
    _keep(source.read_bytes(), None, name, folder)


def adopt(packed: bytes, name: str, folder: Path) -> bool:
    """Keep a file that another archive has packed already; return whether it mended a damaged one.

    As safe as `push`. Only what cannot be unpacked is replaced: nobody can want that back, and it
    would keep out the whole file that has come from elsewhere.
    """
    content = unpack(name, packed)
    try:
        _keep(content, packed, name, folder)
    except ArchiveIncomplete:
        _replace(packed, name, folder)
        _keep(content, packed, name, folder)
        return True
    return False


def fetch(name: str, target: Path, folder: Path, last: str = "") -> bool:
    """Write an archived file to `target`; return whether there is one, up to `last` if given."""
    if last and _SEGMENT.fullmatch(name) and name[8:] > last[8:]:
        return False
    try:
        content = read(folder, name)
    except FileNotFoundError:
        if not folder.is_dir():  # not mounted, say: that is not where the log ends
            raise
        return False
    target.write_bytes(content)
    return True


def has(folder: Path, name: str) -> bool:
    """Tell whether a file is archived."""
    return (folder / f"{name}{SUFFIX}").exists()


def read(folder: Path, name: str) -> bytes:
    """Return the content of an archived file, checked."""
    return unpack(name, (folder / f"{name}{SUFFIX}").read_bytes())


def unpack(name: str, packed: bytes) -> bytes:
    """Return the content of a file as it is kept here, checked."""
    try:
        size = zstandard.frame_content_size(packed)
        # A damaged length may be more than there is memory, or none: then nothing is compared.
        content = _decompressed(packed) if 0 < size <= _MOST_BYTES else b""
    except zstandard.ZstdError as error:
        raise ArchiveIncomplete(f"the archived log file {name} is damaged: {error}") from error
    # One bit says that a block is the last one: what comes before the checksum would be missing.
    if not content or len(content) != size:
        raise ArchiveIncomplete(
            f"the archived log file {name} is damaged: its length is not what it should be"
        )
    return content


def _decompressed(packed: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=0)


def names(folder: Path) -> list[str]:
    """Return the names of all archived files, in order."""
    return sorted(
        entry.name.removesuffix(SUFFIX)
        for entry in folder.iterdir()
        if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
    )


def delete(folder: Path, name: str) -> None:
    """Delete an archived file that nobody needs any more."""
    (folder / f"{name}{SUFFIX}").unlink(missing_ok=True)


def sweep(folder: Path, *, untouched_for_s: float = 0.0) -> int:
    """Delete what killed archivers left half-written; return how many files there were.

    While a server archives here, only what nobody has written to for so long: else it would lose
    the file that it writes, fail, and do it again.
    """
    written_before = time.time() - untouched_for_s if untouched_for_s else math.inf
    left = [
        entry
        for entry in folder.iterdir()
        if _PARTIAL in entry.name and _written_at(entry) < written_before
    ]
    for entry in left:
        entry.unlink(missing_ok=True)
    return len(left)


def main(arguments: Sequence[str]) -> int:
    """Do what a server asks for; return the exit code that it understands."""
    try:
        match arguments:
            case ["push", source, name, folder]:
                push(Path(source), name, Path(folder))
                return 0
            case ["fetch", name, target, folder, *last] if len(last) <= 1:
                return 0 if fetch(name, Path(target), Path(folder), *last) else _NOT_THERE
            case _:
                problem = "expected: push SOURCE NAME FOLDER, or fetch NAME TARGET FOLDER [LAST]"
    except (OSError, BackupProblem) as error:
        problem = str(error)
    sys.stderr.write(f"archive: {problem}\n")
    return _REFUSED


def _keep(content: bytes, packed: bytes | None, name: str, folder: Path) -> None:
    target = folder / f"{name}{SUFFIX}"
    if not has(folder, name):
        if packed is None:
            packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(content)
        fresh = _fresh(name, folder)
        try:
            _write(fresh, packed)
            # A link, not a rename: of two who archive at a time, the second has to look.
            with contextlib.suppress(FileExistsError):
                os.link(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)
    if read(folder, name) != content:
        raise ArchiveConflict(
            f"{target} has other content than the log file {name} that was to be archived:"
            " two clusters share this archive, or a restored one met its former life"
        )
    # Also of a file that was there: whoever made it may have died before this.
    _sync(target)
    _sync(folder)


def _replace(packed: bytes, name: str, folder: Path) -> None:
    fresh = _fresh(name, folder)
    try:
        _write(fresh, packed)
        fresh.replace(folder / f"{name}{SUFFIX}")
    finally:
        fresh.unlink(missing_ok=True)


def _fresh(name: str, folder: Path) -> Path:
    """Return a name of our own for a file that is being written, which `sweep` recognises."""
    return folder / f".{name}{_PARTIAL}{secrets.token_hex(4)}"


def _command(verb: str, python: Path | None, places: str, folder: Path) -> str:
    interpreter = _quoted(python or Path(sys.executable))
    return f"{interpreter} -I -m {_MODULE} {verb} {places} {_quoted(folder.absolute())}"


def _quoted(path: Path) -> str:
    """Return a path for a shell, in a setting in which the server looks for `%p`."""
    return shlex.quote(str(path)).replace("%", "%%")


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # its writer was not dead


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
