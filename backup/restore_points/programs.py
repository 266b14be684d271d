"""Postgres's own programs for backups, run to their end."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from backup.errors import DiskFull, ProgramFailed

_SAID_LINES = 12
_STOP_WITHIN_S = 10.0
_NO_ROOM = "No space left on device"
# How the C library says that a file may not become longer, or a quota is used up.
_NO_ROOM_EITHER = ("File too large", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The folder of `pg_basebackup` and the others; of the major version of the cluster."""

    folder: Path

    async def run(
        self,
        name: str,
        *arguments: str,
        within_s: float,
        environment: Mapping[str, str] | None = None,
        may_fail: bool = False,
    ) -> str:
        """Run a program, return what it said; raise `ProgramFailed` with its last lines.

        It is ended when the caller is cancelled: a base backup must not go on without one.
        """
        surroundings = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})}
        try:
            process = await asyncio.create_subprocess_exec(
                str(self.folder / name),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=surroundings,
            )
        except OSError as error:
            raise ProgramFailed(f"{name} cannot be run: {error}") from error
        try:
            async with asyncio.timeout(within_s):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise ProgramFailed(f"{name} did not end within {within_s:.0f} s") from error
        finally:
            await _end(process)
        said = output.decode(errors="replace")
        if process.returncode and not may_fail:
            last = " | ".join(said.strip().splitlines()[-_SAID_LINES:])
            if _NO_ROOM in said or any(words in said for words in _NO_ROOM_EITHER):
                raise DiskFull(f"the disk filled under {name}: {last}")
            raise ProgramFailed(f"{name} ended with code {process.returncode}: {last}")
        return said


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """Split an address in one that may be seen in a list of processes, and an environment."""
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, {}
    user = quote(unquote(parts.username or ""), safe="")
    address = parts.netloc.rpartition("@")[2]
    plain = urlunsplit(parts._replace(netloc=f"{user}@{address}" if user else address))
    return plain, {"PGPASSWORD": unquote(parts.password)}
