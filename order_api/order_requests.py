"""ASGI middleware that measures order requests: tried, refused or failed.

Around everything else, since requests are refused and failed on the way to the route, too: by the
edge, by the identity check, by the framework. Plain ASGI, since every order passes through here.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from order_api.response_time import Outcome, ResponseTimes

PATH = "/v1/orders"
_TRIED = "order_is_tried"
_WORKED_ON = "order_is_worked_on"


class OrderRequests:
    """Wraps an ASGI app and notes in `times` what becomes of each `POST /v1/orders`."""

    def __init__(self, app: ASGIApp, times: ResponseTimes) -> None:
        self._app = app
        self._times = times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        times = self._times
        order_request = object()
        # without the time in which the rest of the body was still to come: that is the client's
        since = times.now()
        answered = False

        async def receive_noted() -> Message:
            nonlocal since
            asked = times.now()
            try:
                return await receive()
            finally:
                since += times.now() - asked

        async def send_noted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True  # before the client can see it, and ask for the window
                worked_on = scope["state"].get(_WORKED_ON, False)
                times.end(order_request, outcome_of(message["status"], worked_on=worked_on))
            await send(message)

        scope.setdefault("state", {})[_TRIED] = lambda: times.begin(order_request, since)
        try:
            await self._app(scope, receive_noted, send_noted)
        finally:
            if not answered:
                times.give_up(order_request)


def tried(request: Request) -> None:
    """Say that `request` is whole and valid, and that the store is asked about its order now."""
    request.scope["state"][_TRIED]()


def worked_on(request: Request) -> None:
    """Say that `request` has stored its order, may have, or has waited for it while it was open.

    Any other is answered without work: a price that has changed, an order that had ended before.
    """
    request.scope["state"][_WORKED_ON] = True


def outcome_of(status: int, *, worked_on: bool) -> Outcome:
    """Return what an answer with this status is to the average: 409 may be news of an order."""
    if status >= 500:
        return "failed"
    return "answered" if worked_on and (status < 400 or status == 409) else "refused"
