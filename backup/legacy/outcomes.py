"""What can become of a date's one call, in words that everybody here uses."""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

# `claimed` is a call under way, or one whose caller died; who finds it later calls it `unknown`.
CallState = Literal["claimed", "done", "refused", "unknown"]
Ended = Literal["done", "refused", "unknown"]


class NotCalled(Exception):
    """Nothing was sent and the date is not spent by this attempt: a later one may call."""


class TooLate(NotCalled):
    """The date has no call, and it is too late for one: no later attempt may call either."""


class DateSpent(Exception):
    """The date's one call belongs to somebody else; this attempt has sent nothing."""


class CallReport(BaseModel):
    """How a date's call ended. `by_us` tells whether this very attempt has made it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    day: date
    claim_id: UUID
    state: Ended
    by_us: bool
    detail: str = ""
