"""The request to cancel an order, whoever makes it: the shopper, or somebody in Temporal's UI."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception


class CancelRequest:
    """Whether the order is to be cancelled; Temporal's own Cancel counts like the shopper's."""

    def __init__(self) -> None:
        self.made = False

    async def wait_for(self, timeout: timedelta) -> None:  # noqa: ASYNC109  a timer of the workflow
        """Wait for the request, no longer than `timeout`."""
        with contextlib.suppress(TimeoutError):  # Python's, not the one of temporalio.exceptions
            await self.note_while_waiting(lambda: self.made, timeout)

    async def note_while_waiting(
        self,
        condition: Callable[[], bool],
        timeout: timedelta | None = None,  # noqa: ASYNC109
    ) -> None:
        """Wait for `condition`, or return early because Temporal's own Cancel has just come."""
        try:
            await workflow.wait_condition(condition, timeout=timeout)
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            self.made = True
