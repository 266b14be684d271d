"""Adoption of order events that a logical restore brought from another cluster."""

from service_kit.observability import logs
from service_kit.postgres.connection import connect

ADOPT = "SELECT adopt_restored_events()"

_log = logs.get(__name__)


async def adopt_restored_events(dsn: str) -> None:
    """Put restored events before all new ones, at every start; does nothing in their own cluster.

    Subscribers do the same as soon as they see such events. Done before orders come in, it is
    done before anybody has to wait for it.
    """
    connection = await connect(dsn, 10.0)
    try:
        say_adopted(await connection.fetchval(ADOPT))
    finally:
        await connection.close()


def say_adopted(events: int) -> None:
    """Log what ADOPT has returned, unless it had nothing to do."""
    if events:
        _log.warning("order events come from another cluster, given new places", events=events)
