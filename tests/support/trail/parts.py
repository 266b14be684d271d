"""A backup's other parts, as second implementations: folders in place of databases and stores."""

import hashlib
import shutil
from datetime import date, datetime
from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.daily.parts import NotProven
from tests.support.trail.legacy import sealed


class FolderSealer:
    """Makes a small file for each date, and another one instead of one that was not proven."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def seal(
        self, day: date, not_before: datetime | None = None, instead_of: str | None = None
    ) -> SealedCapsule:
        content = f"everything until {day.isoformat()}" + (f", not {instead_of}" * bool(instead_of))
        return sealed(self._folder, day, content.encode() * 20)


class DigestProver:
    """Takes a capsule for good if it is what its digest says."""

    async def prove(self, capsule: SealedCapsule) -> None:
        if hashlib.sha256(capsule.path.read_bytes()).hexdigest() != capsule.sha256:
            raise NotProven(f"{capsule.path.name} is not what was sealed")


class FolderStore:
    """Keeps copies in a folder; a copy is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def put(self, capsule: SealedCapsule) -> None:
        arriving = self.folder / f".{capsule.path.name}"
        shutil.copyfile(capsule.path, arriving)
        arriving.rename(self.folder / capsule.path.name)
