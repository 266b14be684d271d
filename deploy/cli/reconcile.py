"""Command `valerix reconcile`: orders and inventory agree again, or are only looked at."""

import asyncio
import os
from collections import Counter
from dataclasses import replace
from uuid import UUID

from temporalio.client import Client

from backup.errors import BackupProblem
from backup.reconcile.contracts import ForPeople, Progress, ReconcileReport, Site
from backup.reconcile.decisions import Decisions
from backup.reconcile.rules import ADVICE, WORDS
from backup.reconcile.run import OrdersEmpty, reconcile
from backup.trail_folder import TrailFolder
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.running_stack import RunningStack, find_running_stack, issue_token
from deploy.local.services import INVENTORY
from deploy.local.settings import StackSettings, backup_home_from
from deploy.local.stack import POSTGRES, TEMPORAL, Stack
from deploy.local.state_dir import StateDir
from deploy.terminal import err, print_unwrapped
from service_kit.postgres.pool import POSTGRES_ERRORS
from service_kit.temporal import DATA_CONVERTER

# As long as a fault run gives orders after the heal, twice.
SETTLE_WITHIN_S = 120.0
SHOWN = 20
_STAYS = "what was repaired by then stays, each order whole; nothing else was changed"


def run(*, dry_run: bool, as_json: bool, orders_may_be_empty: bool = False) -> int:
    """Return 0 if nothing is left to do or to decide, 1 otherwise."""
    report = _reported(dry_run=dry_run, orders_may_be_empty=orders_may_be_empty)
    if as_json:
        print(report.model_dump_json(indent=1))
    else:
        show(report)
    return 1 if report.needs_attention else 0


def decide(order_id: UUID, note: str) -> int:
    """Note what was decided about an order of the list for people, so that it is on it no more."""
    report = _reported(dry_run=True)
    about = [each for each in report.for_people if each.order_id == order_id]
    if not about:
        raise StartRefused(
            problem=f"order {order_id} is not on the list of what people have to decide",
            kept="nothing was changed",
            remedy="see the list: valerix reconcile --dry-run",
        )
    for each in about:
        decisions(StackSettings.from_environment()).add(each, note)
        print_unwrapped(f"Noted about {in_words(each)}: {note}")
    return 0


def decisions(settings: StackSettings) -> Decisions:
    """Return what people have decided about orders of this stack.

    It is kept with the backups, and in their place where there are none.
    """
    home = settings.backup_home or backup_home_from(os.environ)
    return Decisions(TrailFolder(home).decisions)


def _reported(*, dry_run: bool, orders_may_be_empty: bool = False) -> ReconcileReport:
    try:
        return asyncio.run(_run(dry_run=dry_run, orders_may_be_empty=orders_may_be_empty))
    except OrdersEmpty as problem:
        raise StartRefused(
            problem=str(problem),
            kept="nothing was changed",
            remedy="restore the orders database first; if it is meant to be empty: "
            "valerix reconcile --orders-may-be-empty",
        ) from problem
    except BackupProblem as problem:
        raise StartRefused(
            problem=str(problem), kept=_STAYS, remedy="run it again: valerix reconcile"
        ) from problem
    except POSTGRES_ERRORS as error:
        raise StartRefused(
            problem=f"a database went away: {type(error).__name__} {error}".rstrip(),
            kept=_STAYS,
            remedy="see that it runs (valerix status), then run this again",
        ) from error


async def _run(*, dry_run: bool, orders_may_be_empty: bool) -> ReconcileReport:
    running, settings = find_running_stack(), StackSettings.from_environment()
    if running is None:
        return await reconcile_stopped(
            settings, dry_run=dry_run, orders_may_be_empty=orders_may_be_empty, progress=_say
        )
    site = replace(
        await _site_of(running),
        orders_may_be_empty=orders_may_be_empty,
        decided=decisions(settings).known(),
    )
    return await reconcile(site, dry_run=dry_run, progress=_say)


