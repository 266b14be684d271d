"""Health probe of one subscriber: how far it has read, or what keeps it from reading."""

from asyncpg import Record

from service_kit.observability.health import PROBE_LIMIT_S, CheckResult, Probe
from service_kit.postgres import pool
from subscribers.runner import HANDLE_TIMEOUT_S
from subscribers.statements import PROGRESS
from subscribers.subscriber_thread import SubscriberThread

# Longer than any transaction of ours may stay open, or an event may take to be handled.
BEHIND_S = 20.0


def progress_of(thread: SubscriberThread, connections: pool.Pool) -> Probe:
    """Return the probe of the subscriber in `thread`."""

    async def progress() -> CheckResult:
        if thread.silent_s() > HANDLE_TIMEOUT_S:
            return CheckResult("warn", "blocks its thread", round(thread.silent_s()), "s")
        # closes the connection at the end of its time: giving it back to a frozen server hangs
        async with pool.within(connections, PROBE_LIMIT_S) as connection:
            row = await connection.fetchrow(PROGRESS, thread.name)
        return CheckResult("warn", "has not started yet") if row is None else _check_result(row)

    return progress


def _check_result(row: Record) -> CheckResult:
    behind_s, held_s = row["behind_s"] or 0.0, row["held_s"] or 0.0
    if row["failures"]:
        where = "" if row["next_seq"] is None else f" at event {row['next_seq']}"
        return CheckResult(
            "warn", f"fails{where}: {row['failures']} times in a row", row["failures"], "failures"
        )
    if held_s > BEHIND_S and held_s >= behind_s:
        holder = row["holder"] or "a transaction that has just ended"
        return CheckResult("warn", f"events wait for {holder} to end", round(held_s), "s")
    if behind_s > BEHIND_S:
        return CheckResult("warn", "is behind, reading on", round(behind_s), "s")
    return CheckResult(value=row["seq"], unit="event")
