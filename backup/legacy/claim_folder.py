"""Claims in a folder: one file for each date, on another disk than the database."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from backup.durable import sync
from backup.legacy.claims import Claim

# A claim is prepared for the moments before its call; what is older was left by a death.
_LEFT_AFTER_S = 86_400.0
_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.json")


class PreparedClaim:
    """A claim on disk already, but not yet under the name that makes it one."""

    def __init__(self, claim: Claim, prepared: Path, final: Path) -> None:
        self._claim = claim
        self._prepared = prepared
        self._final = final

    async def publish(self) -> bool:
        """Give it its name; False if the date has another claim. Costs no room on the disk.

        Somebody who found this claim in the database may have copied it to here already.
        """
        return await asyncio.to_thread(self._publish)

    def _publish(self) -> bool:
        try:
            # not a rename, which would replace the claim that is there
            os.link(self._prepared, self._final)
        except FileExistsError:
            there = _read(self._final)
            if there is None or there.claim_id != self._claim.claim_id:
                return False
        sync(self._final.parent)
        return True


class ClaimFolder:
    """The folder with `2026-11-26.json`, …; none of these is ever changed or deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def known(self) -> dict[date, Claim | None]:
        """Return all claims by date, None for one that cannot be read: it is there all the same."""
        return await asyncio.to_thread(self._read_all)

    @asynccontextmanager
    async def prepared(self, claim: Claim) -> AsyncIterator[PreparedClaim]:
        """Write a claim without making it one, so that a full disk is noticed in time."""
        prepared = self._folder / f".{claim.claim_id}.new"
        try:
            await asyncio.to_thread(self._prepare, prepared, claim)
            yield PreparedClaim(claim, prepared, self._file(claim.day))
        finally:
            with contextlib.suppress(OSError):
                prepared.unlink()

    async def adopt(self, claims: Iterable[Claim]) -> None:
        """Write down claims that are known from elsewhere, where there is none yet."""
        for claim in claims:
            async with self.prepared(claim) as prepared:
                await prepared.publish()

    def _prepare(self, file: Path, claim: Claim) -> None:
        self._create()
        self._sweep()
        with file.open("x") as new:
            new.write(claim.model_dump_json(indent=1) + "\n")
            new.flush()
            os.fsync(new.fileno())

    def _sweep(self) -> None:
        for file in self._folder.glob(".*.new"):
            with contextlib.suppress(FileNotFoundError):  # its owner has done so just now
                if time.time() - file.stat().st_mtime > _LEFT_AFTER_S:
                    file.unlink()

    def _create(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _read_all(self) -> dict[date, Claim | None]:
        self._create()
        found: dict[date, Claim | None] = {}
        for file in self._folder.iterdir():
            if named := _NAME.fullmatch(file.name):
                found[date.fromisoformat(named[1])] = _read(file)
        return found

    def _file(self, day: date) -> Path:
        return self._folder / f"{day.isoformat()}.json"


def _read(file: Path) -> Claim | None:
    try:
        return Claim.model_validate_json(file.read_bytes())
    except (ValidationError, OSError):
        return None
