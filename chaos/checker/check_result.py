"""Check results: for each promise how much was looked at, and what was wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_KEPT = 50


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, how many things were checked for it, and each that broke it."""

    name: str
    promise: str
    checked: int
    violations: tuple[str, ...] = ()
    count: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing broke it."""
        return self.count == 0


def check(name: str, promise: str, checked: int, violations: Iterable[str]) -> Check:
    """Return the check with its violations counted and the first of them kept."""
    found = list(violations)
    return Check(name, promise, checked, tuple(found[:MAX_KEPT]), len(found))


def require_nonempty(found: Check) -> Check:
    """Return the check, broken if it had nothing to look at: silence proves nothing."""
    if found.checked:
        return found
    return check(found.name, found.promise, 0, [*found.violations, "nothing could be checked"])


def all_hold(checks: Sequence[Check]) -> bool:
    """Whether every check holds."""
    return all(each.holds for each in checks)
