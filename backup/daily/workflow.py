"""The daily backup: seal, prove, copy, and spend the day's one legacy call on what was proven."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from backup.capsule.manifest import SealedCapsule
    from backup.daily.contracts import (
        DAILY_BACKUP,
        NOT_DONE_TODAY,
        NOT_PROVEN,
        START_DAILY_BACKUP,
        TOO_LATE,
        BackupPlan,
        BackupReport,
        CallOutcome,
        CapsuleTask,
        CopyTask,
        Day,
        workflow_id,
    )
    from backup.daily.references import BackupSteps, LegacySteps

# Nothing of a date is begun after it: what is missing then is in the next date's capsule, too.
STEP = timedelta(hours=3)
PROOF = timedelta(hours=12)  # ended in an orderly way before: its limit follows the log
CALL = timedelta(hours=7)  # above BACKUP_LEGACY_CALL_WITHIN_S, which ends it in an orderly way
FURTHER_CAPSULES = 4  # on a date, after one that was not proven
NEXT_CAPSULE_AFTER = timedelta(minutes=15)
RECORD = timedelta(seconds=15)
HEARTBEAT = timedelta(seconds=60)
PATIENTLY = RetryPolicy(
    initial_interval=timedelta(seconds=5),  # somebody may wait at a terminal to hear of it
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=15),
)
SOON = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=5),
)


@workflow.defn(name=DAILY_BACKUP)
class DailyBackup:
    """The backup of one UTC date. What it may do twice is harmless; the call guards itself."""

    def __init__(self) -> None:
        self._call_in_doubt = False

    @workflow.run
    async def run(self, plan: BackupPlan) -> BackupReport:
        """Bring the date's capsule to all its places and return where it is."""
        capsule = await self._proven(plan)
        copies = {store: _begin(self._copy(capsule, store)) for store in plan.stores}
        call = await self._call(capsule) if plan.legacy_call else None
        if call is not None:
            await self._confirm(call)
        arrived = {store: await copy for store, copy in copies.items()}
        workflow.set_current_details(_in_words(plan, call, in_doubt=self._call_in_doubt))
        return BackupReport(
            day=plan.day,
            capsule_sha256=capsule.sha256,
            copies=tuple(store for store, is_there in arrived.items() if is_there),
            late_copies=tuple(store for store, is_there in arrived.items() if not is_there),
            call=call,
            ended_at=workflow.now(),
            call_in_doubt=self._call_in_doubt,
        )

    async def _proven(self, plan: BackupPlan) -> SealedCapsule:
        """Return a capsule that works: for one that a restore shows to be no good, another one."""
        capsule = await self._seal(plan)
        for _ in range(FURTHER_CAPSULES):
            try:
                await self._prove(capsule)
            except FailureError as failure:
                if not _is(failure, NOT_PROVEN):
                    raise
            else:
                return capsule
            await workflow.sleep(NEXT_CAPSULE_AFTER)
            capsule = await self._seal(plan, instead_of=capsule.sha256)
        await self._prove(capsule, is_last=True)
        return capsule

    async def _seal(self, plan: BackupPlan, instead_of: str | None = None) -> SealedCapsule:
        return await workflow.execute_activity_method(
            BackupSteps.seal,
            Day(day=plan.day, not_before=plan.not_before, instead_of=instead_of),
            start_to_close_timeout=STEP,
            schedule_to_close_timeout=_left_of(plan.day),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=PATIENTLY,
            summary="seal the capsule",
        )

    async def _prove(self, capsule: SealedCapsule, *, is_last: bool = False) -> None:
        await workflow.execute_activity_method(
            BackupSteps.prove,
            CapsuleTask(capsule=capsule, is_last=is_last),
            start_to_close_timeout=PROOF,
            schedule_to_close_timeout=_left_of(capsule.day),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=PATIENTLY,
            summary="restore the capsule to see that it works",
        )

    async def _copy(self, capsule: SealedCapsule, store: str) -> bool:
        try:
            await workflow.execute_activity_method(
                BackupSteps.copy,
                CopyTask(capsule=capsule, store=store),
                start_to_close_timeout=STEP,
                schedule_to_close_timeout=_left_of(capsule.day),
                heartbeat_timeout=HEARTBEAT,
                retry_policy=PATIENTLY,
                summary=f"copy to {store}",
            )
        except FailureError as failure:
            _raise_if_cancelled(failure)
            return False
        return True

    async def _call(self, capsule: SealedCapsule) -> CallOutcome | None:
        """Return what became of the date's call; None if none could be made, or nobody knows.

        None is begun when the day is over: the service itself says when that is. One that was
        begun before may take as long as it needs.
        """
        try:
            return await workflow.execute_activity_method(
                LegacySteps.call,
                CapsuleTask(capsule=capsule),
                start_to_close_timeout=CALL,
                schedule_to_close_timeout=_left_of(capsule.day) + CALL,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=PATIENTLY,
                summary="the one legacy call of the day",
            )
        except FailureError as failure:
            _raise_if_cancelled(failure)
            # Of an attempt that was cut off, or could not ask, nobody can say that it made no call.
            self._call_in_doubt = not _is(failure, TOO_LATE)
            return None

    async def _confirm(self, call: CallOutcome) -> None:
        await workflow.execute_activity_method(
            LegacySteps.confirm,
            call,
            start_to_close_timeout=RECORD,
            retry_policy=SOON,
            summary="write down how the call ended",
        )


@workflow.defn(name=START_DAILY_BACKUP)
class StartDailyBackup:
    """Starts the backup of today unless there is one; a Schedule runs it every hour.

    A Schedule gives each of its runs an id of its own, and so cannot keep a date's backup single.
    """

    @workflow.run
    async def run(self, stores: list[str]) -> str:
        """Return the id of today's backup, begun now or before."""
        today = workflow.now().astimezone(UTC).date()
        name = workflow_id(today)
        try:
            await workflow.start_child_workflow(
                DailyBackup.run,
                BackupPlan(day=today, stores=tuple(stores)),
                id=name,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"backup of {today.isoformat()}",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("the backup of %s was begun before", today)
        return name


def _left_of(day: date) -> timedelta:
    """Return how long it is until `day` ends; raise NotDoneToday when it is over."""
    midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
    left = midnight - workflow.now()
    if left <= timedelta():
        raise ApplicationError(f"{day} is over", type=NOT_DONE_TODAY, non_retryable=True)
    return left


def _is(failure: FailureError, kind: str) -> bool:
    """Tell whether an activity has ended with this type of failure."""
    return isinstance(failure.cause, ApplicationError) and failure.cause.type == kind


def _raise_if_cancelled(failure: FailureError) -> None:
    if is_cancelled_exception(failure):
        raise failure


def _begin(copying: Coroutine[Any, Any, bool]) -> "asyncio.Task[bool]":
    return asyncio.create_task(copying)


def _in_words(plan: BackupPlan, call: CallOutcome | None, *, in_doubt: bool) -> str:
    if not plan.legacy_call:
        return "a further backup of this date, without a legacy call"
    if in_doubt:
        return "it is not known whether the legacy call was made: what its claim says, holds"
    if call is None:
        return "no legacy call could be made before the day was over"
    return f"the legacy call is {call.state} {call.detail}".rstrip()
