"""Typed references to the activities: what the workflow calls, without the I/O behind it.

A workflow names an activity by one of these methods, so that mypy checks what it passes and what
it gets. Whoever implements the activities is a subclass, and is held to the same types.
"""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.contracts import StatusUpdate, StepCall, StepDone, StoredStatus


class WarehouseSteps(ABC):
    """The steps that the warehouse takes for an order; each may be asked for again and again."""

    @activity.defn(name="reserve")
    @abstractmethod
    async def reserve(self, step: StepCall) -> StepDone:
        """Hold all lines of the order, or none (OutOfStock)."""

    @activity.defn(name="commit")
    @abstractmethod
    async def commit(self, step: StepCall) -> StepDone:
        """Ship what the order holds (AlreadyReleased if it was given up)."""

    @activity.defn(name="release")
    @abstractmethod
    async def release(self, step: StepCall) -> StepDone:
        """Give up the order's hold, or bar one that is still on its way (AlreadyCommitted)."""


class OrderRecords(ABC):
    """What the order service keeps of an order's progress."""

    @activity.defn(name="record")
    @abstractmethod
    async def record(self, update: StatusUpdate) -> StoredStatus:
        """Bring the order's row and timeline up to date, and return how the order stands then."""
