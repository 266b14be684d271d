"""uvicorn server with bounded connections, the same in every process."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service_kit.http.problems import Problem
from service_kit.observability.request_context import request_id

HEAD_TIMEOUT_S = 10.0
MAX_HEAD_BYTES = 64 * 1024
# Longer than clients keep an idle connection (ours 15 s, a JVM 30 s, most proxies 60 s): whoever
# closes first must be the client, or its next request may meet a server that has just closed.
KEEP_ALIVE_S = 75
SHUTDOWN_GRACE_S = 5


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 that gives a client ten seconds for a request's head, and refuses in our words.

    uvicorn limits the idle time between two requests and nothing else: a client could hold sockets
    for ever by sending a header a minute (slowloris), on the first request or any later one, or
    memory by sending a head without end. The time for the body is the app's to limit, except for
    what is left of it after the answer.

    Another protocol that a request offers (h2c, as JVM clients do; a WebSocket) and that is not
    spoken here is ignored, as RFC 9110, 7.8 has it, and the request is served.
    """

    head_within_s = HEAD_TIMEOUT_S

    _clock: asyncio.TimerHandle | None = None
    _in_head = True  # from the end of one request to the end of the next one's head
    _head_bytes = 0
    _answering = False
    _refusal: Problem | None = None
    _without_offer: bytes | None = None  # the head again, of a request that offers what we ignore

    def connection_made(self, transport: Any) -> None:
        """Start the clock with the connection."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Start the clock unless it runs or a request is under way; count what is only a head."""
        if self._in_head:
            self._start_clock()
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self.send_400_response("")
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = _head_too_large()
            self.send_400_response("")

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse `data`; HttpParserUpgrade if it asks for the WebSocket that we do speak.

        The parser takes an offer for a switch: it skips the request's body, and would take that
        for the next request. So it gets the head again, without the offer.
        """
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                head, self._without_offer = self._without_offer, None
                if head is None and self._should_upgrade():
                    raise
                if head is None:  # CONNECT: what follows is meant for somebody else
                    self.cycle.keep_alive = False
                    return
                data = memoryview(data)[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)

    def on_headers_complete(self) -> None:
        """Stop the clock: the request has come, the app's own limits hold from here."""
        if self._is_ignored_offer():
            self._without_offer = self._head_without_offer()
            return
        self._stop_clock()
        self._in_head, self._head_bytes = False, 0
        if len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD_BYTES:
            self._refusal = _head_too_large()
            raise ValueError  # the parser's way of asking for send_400_response
        # lets an injected fault cut the connection, which ASGI has no word for
        self.scope.setdefault("extensions", {})["valerix.transport"] = {"transport": self.transport}
        super().on_headers_complete()
        self._answering = True

    def on_message_complete(self) -> None:
        """Expect the next head."""
        if self._without_offer is not None:
            return
        super().on_message_complete()
        self._stop_clock()
        self._in_head = True

    def _is_ignored_offer(self) -> bool:
        return (
            self.parser.should_upgrade()
            and self.parser.get_method() != b"CONNECT"
            and not self._should_upgrade()
        )

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        kept = (name + b": " + value for name, value in self.headers if name != b"upgrade")
        first = self.parser.get_method() + b" " + self.url + b" HTTP/" + version
        return b"\r\n".join((first, *kept, b"", b""))

    def on_response_complete(self) -> None:
        """Give a client that was answered early a while to send the rest of its body."""
        self._answering = bool(self.pipeline)
        super().on_response_complete()
        if not self._in_head and not self._answering:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or too much of it, with a problem document.

        A complete request that came before gets its own answer, which is then the last one:
        "nothing was stored" must not be said of an order that was.
        """
        if self._answering and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        self.transport.write(_written_out(self._refusal or _not_http()))
        self.transport.close()

    def _start_clock(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(self.head_within_s, self._time_is_up)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _time_is_up(self) -> None:
        self._clock = None
        if self._answering:
            self._start_clock()  # an answer is on its way; it is not cut off
        elif self._in_head and self._head_bytes:
            self._refusal = _head_too_slow(self.head_within_s)
            self.send_400_response("")
        else:
            self.transport.close()


def _not_http() -> Problem:
    return Problem(
        400,
        "bad-request",
        "The request could not be read",
        "What was sent is not a well-formed HTTP/1.1 request.",
        advice="This request stored nothing. Check request line, headers and framing.",
    )


def _head_too_large() -> Problem:
    return Problem(
        431,
        "head-too-large",
        "The request's head is too large",
        f"Request line and headers have at most {MAX_HEAD_BYTES} bytes.",
        advice="This request stored nothing. Send shorter headers.",
    )


def _head_too_slow(seconds: float) -> Problem:
    return Problem(
        408,
        "head-too-slow",
        "The request did not arrive in time",
        f"Request line and headers were not complete after {seconds:g} s.",
        advice="This request stored nothing. Send the request again.",
    )


def _written_out(problem: Problem) -> bytes:
    """Return the bytes of an answer given below the application, with an id of its own."""
    token = request_id.set(uuid.uuid4().hex)
    try:
        response = problem.response()
        response.headers["x-request-id"] = request_id.get()
    finally:
        request_id.reset(token)
    response.headers["connection"] = "close"
    head = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
    return STATUS_LINE[problem.status] + head + b"\r\n" + bytes(response.body)


def config(app: Any, host: str, port: int) -> uvicorn.Config:
    """Return uvicorn's settings for `app`: our own logs, bounded connections, quick shutdown."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=BoundedHttp,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on the client's address
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        backlog=4096,
        lifespan="on",
        workers=1,  # or uvicorn would take the number from WEB_CONCURRENCY
    )


def event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the maker of the fastest event loop this system has."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    maker: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return maker


def run(app: Any, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT, on uvloop where there is one."""
    raise_open_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config(app, host, port)).run()


def raise_open_file_limit() -> None:
    """Use all the sockets the system grants: the usual soft limit of 1024 is a burst's worth."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS may refuse its own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
