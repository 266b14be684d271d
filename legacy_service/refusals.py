"""Problem documents of legacy_service: its definite answers other than success."""

from datetime import UTC, date, datetime, time, timedelta

from legacy_service.contracts import DIGEST_HEADER, ONE_CALL_A_DAY
from service_kit.http.problems import Problem, unprocessable


def one_call_a_day(now: datetime) -> Problem:
    """Return what says that the call of this UTC date was made already."""
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return Problem(
        429,
        ONE_CALL_A_DAY,
        "One call a day",
        f"The one call of {now.date().isoformat()} (UTC) has been made.",
        advice="Nothing was kept. Come again tomorrow.",
        headers={"Retry-After": str(int((tomorrow - now).total_seconds()) + 1)},
    )


def other_date(today: date) -> Problem:
    """Return what says that today is another day than the one in the address."""
    return Problem(
        409,
        "other-date",
        "Today is another day",
        f"Today is {today.isoformat()} (UTC) here.",
        advice="Nothing was kept, and today's call has been made. Check your clock.",
    )


def no_digest() -> Problem:
    """Return what says that a capsule comes with its digest."""
    return unprocessable(f"{DIGEST_HEADER} with a sha-256 is missing or cannot be read.")


def wrong_digest() -> Problem:
    """Return what says that something else came than was announced."""
    return unprocessable("What came does not have the announced sha-256; nothing was kept.")


def no_room() -> Problem:
    """Return what says that the capsule could not be written."""
    return Problem(
        507,
        "no-room",
        "The capsule could not be written",
        "The service's disk does not take it.",
        advice="Nothing was kept, and today's call has been made.",
    )


def not_kept(day: date) -> Problem:
    """Return what says that nothing is kept for a date."""
    return Problem(
        404,
        "not-kept",
        "Nothing is kept for this date",
        f"No capsule of {day.isoformat()} is kept here.",
        advice="GET /v1/capsules lists those that are.",
    )
