"""What a backup is doing, line by line, until it has ended."""

import asyncio
import time
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from backup.daily.contracts import BackupReport
from deploy.local.errors import StartRefused
from deploy.terminal import out

_POLL_INTERVAL_S = 0.3
_DOING = {
    "seal_capsule": "sealing a capsule",
    "prove_capsule": "restoring it somewhere, to see that it works",
    "copy_capsule": "copying it to the stores",
    "call_legacy_service": "making the one legacy call of the day",
    "confirm_legacy_call": "writing down how the call ended",
}


async def follow(backup: WorkflowHandle[Any, BackupReport]) -> BackupReport:
    """Print each step as it begins, and again when it has to be repeated; return the report."""
    began = time.monotonic()
    seen: set[str] = set()
    ending = asyncio.ensure_future(backup.result())
    try:
        while not ending.done():
            for line in await _steps(backup):
                if line not in seen:
                    seen.add(line)
                    out.print(
                        f"  {time.monotonic() - began:6.1f} s  {line}", markup=False, soft_wrap=True
                    )
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


async def _steps(backup: WorkflowHandle[Any, BackupReport]) -> list[str]:
    try:
        found = (await backup.describe()).raw_description.pending_activities
    except RPCError:
        return ["waiting for Temporal"]
    lines = []
    for pending in found:
        doing = _DOING.get(pending.activity_type.name, pending.activity_type.name)
        if pending.attempt > 1:
            said = pending.last_failure.message or "it was cut off"
            doing = f"{doing}, for the {pending.attempt}. time: {said}"
        lines.append(doing)
    return lines


def _reason(error: BaseException) -> str:
    """Return what the innermost cause says."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
