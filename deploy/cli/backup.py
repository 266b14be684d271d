"""Commands `valerix backup now` and `valerix backup list`."""

import asyncio
from datetime import UTC, date, datetime

from rich.table import Table
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from backup.contracts import ArchiveState, CapsuleState, Trail
from backup.daily.contracts import (
    DAILY_BACKUP,
    TASK_QUEUE,
    BackupPlan,
    BackupReport,
    manual_workflow_id,
    workflow_id,
)
from backup.errors import BackupProblem
from backup.legacy.claim_folder import ClaimFolder
from backup.restore_points.cluster import Mark, identify, mark, wait_archived
from backup.status import claimed_calls, trail_of
from backup.steps import KeptStore
from backup.trail_folder import TrailFolder
from deploy.cli.backup_progress import follow
from deploy.cli.restore_source import configured_stores
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import BACKUP as BACKUP_ROLE
from deploy.local.process.probes import http_get
from deploy.local.running_stack import (
    RunningStack,
    find_running_stack,
    issue_token,
    require_running_stack,
)
from deploy.local.services import BACKUP
from deploy.local.settings import StackSettings
from deploy.local.stack import TEMPORAL
from deploy.terminal import err, out
from service_kit.postgres.pool import POSTGRES_ERRORS
from service_kit.temporal import DATA_CONVERTER

ARCHIVED_WITHIN_S = 60.0
_TRAIL_WITHIN_S = 15.0
_TOKEN_TTL_S = 60
_DATES = frozenset({"day", "from", "to (UTC)", "proven"})
_NOT_ARCHIVED: tuple[type[Exception], ...] = (BackupProblem, *POSTGRES_ERRORS)

Backup = WorkflowHandle[object, BackupReport]


def back_up_now() -> int:
    """Return 0 when everything up to now is in a capsule that was proven and copied."""
    stack = require_running_stack()
    stack.url(BACKUP)  # refuses where there are no backups
    try:
        return asyncio.run(_back_up(stack))
    except KeyboardInterrupt:
        err.print("\nThe backup goes on without this command: look with `valerix backup list`.")
        return 130


async def _back_up(stack: RunningStack) -> int:
    made = await _close_log(stack)
    out.print(f"Everything up to {made.at:%H:%M:%S} UTC is in the archive.", style="bold")
    stores = tuple((await read_trail(stack)).stores)
    address = f"{LOOPBACK}:{stack.children[TEMPORAL]['port']}"
    client = await Client.connect(address, data_converter=DATA_CONVERTER)
    today = datetime.now(UTC).date()
    daily, begun = await _backup_of(today, stores, client)
    state = (await daily.describe()).status
    if begun:
        out.print("The backup of today begins.")
    elif state is WorkflowExecutionStatus.RUNNING:
        out.print("The backup of today is under way.")
    spent = state in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
    if spent:
        report = await follow(daily)
        trail = await read_trail(stack)
        if _newest(trail, today).covers_to >= made.at:
            return _tell(trail, today, report, call_was_due=True)
    # It was sealed before what is asked for now, or ended without a capsule.
    out.print("Today's backup does not reach so far: a further one begins.")
    plan = BackupPlan(day=today, stores=stores, not_before=made.at, legacy_call=not spent)
    further: Backup = await client.start_workflow(
        DAILY_BACKUP,
        plan,
        id=manual_workflow_id(datetime.now(UTC)),
        task_queue=TASK_QUEUE,
        result_type=BackupReport,
    )
    report = await follow(further)
    return _tell(await read_trail(stack), today, report, call_was_due=not spent)


async def _close_log(stack: RunningStack) -> Mark:
    """Mark the log, and return when it is archived up to there."""
    postgres = stack.postgres()
    try:
        async with connected(postgres.dsn("backup", BACKUP_ROLE)) as connection:
            cluster = await identify(connection)
            made = await mark(connection, "backup now")
        assert postgres.wal is not None, "there are backups"
        await wait_archived(made, postgres.wal, cluster.segment_bytes, within_s=ARCHIVED_WITHIN_S)
    except _NOT_ARCHIVED as error:
        raise StartRefused(
            problem=f"the log could not be archived: {error}",
            kept="all that was archived and sealed before",
            remedy=f"see {stack.state_dir.logs / 'postgres.log'}, mend the cause and do it again",
        ) from error
    return made


