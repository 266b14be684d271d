"""Health probes of a service's own database: reachable, writable, right schema."""

from collections.abc import Sequence
from functools import partial

import asyncpg

from service_kit.observability.health import PROBE_LIMIT_S, CheckResult, Probe
from service_kit.postgres.migrations import applied_version
from service_kit.postgres.pool import Pool, Unreachable, size_of, within

_MISSING = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL"
_TAKES_WRITES = """
SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'
"""


def probes(pool: Pool, tables: Sequence[str], version: int) -> dict[str, Probe]:
    """Return the probes of `pool`'s database, whose schema has to be at `version` or later."""

    async def tables_exist() -> CheckResult:
        async with within(pool, PROBE_LIMIT_S) as connection:
            missing = [row["name"] for row in await connection.fetch(_MISSING, list(tables))]
        if missing:
            return CheckResult("fail", f"missing: {', '.join(missing)}")
        return CheckResult()

    async def schema_fits() -> CheckResult:
        async with within(pool, PROBE_LIMIT_S) as connection:
            found = await applied_version(connection)
        if found < version:
            return CheckResult("fail", f"at version {found}, needs {version}", found, "version")
        if found > version:
            # Additive migrations run before the new program is rolled out: not a failure.
            return CheckResult("warn", f"at version {found}, knows {version}", found, "version")
        return CheckResult(value=found, unit="version")

    async def takes_writes() -> CheckResult:
        # a session on a standby ends as it is given back, so that the next look is elsewhere
        try:
            async with within(pool, PROBE_LIMIT_S) as connection:
                writable = await connection.fetchval(_TAKES_WRITES)
        except Unreachable as error:
            if not isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched):
                raise
            writable = False
        return (
            CheckResult()
            if writable
            else CheckResult("fail", "no server that takes writes, only reads")
        )

    return {
        "postgres:tables": tables_exist,
        "postgres:schema": schema_fits,
        "postgres:writable": takes_writes,
        "postgres:pool": partial(_pool_has_room, pool),
    }


async def _pool_has_room(pool: Pool) -> CheckResult:
    size = size_of(pool)
    full = size["in_use"] >= size["max"]
    output = "every connection is in use" if full else ""
    return CheckResult("warn" if full else "pass", output, size["in_use"], "connections")
