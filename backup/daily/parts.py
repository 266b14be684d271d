"""What a daily backup is made of, for whoever makes capsules and keeps copies."""

from datetime import date, datetime
from typing import Protocol

from backup.capsule.manifest import SealedCapsule


class NotProven(Exception):
    """A restore of the capsule did not bring everything back; the text says what is missing."""


class Sealer(Protocol):
    """Makes capsules."""

    async def seal(
        self, day: date, not_before: datetime | None = None, instead_of: str | None = None
    ) -> SealedCapsule:
        """Return the capsule of `day`: the newest one that is there, else a new one.

        One that does not reach up to `not_before` is not taken for it, nor is the one with the hash
        `instead_of`, which a restore has shown to be no good.
        """
        ...


class Prover(Protocol):
    """Restores capsules to see whether they are any good."""

    async def prove(self, capsule: SealedCapsule) -> None:
        """Raise NotProven unless a restore brings everything back."""
        ...


class CopyStore(Protocol):
    """Keeps copies of capsules."""

    async def put(self, capsule: SealedCapsule) -> None:
        """Have a whole copy there; doing it again changes nothing."""
        ...
