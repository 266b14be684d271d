"""What a check of a site has seen, and what to do about it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One line of the report; `remedy` is empty when there is nothing to do."""

    check: str
    status: Literal["pass", "fail", "skip"]
    seen: str
    remedy: str = ""


def passed(check: str, seen: str) -> CheckOutcome:
    """Return the outcome of a check that found what it wants."""
    return CheckOutcome(check, "pass", seen)


def failed(check: str, seen: str, remedy: str) -> CheckOutcome:
    """Return the outcome of a check that found a mistake."""
    return CheckOutcome(check, "fail", seen, remedy)


def skipped(check: str, seen: str, remedy: str) -> CheckOutcome:
    """Return the outcome of a check that could not look, or of what is a matter of choice."""
    return CheckOutcome(check, "skip", seen, remedy)
