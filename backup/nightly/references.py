"""Typed reference to the activity of a nightly comparison, without the I/O behind it."""

from abc import ABC, abstractmethod

from temporalio import activity

from backup.nightly.contracts import COMPARE, Comparison, Look


class NightlySteps(ABC):
    """What is done in a night; it may be asked for again and again."""

    @activity.defn(name=COMPARE)
    @abstractmethod
    async def compare(self, look: Look) -> Comparison:
        """Compare all orders with inventory, and change nothing."""
