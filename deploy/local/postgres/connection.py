"""One connection to a database, for who has a look or a few words to say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


@asynccontextmanager
async def connected(dsn: str, **options: Any) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect to the database at `dsn`, with these options of `asyncpg.connect`."""
    connection = await asyncpg.connect(dsn, **options)
    try:
        yield connection
    finally:
        await connection.close()
