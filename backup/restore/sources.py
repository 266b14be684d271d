"""Where a restore takes everything from: the archive, a capsule, or a store of capsules.

A source first says what it would bring back, when all that it needs for that was read and compared.
Only then does it lay anything out.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from backup.capsule.manifest import Contents
from backup.restore.moment import in_words
from backup.restore_points.point_in_time import Target
from backup.restore_points.reach import Reach

Say = Callable[[str], None]


class Offer(BaseModel, frozen=True):
    """What a source can bring back, and what a restore would be to."""

    what: str
    reach: Reach
    # Everything committed up to here comes back.
    up_to: datetime
    # The last moment that the source has.
    latest: datetime
    # What a person should know of the way here, such as a damaged copy that was passed over.
    notes: tuple[str, ...] = ()

    def noting(self, notes: Sequence[str]) -> "Offer":
        """Return it with further notes, which come first."""
        return self.model_copy(update={"notes": (*notes, *self.notes)})

    def in_words(self) -> str:
        """Return it as a sentence."""
        return (
            f"{self.what} reaches from {in_words(self.reach.covers_from)} to"
            f" {in_words(self.latest)}"
        )


class LaidOut(BaseModel, frozen=True):
    """A data folder that can be recovered, and the log that leads to the target."""

    offer: Offer
    data: Path
    wal: Path
    reach: Reach
    target: Target
    # What the databases have to have, where they are brought to the moment after it was counted.
    contents: Contents | None = None


class Source(Protocol):
    """A place that the databases can be brought back from; `at` None means: the latest there is.

    Raises `BackupProblem`, and then nothing was written.
    """

    async def check(self, at: datetime | None) -> Offer:
        """Read and compare all that a restore to `at` needs; leave nothing behind."""
        ...

    async def lay_out(self, at: datetime | None, into: Path) -> LaidOut:
        """Check, then lay out `into`/data; `into` is an empty folder of the caller's."""
        ...
