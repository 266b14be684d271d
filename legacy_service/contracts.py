"""The public contract of the legacy backup service: one PUT for each UTC date, and its answers.

A capsule travels with its digest in the header `Repr-Digest` (RFC 9530), both ways.
"""

import base64
import binascii
import re
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DIGEST_HEADER = "Repr-Digest"
ONE_CALL_A_DAY = "one-call-a-day"

_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{44}):\s*(?:,|$)")


class Contract(BaseModel):
    """A value that the service answers with; readers ignore members that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class KeptCapsule(Contract):
    """A capsule as the service says that it keeps it."""

    date: date
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int
    kept_at: datetime


class KeptCapsules(Contract):
    """All that the service keeps, oldest first."""

    items: list[KeptCapsule]


class CallsOfDate(Contract):
    """How many calls came on a UTC date, by the service's clock, refused ones included."""

    date: date
    calls: int


Misdeed = Literal[
    "error",  # keeps the capsule and answers 500
    "silence",  # keeps it and never answers
    "cut",  # keeps it and cuts the connection instead of an answer
    "cut_early",  # counts the call and cuts the connection before it has read the capsule
    "trickle",  # keeps it and answers a byte a second
    "lost",  # answers well and keeps nothing
    "truncated",  # answers well and keeps half of it
]


class Misbehaviour(BaseModel):
    """What the service is told to do wrong at its next calls that it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    misdeed: Misdeed
    times: int = Field(1, ge=1, le=1000)


def digest_header(sha256: str) -> str:
    """Return the value of the header for a digest in hexadecimal."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def sha256_in(header: str) -> str | None:
    """Return the digest in a header's value, in hexadecimal; None if there is none to be read."""
    found = _SHA256.search(header)
    if found is None:
        return None
    try:
        digest = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None
