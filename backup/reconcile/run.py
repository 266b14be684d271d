"""Reconciliation of orders, inventory and Temporal after they were restored to different moments.

Every repair is one of the services' own calls, idempotent under the order's key: it may be cut off
anywhere and run again. A second run changes nothing.
"""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from backup.errors import BackupProblem
from backup.reconcile import books as databases
from backup.reconcile.books import Books
from backup.reconcile.contracts import (
    MAX_VIOLATIONS_NAMED,
    Progress,
    ReconcileReport,
    Rule,
    Site,
)
from backup.reconcile.orphaned_workflows import end_orphaned
from backup.reconcile.repairs import Repairs
from backup.reconcile.rules import WORDS
from backup.reconcile.survey import Survey, survey
from backup.reconcile.warehouse import Warehouse
from service_kit.http.client_session import open_session

# What workflows bring to an end meanwhile may need another round, and that one hardly a third.
MAX_ROUNDS = 4
POLL_INTERVAL_S = 1.0


class OrdersEmpty(BackupProblem):
    """Inventory knows of orders and the orders database of none: it is not restored, or another."""


async def reconcile(site: Site, *, dry_run: bool, progress: Progress) -> ReconcileReport:
    """Repair what disagrees, and return what was done and what is left for people.

    A dry run changes nothing and reports what would be done. Raises BackupProblem if a service does
    not answer: what was repaired by then stays, and the next run goes on from there.
    """
    began_at, began = datetime.now(UTC), time.monotonic()
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(
            databases.opened(site.orders_dsn, site.inventory_dsn, site.grace_s, read_only=dry_run)
        )
        session = await stack.enter_async_context(open_session())
        warehouse = Warehouse(session, site.inventory_url, site.token, site.patience_s)
        await _refuse_empty_orders(books, site)
        repaired: Counter[Rule] = Counter()
        if site.temporal is not None:
            progress("looking for workflows without an order")
            ended = await end_orphaned(site.temporal, books, dry_run=dry_run)
            repaired[Rule.END_WORKFLOW] = ended
        found = await survey(books, progress)
        if not dry_run:
            found, done = await _repair(site, books, warehouse, found, progress)
            repaired += done
        say = progress if dry_run else _say_nothing
        left = Repairs(books, warehouse, say, dry_run=True, decided=site.decided)
        await left.go(found)
        progress("checking inventory against its own ledger")
        violations = await books.broken()
    if dry_run:
        repaired += left.done
    else:
        violations += [f"{count:,} × {WORDS[rule]}" for rule, count in left.done.items() if count]
    return ReconcileReport(
        dry_run=dry_run,
        began_at=began_at,
        seconds=round(time.monotonic() - began, 3),
        orders=found.orders,
        reservations=found.reservations,
        open_orders=found.open_orders,
        repaired={rule: repaired[rule] for rule in Rule if repaired[rule]},
        for_people=tuple(left.people),
        for_people_count=left.people_count,
        decided=left.decided_count,
        violations=tuple(violations[:MAX_VIOLATIONS_NAMED]),
        violations_count=len(violations),
    )


async def _repair(
    site: Site, books: Books, warehouse: Warehouse, found: Survey, progress: Progress
) -> tuple[Survey, Counter[Rule]]:
    """Repair, let workflows go on, and look again, until a look finds nothing more to do."""
    repaired: Counter[Rule] = Counter()
    deadline = time.monotonic() + site.settle_within_s
    for _ in range(MAX_ROUNDS):
        repairs = Repairs(books, warehouse, progress, dry_run=False)
        await repairs.go(found)
        repaired += repairs.done
        settled = await _wait_for_open(books, deadline, progress)
        if not (repairs.done.total() or settled):
            break
        found = await survey(books, progress)
    return found, repaired


async def _wait_for_open(books: Books, deadline: float, progress: Progress) -> int:
    """Wait until the orders that are open now have ended, or the time is over; return how many."""
    placed_by = await books.now()
    first = left = await books.open_orders(placed_by)
    while left and time.monotonic() < deadline:
        await asyncio.sleep(POLL_INTERVAL_S)
        before, left = left, await books.open_orders(placed_by)
        if left != before:
            progress(f"waiting for open orders: {left:,} of {first:,} left")
    return first - left


async def _refuse_empty_orders(books: Books, site: Site) -> None:
    """Stop before everything that is held is given back for want of an order."""
    if site.orders_may_be_empty or await books.has_orders():
        return
    if await books.has_reservations() or site.temporal is not None:
        raise OrdersEmpty(
            "there are no orders in the orders database: all that inventory holds would be released"
        )


def _say_nothing(_: str) -> None:
    """Repeat nothing that was said before."""
