"""What a place that keeps copies of capsules can do."""

from datetime import date, datetime
from pathlib import Path
from typing import Protocol, Self

from pydantic import BaseModel

from backup.capsule.manifest import SealedCapsule, Sha256, capsule_name


class Copy(BaseModel, frozen=True):
    """A copy of a capsule in a store, as its label describes it."""

    store: str
    day: date
    sha256: Sha256
    size_bytes: int
    covers_from: datetime
    covers_to: datetime

    @property
    def name(self) -> str:
        """The capsule's name, the same everywhere."""
        return capsule_name(self.day, self.sha256)

    @classmethod
    def of(cls, capsule: SealedCapsule, store: str) -> Self:
        """Return what a store says of a capsule that it has."""
        return cls(store=store, **capsule.model_dump(exclude={"path"}))

    def capsule(self, path: Path) -> SealedCapsule:
        """Return the capsule that this copy is, when it is at `path`."""
        return SealedCapsule(path=path, **self.model_dump(exclude={"store"}))


class Store(Protocol):
    """Keeps full copies of capsules; raises `StoreUnavailable` when it cannot be asked.

    A copy appears in the list when all of it is there. A name tells the hash of its content: two
    capsules of one day are two copies, and putting one again changes nothing. Nothing is tried
    twice in here, but parts of what is fetched; who calls decides that.
    """

    @property
    def name(self) -> str:
        """How people know this store."""
        ...

    async def put(self, capsule: SealedCapsule) -> Copy:
        """Keep a copy, durably."""
        ...

    async def get(self, copy: Copy, folder: Path) -> SealedCapsule:
        """Write a copy and its label to `folder`, and compare it with the hash in its name.

        Raises `CopyMissing` or `CopyDamaged`; the folder is unchanged then.
        """
        ...

    async def list_copies(self) -> list[Copy]:
        """Return all whole copies, oldest day first."""
        ...

    async def delete(self, copy: Copy) -> None:
        """Delete a copy; one that is not there is no error."""
        ...
