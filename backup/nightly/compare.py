"""The comparison itself: a dry run of the reconciliation, by a role that can only read."""

import asyncio
from typing import Protocol

from temporalio.client import Client

from backup.errors import BackupProblem
from backup.nightly.contracts import ON_ITS_WAY, Comparison
from backup.reconcile.contracts import ReconcileReport, Site
from backup.reconcile.decisions import Decisions
from backup.reconcile.rules import WORDS
from backup.reconcile.run import reconcile
from service_kit.observability import logs
from service_kit.postgres.connection import connect
from service_kit.postgres.pool import POSTGRES_ERRORS

_REACHED_WITHIN_S = 5.0
_log = logs.get(__name__)


class NotCompared(BackupProblem):
    """A database could not be read to its end; the text says which."""


class Comparer(Protocol):
    """Compares what the databases and Temporal know of all orders."""

    async def compare(self, temporal: Client | None) -> Comparison:
        """Return what was found; raise BackupProblem if it could not be looked at."""
        ...


class DatabaseComparer:
    """Compares the databases of orders and of inventory, at these addresses."""

    def __init__(self, orders_dsn: str, inventory_dsn: str, decisions: Decisions) -> None:
        self._databases = {"orders": orders_dsn, "inventory": inventory_dsn}
        self._decisions = decisions

    async def compare(self, temporal: Client | None) -> Comparison:
        """Return what was found; raise BackupProblem if it could not be looked at."""
        try:
            site = Site(
                orders_dsn=self._databases["orders"],
                inventory_dsn=self._databases["inventory"],
                # a dry run asks inventory_api for nothing
                inventory_url="",
                token="",
                temporal=temporal,
                grace_s=ON_ITS_WAY.total_seconds(),
                # a shop that has not opened yet; and where orders were lost, that is what is found
                orders_may_be_empty=True,
                decided=await asyncio.to_thread(self._decisions.known),
            )
            report = await reconcile(site, dry_run=True, progress=_log.debug)
        except POSTGRES_ERRORS as error:
            raise NotCompared(await self._why(error)) from error
        return comparison_of(report)

    async def _why(self, error: Exception) -> str:
        said = f"{type(error).__name__} {error}".rstrip()
        reached = await asyncio.gather(*map(_answers, self._databases.values()))
        away = [name for name, there in zip(self._databases, reached, strict=True) if not there]
        if not away:
            return f"the comparison was broken off: {said}"
        return f"the database of {' and that of '.join(away)} cannot be reached: {said}"


def comparison_of(report: ReconcileReport) -> Comparison:
    """Return a dry run in short: what it would repair are violations."""
    would_be = tuple(f"{count:,} × {WORDS[rule]}" for rule, count in report.repaired.items())
    return Comparison(
        at=report.began_at,
        seconds=report.seconds,
        orders=report.orders,
        reservations=report.reservations,
        open_orders=report.open_orders,
        violations=sum(report.repaired.values()) + report.violations_count,
        for_people=report.for_people_count,
        decided=report.decided,
        found=would_be + report.violations,
    )


async def _answers(dsn: str) -> bool:
    try:
        connection = await connect(dsn, _REACHED_WITHIN_S)
    except POSTGRES_ERRORS:
        return False
    connection.terminate()
    return True
