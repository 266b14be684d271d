"""Typed references to the activities of a daily backup, without the I/O behind them."""

from abc import ABC, abstractmethod

from temporalio import activity

from backup.capsule.manifest import SealedCapsule
from backup.daily.contracts import CallOutcome, CapsuleTask, CopyTask, Day


class BackupSteps(ABC):
    """What is done for a capsule; each may be asked for again and again."""

    @activity.defn(name="seal_capsule")
    @abstractmethod
    async def seal(self, day: Day) -> SealedCapsule:
        """Return the capsule of a date, sealed now or before."""

    @activity.defn(name="prove_capsule")
    @abstractmethod
    async def prove(self, task: CapsuleTask) -> None:
        """Restore the capsule somewhere, and fail if that does not bring everything back."""

    @activity.defn(name="copy_capsule")
    @abstractmethod
    async def copy(self, task: CopyTask) -> None:
        """Have a copy in a store."""


class LegacySteps(ABC):
    """The date's one call of the legacy service."""

    @activity.defn(name="call_legacy_service")
    @abstractmethod
    async def call(self, task: CapsuleTask) -> CallOutcome:
        """Make the date's call unless it was made or may have been; NotCalled to come again."""

    @activity.defn(name="confirm_legacy_call")
    @abstractmethod
    async def confirm(self, outcome: CallOutcome) -> None:
        """Write down how the call ended."""
