"""Claims of the one call of a date, and the rule that says whether there is one left to claim.

A claim is written in two places that fail apart: the database and a folder on another disk. Either
one alone forbids the call. So a database that was put back to a moment before its claim does not
allow a second call, nor does a new, empty folder; see docs/decisions/0019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["claim", "spent", "nobody_knows"]

# The lineage of a claim that was written without the service's word on what day it was: by a
# restore, whose clock may be wrong. Like any other it forbids its date, but it says nothing of its
# place: what that has lost may be the claim of another date, which is today.
UNWITNESSED = "none"


class Claim(BaseModel):
    """One date's call, claimed for ever; the same in both places."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    day: date
    claim_id: UUID
    capsule_sha256: str | None = Field(pattern="^[0-9a-f]{64}$")
    claimed_at: datetime
    lineage: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What both places say of all dates.

    `same_lineage` tells whether the database is, as far as it can know, the one that wrote its
    own last claim: the same cluster, with no restore and no failover since.
    """

    rows: Mapping[date, Claim]
    files: Mapping[date, Claim | None]  # None where a file is there and cannot be read
    same_lineage: bool

    def verdict(self, day: date) -> Verdict:
        """Return whether the call of `day` can be claimed.

        A place that has lost something cannot be believed when it says "no claim". One is
        believed if it has all that the other one has, and is known to have been there before.
        A claim that is unwitnessed, or cannot be read, is not enough to know that by.
        """
        if day in self.rows or day in self.files:
            return "spent"
        database_is_whole = (
            self.rows and self.same_lineage and self.files.keys() <= self.rows.keys()
        )
        folder_is_whole = (
            any(claim is not None and _is_witnessed(claim) for claim in self.files.values())
            and self.rows.keys() <= self.files.keys()
        )
        return "claim" if database_is_whole or folder_is_whole else "nobody_knows"

    def missing_files(self) -> list[Claim]:
        """Return the claims that the folder has lost, oldest first."""
        return [self.rows[day] for day in sorted(self.rows.keys() - self.files.keys())]


def last_lineage(rows: Mapping[date, Claim]) -> str | None:
    """Return which database wrote the last of these claims, None if none was witnessed."""
    witnessed = [day for day, claim in rows.items() if _is_witnessed(claim)]
    return rows[max(witnessed)].lineage if witnessed else None


def _is_witnessed(claim: Claim) -> bool:
    return claim.lineage != UNWITNESSED
