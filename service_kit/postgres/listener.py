"""LISTEN on a channel for as long as a process serves, through every loss of the connection."""

import asyncio
from collections.abc import Callable
from typing import Any

from service_kit.observability import logs
from service_kit.postgres.connection import connect
from service_kit.postgres.pool import POSTGRES_ERRORS

CONNECT_S = 2.0
RECONNECT_DELAY_S = 0.5

_log = logs.get(__name__)

# Called with connection, process id of the sender, channel and payload, as the driver does it.
OnNotify = Callable[[Any, int, str, object], None]


async def keep_listening(dsn: str, channel: str, on_notify: OnNotify) -> None:
    """Call `on_notify` with every message until cancelled; what comes in between is lost."""
    while True:
        try:
            await _listen(dsn, channel, on_notify)
        except POSTGRES_ERRORS as error:
            _log.warning("cannot listen", channel=channel, reason=type(error).__name__)
            await asyncio.sleep(RECONNECT_DELAY_S)


async def _listen(dsn: str, channel: str, on_notify: OnNotify) -> None:
    """Listen until the connection is lost."""
    connection = await connect(dsn, CONNECT_S)
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    try:
        await connection.add_listener(channel, on_notify)
        await lost.wait()
    finally:
        connection.terminate()
