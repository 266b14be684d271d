"""Loopback ports: a free one, or who has the one that is wanted."""

import contextlib
import random
import socket

LOOPBACK = "127.0.0.1"


# Below what systems give to outgoing connections: a server that is down for a moment must find its
# port free again, however many clients call meanwhile.
_RANGE = range(20_000, 32_000)
_handed_out: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on at this moment, and another one with each call."""
    for port in random.sample(_RANGE, 200):
        if port not in _handed_out and not is_taken(port):
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port from {_RANGE.start} to {_RANGE.stop}")


def is_taken(port: int) -> bool:
    """Whether somebody listens on it. Binding as servers do: closed connections do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return True
    return False


def holder_of(port: int) -> str | None:
    """``name (pid)`` of the process that listens there, when we may see it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