async def _backup_of(day: date, stores: tuple[str, ...], client: Client) -> tuple[Backup, bool]:
    """Return the backup of a date, and whether it was begun by this."""
    name = workflow_id(day)
    try:
        handle: Backup = await client.start_workflow(
            DAILY_BACKUP,
            BackupPlan(day=day, stores=stores),
            id=name,
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            result_type=BackupReport,
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle(name, result_type=BackupReport), False
    return handle, True


async def read_trail(stack: RunningStack) -> Trail:
    """Return what the backup process tells."""
    token = issue_token("valerix", "staff", _TOKEN_TTL_S)
    port = stack.children[BACKUP]["port"]
    answer = await http_get(port, "/v1/trail", _TRAIL_WITHIN_S, f"Bearer {token}")
    if answer is None or answer[0] != 200:
        raise StartRefused(
            problem="the backup process does not tell how the trail stands",
            kept="all that was archived and sealed before",
            remedy=f"see {stack.state_dir.logs / 'backup.log'} and: valerix status",
        )
    return Trail.model_validate_json(answer[1])


def _newest(trail: Trail, day: date) -> CapsuleState:
    found = [capsule for each in trail.days if each.day == day for capsule in each.capsules]
    if not found:
        raise StartRefused(
            problem=f"there is no capsule of {day}",
            kept="what `valerix backup list` shows",
            remedy="do it again: a new one is sealed",
        )
    return found[-1]


def _tell(trail: Trail, day: date, report: BackupReport | None, *, call_was_due: bool) -> int:
    """Print what there is now; return 0 if everything is where it should be."""
    capsule = _newest(trail, day)
    missing = [store for store in trail.stores if store not in capsule.copies]
    out.print(
        f"Capsule {capsule.sha256[:12]} of {day}, {_size(capsule.size_bytes)}:"
        f" every second from {_moment(capsule.covers_from)} to {_moment(capsule.covers_to)} UTC.",
        style="bold green",
        soft_wrap=True,
    )
    out.print("  A restore of it has brought everything back.")
    out.print(f"  Copies are in: {', '.join(capsule.copies) or 'no store'}.", markup=False)
    for store in missing:
        err.print(f"  The store {store} has none yet.", style="yellow", markup=False)
    if not call_was_due:
        out.print("  No legacy call: the one of today was left to today's first backup.")
    else:
        state, detail = trail.call_today.state, trail.call_today.detail
        said = f" ({detail})" if detail else ""
        out.print(f"  Today's one legacy call: {state.replace('_', ' ')}{said}.", markup=False)
        if report is not None and report.call_in_doubt:
            doubt = "  Nobody knows whether it was made, so it is not made again (docs/runbook.md)."
            err.print(doubt, style="yellow", soft_wrap=True)
    if report is None:
        err.print("  What is missing is tried again until the day is over, by itself.")
    return 1 if missing or report is None else 0


def list_backups() -> int:
    """Print what is kept of the last days, and where; also while nothing runs."""
    stack = find_running_stack()
    if stack is not None and BACKUP in stack.children:
        _show(asyncio.run(read_trail(stack)))
        return 0
    home = StackSettings.from_environment().backup_home
    if home is None or not home.exists():
        raise StartRefused(
            problem=f"there are no backups in {home}" if home else "backups are off (BACKUP)",
            kept="nothing was changed",
            remedy="start the stack with `make up`, or set VALERIX_BACKUP_HOME to the folder",
        )
    _show(asyncio.run(_trail_without_stack(TrailFolder(home))))
    return 0


async def _trail_without_stack(trail: TrailFolder) -> Trail:
    stores = [KeptStore(store, trail.capsules) for store in configured_stores(trail).values()]
    await asyncio.gather(*(store.look() for store in stores))
    calls = await claimed_calls(ClaimFolder(trail.claims))
    nothing_runs = ArchiveState(
        lag_seconds=None, last_archived_at=None, problems=["nothing runs: this is from its folder"]
    )
    return trail_of(trail, datetime.now(UTC), nothing_runs, calls, stores)


def _show(trail: Trail) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for title in ("day", "capsule", "size", "from", "to (UTC)", "proven", "copies", "legacy call"):
        # a date is never cut short, and all fits a terminal of 80 columns
        table.add_column(title, min_width=10 if title in _DATES else None)
    for day in (*trail.days, *trail.older):
        call = "" if day.call == "none" else day.call
        if not day.capsules and call:
            table.add_row(str(day.day), *[""] * 6, call)
        for capsule in reversed(day.capsules):
            proven = capsule.proven_at
            table.add_row(
                *(str(day.day), capsule.sha256[:12], _size(capsule.size_bytes)),
                *(_moment(capsule.covers_from), _moment(capsule.covers_to)),
                "not yet" if proven is None else _moment(proven),
                *(", ".join(capsule.copies) or "none", call),
            )
    out.print(table if table.row_count else "No capsule is sealed yet.")
    proven_to = trail.newest_proven and _moment(trail.newest_proven.covers_to)
    out.print(f"\nProven by a restore up to {proven_to} UTC." if proven_to else "\nNone is proven.")
    if trail.archive.lag_seconds is not None:
        out.print(f"The archive is {trail.archive.lag_seconds:.0f} s behind.")
    _show_comparison(trail)
    for problem in trail.archive.problems:
        out.print(f"  {problem}", style="yellow", markup=False, soft_wrap=True)
    for store in trail.stores_away:
        out.print(f"  the store {store} cannot be asked", style="yellow", markup=False)


def _show_comparison(trail: Trail) -> None:
    found = trail.last_comparison
    if found is not None:
        out.print(
            f"Orders and inventory were compared at {_moment(found.at)} UTC:"
            f" {found.violations:,} violation{'s' * (found.violations != 1)},"
            f" {found.for_people:,} for people.",
            soft_wrap=True,
        )
        for sentence in found.found:
            out.print(f"  {sentence}", style="yellow", markup=False, soft_wrap=True)
    if trail.comparison_problem:
        said = f"  They could not be compared since: {trail.comparison_problem}"
        out.print(said, style="yellow", markup=False, soft_wrap=True)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
