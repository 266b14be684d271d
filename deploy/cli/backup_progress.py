"""What a backup is doing, line by line, until it has ended."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from backup.daily.contracts import BackupReport
from deploy.local.errors import StartRefused
from deploy.terminal import out

_POLL_INTERVAL_S = 0.3
_ATTEMPTS_LOOKED_AT = 3
_DOING = {
    "seal_capsule": "sealing a capsule",
    "prove_capsule": "restoring it somewhere, to see that it works",
    "copy_capsule": "copying it to the stores",
    "call_legacy_service": "making the one legacy call of the day",
    "confirm_legacy_call": "writing down how the call ended",
}
# What is proven already can wait for these.
_LATER = ("copy_capsule", "call_legacy_service")


async def follow(backup: WorkflowHandle[Any, BackupReport]) -> BackupReport | None:
    """Print each step as it begins, and again when it has to be repeated; return the report.

    None if it goes on without anybody to look at it: a store is away, or the legacy service, and
    will be asked again until the day is over.
    """
    began = time.monotonic()
    seen: set[str] = set()
    ending = asyncio.ensure_future(backup.result())
    try:
        while not ending.done():
            steps = await _steps(backup)
            for line in map(_in_words, steps):
                if line not in seen:
                    seen.add(line)
                    took = time.monotonic() - began
                    out.print(f"  {took:6.1f} s  {line}", markup=False, soft_wrap=True)
            if steps and all(map(_can_wait, steps)):
                return None
            await asyncio.wait({ending}, timeout=_POLL_INTERVAL_S)
        return ending.result()
    except WorkflowFailureError as error:
        raise StartRefused(
            problem=f"the backup did not come to its end: {_reason(error)}",
            kept="the archive, and every capsule that was sealed before",
            remedy="look at `valerix backup list` and the log of `backup`, then do it again",
        ) from error
    except RPCError as error:
        raise StartRefused(
            problem=f"Temporal does not answer any more: {error}",
            kept="the backup goes on by itself as soon as Temporal is there",
            remedy="look with `valerix status`, later with `valerix backup list`",
        ) from error
    finally:
        ending.cancel()


async def _steps(backup: WorkflowHandle[Any, BackupReport]) -> Sequence[PendingActivityInfo]:
    try:
        return (await backup.describe()).raw_description.pending_activities
    except RPCError:
        return ()  # Temporal is away for a moment; for longer, and the result says so


def _in_words(step: PendingActivityInfo) -> str:
    doing = _DOING.get(step.activity_type.name, step.activity_type.name)
    if step.attempt == 1:
        return doing
    reason = step.last_failure.message or "it was cut off"
    return f"{doing}, attempt {step.attempt}; the last one failed: {reason}"


def _can_wait(step: PendingActivityInfo) -> bool:
    return step.activity_type.name in _LATER and step.attempt >= _ATTEMPTS_LOOKED_AT


def _reason(error: BaseException) -> str:
    """Return what the innermost cause says."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
