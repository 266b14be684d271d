"""Client of the backup process: what is kept of the platform's data, where, and how far it reaches.

Members and states that this release does not know are no reason not to show the rest.
"""

from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict

from ui.clients.service import ServiceClient
from ui.identity import Identity

# As staff: the trail is open to nobody else.
_READER = Identity("ui", "staff")


class _Told(BaseModel):
    """A part of what the process says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Archive(_Told):
    """How the log of the databases gets out of them, and in sentences what is wrong with that.

    `lag_seconds` is None if the database does not say.
    """

    lag_seconds: float | None = None
    last_archived_at: AwareDatetime | None = None
    problems: tuple[str, ...] = ()


class RestorePoint(_Told):
    """A capsule that was restored to see that it works, and the last moment that it holds."""

    day: date
    covers_to: AwareDatetime
    proven_at: AwareDatetime


class DatedCall(_Told):
    """What became of a date's one legacy call."""

    day: date
    state: str
    detail: str = ""


class KeptCapsule(_Told):
    """A capsule, and the names of the stores that have a copy of it."""

    sha256: str
    size_bytes: int
    covers_from: AwareDatetime
    covers_to: AwareDatetime
    proven_at: AwareDatetime | None = None
    copies: tuple[str, ...] = ()


class TrailDay(_Told):
    """A UTC date: its capsules, and the state of its legacy call."""

    day: date
    capsules: tuple[KeptCapsule, ...] = ()
    call: str = "none"


class Drill(_Told):
    """The last time that somebody brought everything back to see that it can be done."""

    at: AwareDatetime
    ok: bool
    seconds: float
    detail: str = ""


class Comparison(_Told):
    """What the last nightly comparison of orders and inventory has found, and left as it was."""

    at: AwareDatetime
    orders: int
    violations: int
    for_people: int
    found: tuple[str, ...] = ()


class Trail(_Told):
    """Everything that is kept, as of a moment of the process's clock."""

    as_of: AwareDatetime
    archive: Archive
    newest_proven: RestorePoint | None = None
    call_today: DatedCall
    days: tuple[TrailDay, ...] = ()
    last_drill: Drill | None = None
    # What these have is as it was seen last.
    stores_away: tuple[str, ...] = ()
    last_comparison: Comparison | None = None
    # Why there is no later one; empty if nothing was in the way.
    comparison_problem: str = ""


class BackupApi(ServiceClient):
    """The backup process."""

    async def trail(self) -> Trail:
        """Return what is kept now."""
        return await self._get(Trail, "/v1/trail", _READER)
