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
NOT_PROVEN = "NotProven"
NOT_CALLED = "NotCalled"
TOO_LATE = "TooLate"
NOT_DONE_TODAY = "NotDoneToday"


class Message(BaseModel):
    """A frozen value that travels through Temporal; readers ignore members they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Day(Message):
    """A UTC date, whose backup is meant.

    A capsule that ends before `not_before` will not do, nor will the one with the hash
    `instead_of`, which was not proven.
    """

    day: date
    not_before: datetime | None = None
    instead_of: str | None = None


class BackupPlan(Message):
    """What the backup of a date is to do; `stores` are names that the activities know.

    One that a person asks for, later on the same date, seals a capsule of its own: it has to reach
    up to `not_before`, and the date's legacy call is left alone.
    """

    day: date
    stores: tuple[str, ...] = ()
    not_before: datetime | None = None
    legacy_call: bool = True


class CopyTask(Message):
    """One copy of a capsule that is to be in a store."""

    capsule: SealedCapsule
    store: str


class CapsuleTask(Message):
    """Something to be done with a capsule on its day.

    `is_last` if no other one will be sealed for the day, whatever becomes of this.
    """

    capsule: SealedCapsule
    is_last: bool = False


class CallOutcome(Message):
    """What became of a date's one legacy call, or an earlier attempt at it."""

    day: date
    claim_id: UUID
    state: Ended
    by_us: bool = True
    detail: str = ""


class BackupReport(Message):
    """How a date's backup ended.

    `call` is None if no call was to be made, or none could be before the day was over, or if
    nobody can say whether one was: then `call_in_doubt`, and what its claim says holds.

    `late_copies` names the stores that did not take theirs in time.
    """

    day: date
    capsule_sha256: str
    copies: tuple[str, ...]
    late_copies: tuple[str, ...]
    call: CallOutcome | None
    ended_at: datetime
    call_in_doubt: bool = False


def workflow_id(day: date) -> str:
    """Return the one workflow id that the backup of a date can have."""
    return f"backup-{day.isoformat()}"


def manual_workflow_id(asked_at: datetime) -> str:
    """Return the id of a further backup of the same date, asked for by a person."""
    return f"backup-{asked_at:%Y-%m-%d-%H%M%S}"
