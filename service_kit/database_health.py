"""Probes of a service's own database: can it be reached, is the schema right, are tables there?"""

from collections.abc import Sequence

from service_kit.health import PROBE_LIMIT_S, Finding, Probe
from service_kit.migrations import applied_version
from service_kit.pool import Pool, size_of, within

_MISSING = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL"


def probes(pool: Pool, tables: Sequence[str], version: int) -> dict[str, Probe]:
    """Return the probes of `pool`'s database, whose schema has to be at `version` or later."""

    async def tables_exist() -> Finding:
        async with within(pool, PROBE_LIMIT_S) as connection:
            missing = [row["name"] for row in await connection.fetch(_MISSING, list(tables))]
        if missing:
            return Finding("fail", f"missing: {', '.join(missing)}")
        return Finding()

    async def schema_fits() -> Finding:
        async with within(pool, PROBE_LIMIT_S) as connection:
            found = await applied_version(connection)
        if found < version:
            return Finding("fail", f"at version {found}, needs {version}", found, "version")
        if found > version:
            # Additive migrations run before the new program is rolled out: not a failure.
            return Finding("warn", f"at version {found}, knows {version}", found, "version")
        return Finding(value=found, unit="version")

    async def pool_has_room() -> Finding:
        size = size_of(pool)
        full = size["in_use"] >= size["max"]
        return Finding(
            "warn" if full else "pass",
            "every connection is in use" if full else "",
            size["in_use"],
            "connections",
        )

    return {
        "postgres:tables": tables_exist,
        "postgres:schema": schema_fits,
        "postgres:pool": pool_has_room,
    }
