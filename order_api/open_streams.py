"""Limits on how many timelines are followed live, per customer and per process."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from order_api.metrics import OPEN_STREAMS
from service_kit.http.problems import Problem
from service_kit.http.tokens import Caller

RETRY_AFTER_S = "10"


class OpenStreams:
    """Counts the streams that are open, and refuses with 429 what would be one too many.

    A service follows orders for many people, as the UI does: only the limit of all holds for it.
    """

    def __init__(self, in_all: int, per_customer: int) -> None:
        self._in_all = in_all
        self._per_customer = per_customer
        self._open: Counter[str] = Counter()
        OPEN_STREAMS.set_function(self._open.total)

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Hold a place while a stream is open; a 429 problem if there is none."""
        if caller.role != "service" and self._open[caller.subject] >= self._per_customer:
            raise _too_many(f"You follow {self._per_customer} orders live, the most there may be.")
        if self._open.total() >= self._in_all:
            raise _too_many("As many orders as we can are being followed live.")
        self._open[caller.subject] += 1
        try:
            yield
        finally:
            self._open[caller.subject] -= 1
            if not self._open[caller.subject]:
                del self._open[caller.subject]


class EventStreamResponse(StreamingResponse):
    """Server-sent events that need a place for as long as they flow."""

    def __init__(self, streams: OpenStreams, caller: Caller, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._streams = streams
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; the place is free again however this ends."""
        with self._streams.place(self._caller):
            await super().__call__(scope, receive, send)


def _too_many(detail: str) -> Problem:
    return Problem(
        429,
        "too-many-streams",
        "Too many open timelines",
        detail,
        advice="The order goes on regardless. Close one and try again after the time in "
        "Retry-After, or ask without Accept: text/event-stream.",
        headers={"Retry-After": RETRY_AFTER_S},
    )
