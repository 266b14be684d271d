"""Connections to the Postgres server that takes writes, whichever of several it is.

After a failover the old primary may live on as a standby: it answers, and refuses every write. No
session is ever opened on such a server, so that a pool that connects anew finds the primary.
"""

import contextlib
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

if TYPE_CHECKING:  # generic for the type checker only
    RawConnection = asyncpg.Connection[asyncpg.Record]
else:
    RawConnection = asyncpg.Connection

_DEFAULT_PORT = 5432
# Whatever a server of several has against us, another may not.
_TRY_NEXT_SERVER: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
# A machine that lost its power says no goodbye. The kernel asks after this silence, so often, and
# then tells whoever waits; a server that is only slow still answers it.
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 25_000}


class Primary:
    """The writable server behind `dsn`, which may name several: `…@one:5432,two:5432/orders`.

    The one found last is asked first. Each gets its share of the time to connect, or a machine
    that swallows packets would use up all of it before the next has been asked.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        # without several names, the driver's own rules say where to connect
        self._servers: list[dict[str, Any]] = servers_in(dsn) or [{}]

    async def connect(self, *_: Any, **options: Any) -> RawConnection:
        """Return a connection that can write, within the option `timeout`, in seconds.

        Raises what the last server asked has raised, and TargetServerAttributeNotMatched when it
        is a standby or was told to take no writes.
        """
        options["timeout"] /= len(self._servers)
        options["target_session_attrs"] = "read-write"
        for server in list(self._servers):
            try:
                connection: RawConnection = await asyncpg.connect(self._dsn, **server, **options)
            except _TRY_NEXT_SERVER as error:
                reason: Exception = error
                continue
            self._servers.remove(server)
            self._servers.insert(0, server)
            _enable_keepalive(connection)
            return connection
        raise reason


async def connect(dsn: str, within_s: float, **options: Any) -> RawConnection:
    """Return one connection of its own that can write; see `Primary`."""
    return await Primary(dsn).connect(timeout=within_s, **options)


def servers_in(dsn: str) -> list[dict[str, Any]]:
    """Return host and port of each server when `dsn` names several before its path, else none."""
    names = urlsplit(dsn).netloc.rpartition("@")[2].split(",")
    if len(names) < 2:
        return []
    servers = [urlsplit(f"//{name}") for name in names]
    return [{"host": server.hostname, "port": server.port or _DEFAULT_PORT} for server in servers]


def is_read_only(connection: RawConnection) -> bool:
    """Tell, without asking it, what the server has last reported of itself."""
    reported = connection.get_settings()
    return "on" in (
        getattr(reported, "in_hot_standby", "off"),
        getattr(reported, "default_transaction_read_only", "off"),
    )


def _enable_keepalive(connection: RawConnection) -> None:
    """Have the kernel end a connection whose other side has vanished."""
    sock = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    with contextlib.suppress(OSError):  # a Unix socket has no such thing, nor the need
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if option := getattr(socket, name, None):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
