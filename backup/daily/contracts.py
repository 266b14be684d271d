"""Names and messages that the daily backup's workflow shares with its activities and its starters.

Members may be added with defaults and are never removed: histories outlive releases.
"""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from backup.capsule.manifest import SealedCapsule
from backup.legacy.outcomes import Ended

TASK_QUEUE = "backup"
DAILY_BACKUP = "DailyBackup"
START_DAILY_BACKUP = "StartDailyBackup"

# Types of failures; the text says the rest.
NOT_CALLED = "NotCalled"
NOT_DONE_TODAY = "NotDoneToday"


class Message(BaseModel):
    """A frozen value that travels through Temporal; readers ignore members they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Day(Message):
    """A UTC date, whose backup is meant."""

    day: date


class BackupPlan(Message):
    """What the backup of a date is to do; `stores` are names that the activities know."""

    day: date
    stores: tuple[str, ...] = ()


class CopyTask(Message):
    """One copy of a capsule that is to be in a store."""

    capsule: SealedCapsule
    store: str


class CapsuleTask(Message):
    """Something to be done with a capsule on its day."""

    capsule: SealedCapsule


class CallOutcome(Message):
    """What became of a date's one legacy call, or an earlier attempt at it."""

    day: date
    claim_id: UUID
    state: Ended
    by_us: bool = True
    detail: str = ""


class BackupReport(Message):
    """How a date's backup ended. `call` is None if no call could be made before the day was over.

    `late_copies` names the stores that did not take theirs in time.
    """

    day: date
    capsule_sha256: str
    copies: tuple[str, ...]
    late_copies: tuple[str, ...]
    call: CallOutcome | None
    ended_at: datetime


def workflow_id(day: date) -> str:
    """Return the one workflow id that the backup of a date can have."""
    return f"backup-{day.isoformat()}"
