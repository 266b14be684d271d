"""Loopback ports: a free one that stays ours, or who has the one that is wanted."""

import contextlib
import random
import socket
import sys

LOOPBACK = "127.0.0.1"


# Below what systems give to outgoing connections: a server that is down for a moment must find its
# port free again, however many clients call meanwhile.
_RANGE = range(20_000, 32_000)
_reserved: dict[int, int] = {}  # file descriptors, open until the process ends


def free_port() -> int:
    """Return a port that nobody listens on, another one with each call of each process.

    It is reserved until this process ends: the server may be started later, and again. Raises
    `RuntimeError` when 200 tries found none.
    """
    for port in random.sample(_RANGE, 200):
        if reserve(port):
            return port
    raise RuntimeError(f"no free port from {_RANGE.start} to {_RANGE.stop}")


def reserve(port: int) -> bool:
    """Keep others' `free_port` from handing out this port; False when it is in use or reserved.

    A bound socket that does not listen: servers, who bind with SO_REUSEADDR, get past it, and a
    caller is refused as if nobody was there. Only Linux lets them; elsewhere the port is merely
    remembered by this process.
    """
    if port in _reserved:
        return False
    held = socket.socket()
    try:
        # Without SO_REUSEADDR, so that a port which another process has reserved is refused …
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        return False
    if sys.platform == "linux":
        # … and with it from now on, so that the server is let in.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved[port] = held.detach()
    else:
        held.close()
        _reserved[port] = -1
    return True


def is_taken(port: int) -> bool:
    """Tell whether somebody listens there, binding as servers do: closed connections are none."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return True
    return False


def holder_of(port: int) -> str | None:
    """Return `name (pid)` of the process that listens there, when we may see it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
