"""Settles orders at a warehouse as the saga does, with the worker's own activities.

One fast attempt, then patient ones until the outcome is known; a release if the shopper leaves,
and then, as a network may have it, the hold that was in doubt once more. No Temporal: what is on
trial is what the warehouse and the activities do to stock.
"""

import asyncio
import contextlib
from dataclasses import replace
from uuid import uuid4

from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import errors
from activities.contracts import StepCall, StepDone
from activities.inventory import InventoryActivities
from chaos.scenarios.workload import PlannedOrder

# The saga has no end of attempts, but some mutants say "error" for ever.
MOST_ERRORS = 10


class Settler:
    """Brings orders to their end. The two switches are mutants of the caller's side."""

    def __init__(
        self,
        inventory: InventoryActivities,
        *,
        error_is_failure: bool = False,
        retries_without_key: bool = False,
    ) -> None:
        self._inventory = inventory
        self._error_is_failure = error_is_failure
        self._retries_without_key = retries_without_key

    async def settle(self, order: PlannedOrder) -> str:
        """Return the status that the order ends with."""
        try:
            left = not await self._step("reserve", order, leaves=order.cancels)
            if left or order.cancels:
                await self._step("release", order)
                if left:
                    await self._arrive_late(order)
                return "cancelled"
            await self._step("commit", order)
        except ApplicationError as refusal:
            return "rejected" if refusal.type == errors.OUT_OF_STOCK else "failed"
        return "shipped"

    async def _arrive_late(self, order: PlannedOrder) -> None:
        """Deliver the hold that the shopper did not wait for, after the release for certain."""
        with contextlib.suppress(ApplicationError):  # a warehouse that is right has no hold for it
            await self._step("reserve", order)

    async def _step(self, name: str, order: PlannedOrder, *, leaves: bool = False) -> bool:
        """Return whether the step was done; False if the shopper left after the first attempt."""
        attempt, errors_met = 0, 0
        while errors_met < MOST_ERRORS:
            attempt += 1
            call = StepCall(order_id=order.order_id, lines=order.lines, first_attempt=attempt)
            if self._retries_without_key and attempt > 1:
                call = call.model_copy(update={"order_id": uuid4()})
            try:
                await self._attempt(name, call, fast=attempt == 1)
            except ApplicationError as failure:
                if failure.type != errors.UNKNOWN_OUTCOME:
                    raise
                if self._error_is_failure and "answer 500" in failure.message:
                    raise errors.unworkable("an error is a no") from failure
                errors_met += "answer 5" in failure.message
                if leaves:
                    return False
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))  # as the saga's policy does
            else:
                return True
        raise errors.unworkable(f"{name} was answered with {errors_met} errors")

    async def _attempt(self, name: str, call: StepCall, *, fast: bool) -> StepDone:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, is_local=fast)
        done: StepDone = await environment.run(getattr(self._inventory, name), call)
        return done
