"""Outermost ASGI middleware: request ids, limits, timing and the last-resort 500.

Plain ASGI, since every order passes through here: no per-request objects beyond what is needed.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_kit.http.answer_instead import AnswerInstead
from service_kit.http.problems import Problem, internal_error, unavailable
from service_kit.observability import logs
from service_kit.observability.metrics import REQUEST_SECONDS, REQUESTS_IN_FLIGHT
from service_kit.observability.request_context import request_id

MAX_BODY_BYTES = 64 * 1024
BODY_READ_S = 5.0
MAX_IN_FLIGHT = 2_000
CLIENT_CLOSED_REQUEST = (
    499  # what the metrics say of a client that left before its request was complete
)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a request's body may be, and how long it may take to come in, in seconds."""

    max_bytes: int
    within_s: float


# Who takes large bodies somewhere says for which requests; None is for the usual limits.
LimitsOf = Callable[[Scope], BodyLimits | None]


def usual_limits(_: Scope) -> BodyLimits | None:
    """Allow no request more than the others."""
    return None


_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logs.get(__name__)


class RequestMiddleware:
    """Wraps an ASGI app with what every request of every service gets.

    `in_flight_limit` refuses with 503 what would only queue up; health calls always pass.
    `limits_of` says which requests may have larger bodies than an order has.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        in_flight_limit: int = MAX_IN_FLIGHT,
        limits_of: LimitsOf = usual_limits,
    ) -> None:
        self._app = app
        self._limit = in_flight_limit
        self._limits_of = limits_of
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream; only HTTP requests are touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = _request_id_of(scope)
        token = request_id.set(current)
        started = scope.setdefault("state", {})["started"] = time.monotonic()
        status = 500
        answered = False
        working = 1

        async def send_marked(message: Message) -> None:
            nonlocal status, answered, working
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                if working and _is_stream(message):
                    # pages left open for hours must not use up the room for orders
                    working = 0
                    self._count(-1)
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", current.encode()),
                ]
            await send(message)

        self._count(1)
        try:
            limits = self._limits_of(scope) or BodyLimits(MAX_BODY_BYTES, BODY_READ_S)
            self._admit(scope, scope["headers"], limits)
            await self._app(scope, _limited(receive, limits), send_marked)
        except Problem as problem:
            if not answered:
                await problem.response()(scope, receive, send_marked)
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        except AnswerInstead as instead:
            await _answer_instead(instead, scope, receive, send_marked)
        except Exception:
            _log.exception("request failed", path=scope["path"])
            if not answered:
                await internal_error().response()(scope, receive, send_marked)
        finally:
            self._count(-working)
            route = getattr(scope.get("route"), "path", "unmatched")
            REQUEST_SECONDS.labels(scope["method"], route, str(status)).observe(
                time.monotonic() - started
            )
            request_id.reset(token)

    def _count(self, change: int) -> None:
        self._in_flight += change
        REQUESTS_IN_FLIGHT.set(self._in_flight)

    def _admit(self, scope: Scope, headers: list[tuple[bytes, bytes]], limits: BodyLimits) -> None:
        if self._in_flight > self._limit and scope["path"].startswith("/v1/"):
            raise unavailable("overloaded", "More requests are waiting than can be served in time.")
        for name, value in headers:
            if name == b"content-length" and (not value.isdigit() or int(value) > limits.max_bytes):
                raise _too_large(limits)
            if name == b"content-encoding" and value.lower() != b"identity":
                raise Problem(
                    415,
                    "unsupported-encoding",
                    "Compressed bodies are not accepted",
                    "The body has a Content-Encoding.",
                    advice="This request stored nothing. Send the body without compression.",
                )


def _request_id_of(scope: Scope) -> str:
    """Return the id that the client gave its request, if it is a clean one, else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    text: str = given.decode("latin-1")
    return text if _REQUEST_ID.fullmatch(text) else uuid.uuid4().hex


def _is_stream(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )


def _limited(receive: Receive, limits: BodyLimits) -> Receive:
    """Return `receive` with a bound on the body's size and on the time it may take to come in."""
    deadline = asyncio.get_running_loop().time() + limits.within_s
    taken = 0
    complete = False

    async def receive_limited() -> Message:
        nonlocal taken, complete
        if complete:  # what is left to come is the disconnect, and that may take its time
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Problem(
                408,
                "body-too-slow",
                "The body did not arrive in time",
                f"The body was not complete after {limits.within_s:.0f} s.",
                advice="This request stored nothing. Send the request again.",
                headers={"Connection": "close"},
            ) from None
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if taken > limits.max_bytes:
                raise _too_large(limits)
        return message

    return receive_limited


async def _answer_instead(
    instead: AnswerInstead, scope: Scope, receive: Receive, send: Send
) -> None:
    if instead.response is not None:
        await instead.response(scope, receive, send)
    else:
        scope["extensions"]["valerix.transport"]["transport"].abort()


def _too_large(limits: BodyLimits) -> Problem:
    return Problem(
        413,
        "body-too-large",
        "The body is too large",
        f"A body has at most {limits.max_bytes} bytes.",
        advice="This request stored nothing. Send a smaller body.",
        headers={"Connection": "close", "Retry-After": "1"},
    )
