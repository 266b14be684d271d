"""How Postgres answers a statement: which tables it reads whole, and how many pages it touches."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

# How a statement may be planned: for its arguments, or once for all, as a prepared one is after a
# while; and on servers that think of disks when they read an index.
WAYS = (
    ("force_custom_plan", 1.1),
    ("force_generic_plan", 1.1),
    ("force_generic_plan", 4.0),
)


class Recorder:
    """A connection that remembers what it is asked."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, query: str, *arguments: Any) -> Any:
        self.asked.append((query, arguments))
        return await self._connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        self.asked.append((query, arguments))
        return await self._connection.fetchrow(query, *arguments)


async def assert_quick(
    connection: Any, query: str, arguments: Sequence[Any], big: frozenset[str], most_pages: int
) -> None:
    """Assert that however it is planned, it reads no big table whole and few pages."""
    literals = f"({', '.join(map(_literal, arguments))})" if arguments else ""
    for mode, page_cost in WAYS:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            await connection.execute(f"SET LOCAL random_page_cost = {page_cost}")
            await connection.execute(f"PREPARE asked AS {query}")
            text = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE asked {literals}"
            )
            await connection.execute("DEALLOCATE asked")
        [found] = json.loads(text)
        whole = [
            node["Relation Name"]
            for node in _nodes(found["Plan"])
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in big
        ]
        pages = found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"]
        assert not whole, (mode, page_cost, query, whole)
        assert pages <= most_pages, (mode, page_cost, query, pages, text)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        value = "{" + ",".join(f'"{item}"' for item in value) + "}"
    return "'" + str(value).replace("'", "''") + "'"
