"""HTTP by hand: bytes out, answer in, so that nothing corrects what a test wants to get wrong."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# A guard against what never ends.
DRIPS_FOR_S = 60.0
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def written(method: str, path: str, headers: Headers = (), body: bytes | None = None) -> bytes:
    """Return a request's bytes, with a Content-Length if there is a body and none is given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    given = list(headers)
    lines += [f"{name}: {value}" for name, value in given]
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name, _ in given}
    if body is not None and not framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def connect(port: int, timeout_s: float = 15.0) -> socket.socket:
    """Return a connection to the loopback port."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def read_answer(connection: socket.socket) -> RawAnswer | None:
    """Return the next answer on the connection, None if it was closed instead."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows may be another answer
        try:
            byte = connection.recv(1)
        except ConnectionResetError:
            byte = b""
        if not byte:
            return None
        head += byte
    first, *rest = head.decode("latin-1").rstrip().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
    }
    body = b""
    missing = int(headers.get("content-length", 0))
    while missing > 0 and (chunk := connection.recv(missing)):
        body += chunk
        missing -= len(chunk)
    return RawAnswer(int(first.split(" ")[1]), headers, body)


def is_closed(connection: socket.socket) -> bool:
    """Wait for the other side to close, and tell whether it did within the socket's timeout."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def exchange(port: int, request: bytes) -> RawAnswer:
    """Send a request on a connection of its own and return the answer."""
    with connect(port) as connection:
        # it may be refused before all of it was sent; the answer is there all the same
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        answer = read_answer(connection)
    assert answer is not None, "closed without an answer"
    return answer


def assert_refused(answer: RawAnswer | None, *statuses: int) -> dict[str, Any]:
    """Check that an answer is one of these refusals, told as every refusal has to be told."""
    assert answer is not None, "closed without an answer"
    assert answer.status in statuses, (answer.status, answer.body[:500])
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status
    assert problem["type"].startswith("/problems/")
    for member in ("title", "detail", "advice", "request_id"):
        assert problem[member], member
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def drip(connection: socket.socket, piece: bytes, every_s: float) -> RawAnswer | None:
    """Send pieces, slowly, until there is an answer; None if it is closed without one."""
    end = time.monotonic() + DRIPS_FOR_S
    while time.monotonic() < end:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(piece)
        # looked at first, and then read as a whole, however long its parts are apart
        if select.select([connection], [], [], every_s)[0]:
            return read_answer(connection)
    raise AssertionError("it goes on for ever")
