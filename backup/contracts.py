"""The contract of the backup process: what `GET /v1/trail` tells of all that is kept, and where.

Members may be added; readers ignore those they do not know.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from backup.legacy.outcomes import CallState

DAYS = 30


class Contract(BaseModel):
    """A frozen value that the process answers with."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ArchiveState(Contract):
    """How the archive of the log stands.

    `lag_seconds` is for how long the oldest finished file waits to be archived, None if the
    database does not say; `problems` are sentences.
    """

    lag_seconds: float | None
    last_archived_at: datetime | None
    problems: list[str]


class ProvenCapsule(Contract):
    """The capsule that reaches furthest of those that were restored once, to see that they work."""

    day: date
    covers_to: datetime
    proven_at: datetime


class CallToday(Contract):
    """What became of today's one legacy call so far."""

    day: date
    state: Literal["not_yet"] | CallState
    detail: str


class CapsuleState(Contract):
    """A capsule, when it was proven, and the stores that have a copy of it."""

    sha256: str
    size_bytes: int
    covers_from: datetime
    covers_to: datetime
    proven_at: datetime | None
    copies: list[str]


class DayState(Contract):
    """What is kept of a UTC date, and what became of its legacy call."""

    day: date
    capsules: list[CapsuleState]
    call: Literal["none"] | CallState


class DrillState(Contract):
    """How the last drill ended."""

    at: datetime
    ok: bool
    seconds: float
    detail: str


class ComparisonState(Contract):
    """What the last nightly comparison of orders and inventory has found, and left as it was.

    `violations` disagree, and `found` says in sentences how; about `for_people` a person has to
    decide, about `decided` somebody has.
    """

    at: datetime
    seconds: float
    orders: int
    reservations: int
    open_orders: int
    violations: int
    for_people: int
    decided: int
    found: list[str] = []


class Trail(Contract):
    """The whole trail.

    `days` are the last 30, newest first; `older` are those before of which there is a capsule.
    `stores` are those that have copies, or are to have them. A store that could not be asked is in
    `stores_away`: what it has is as it was seen last. `comparison_problem` says why there is no
    later comparison than the last one, and is empty if nothing was in the way.
    """

    as_of: datetime
    archive: ArchiveState
    newest_proven: ProvenCapsule | None
    call_today: CallToday
    days: list[DayState]
    last_drill: DrillState | None
    older: list[DayState] = []
    stores: list[str] = []
    stores_away: list[str] = []
    last_comparison: ComparisonState | None = None
    comparison_problem: str = ""
    last_good_drill_at: datetime | None = None