async def reconcile_stopped(
    settings: StackSettings, *, dry_run: bool, orders_may_be_empty: bool, progress: Progress
) -> ReconcileReport:
    """Reconcile a stack that does not run, with nothing but its databases and the warehouse up.

    So it is done before workers take up open orders: one of them that is told that its hold is
    unknown gives its order up.
    """
    if not StateDir(settings.home).postgres.exists():
        raise StartRefused(
            problem=f"there is no stack in {settings.home}",
            kept="nothing was started or changed",
            remedy="set VALERIX_HOME to the one you mean, or restore one: valerix restore --help",
        )
    alone = replace(settings, only=frozenset({POSTGRES, INVENTORY}))

    def starting(name: str, what: str) -> None:
        progress(f"{name}: {what}")

    async with Stack(alone, starting) as stack:
        site = Site(
            orders_dsn=stack.postgres.dsn("orders"),
            inventory_dsn=stack.postgres.dsn("inventory"),
            inventory_url=stack.url(INVENTORY),
            token=stack.token("reconcile", "service"),
            grace_s=0.0,  # nobody is at work on anything
            orders_may_be_empty=orders_may_be_empty,
            decided=decisions(settings).known(),
        )
        return await reconcile(site, dry_run=dry_run, progress=progress)


async def _site_of(running: RunningStack) -> Site:
    running.url(INVENTORY)  # a stack without one is refused
    postgres = running.postgres()
    return Site(
        orders_dsn=postgres.dsn("orders"),
        inventory_dsn=postgres.dsn("inventory"),
        inventory_url=running.url(INVENTORY),
        token=issue_token("reconcile", "service"),
        temporal=await _temporal_of(running),
        settle_within_s=SETTLE_WITHIN_S,
    )


async def _temporal_of(running: RunningStack) -> Client | None:
    if TEMPORAL not in running.children:
        return None
    try:
        return await Client.connect(
            f"{LOOPBACK}:{running.children[TEMPORAL]['port']}", data_converter=DATA_CONVERTER
        )
    except RuntimeError as error:  # what the SDK raises when nobody answers
        raise StartRefused(
            problem=f"Temporal does not answer: {str(error)[:200]}",
            kept="nothing was changed",
            remedy="wait until it runs (valerix status), or stop the stack: this then runs without",
        ) from error


def show(report: ReconcileReport) -> None:
    """Print a report in words."""
    print_unwrapped(
        f"Compared {report.orders:,} orders with {report.reservations:,} reservations in "
        f"{report.seconds:.1f} s."
    )
    if report.repaired:
        print_unwrapped("Would be repaired:" if report.dry_run else "Repaired:")
    for rule, count in report.repaired.items():
        print_unwrapped(f"  {count:,} × {WORDS[rule]}")
    if report.open_orders:
        print_unwrapped(f"Open: {report.open_orders:,}. Their workflows go on with them.")
    _show_for_people(report)
    if report.decided:
        print_unwrapped(f"Decided by people before: {report.decided:,}.")
    for violation in report.violations:
        print_unwrapped(f"  wrong: {violation}")
    print_unwrapped(f"Violations left: {report.violations_count:,}.")


def _show_for_people(report: ReconcileReport) -> None:
    if not report.for_people_count:
        return
    print_unwrapped(f"For a person to decide: {report.for_people_count:,}")
    for rule, count in Counter(each.rule for each in report.for_people).items():
        print_unwrapped(f"  {count:,} × {WORDS[rule]}")
        print_unwrapped(f"    {ADVICE[rule]}")
    for each in report.for_people[:SHOWN]:
        print_unwrapped(f"  {in_words(each)}")
    if report.for_people_count > SHOWN:
        print_unwrapped("  … all of them: valerix reconcile --dry-run --json")
    print_unwrapped("  when one is done with: valerix reconcile --decided ORDER_ID --note WHAT")


def in_words(each: ForPeople) -> str:
    """Return one line about an order that a person has to decide about."""
    lines = ", ".join(f"{line.quantity} × {line.sku}" for line in each.lines) or "no lines"
    return (
        f"{each.order_id}: {each.rule}; orders say {each.status or 'nothing'}, inventory says "
        f"{each.state or 'nothing'}; {lines}; {each.at:%Y-%m-%d %H:%M:%S} UTC"
    )


def _say(what: str) -> None:
    err.print(f"  {what}", markup=False, soft_wrap=True)
