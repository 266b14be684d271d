"""Moments as people give them: ISO 8601, always with a zone."""

from datetime import UTC, datetime

from backup.errors import BackupProblem


def parse_moment(text: str) -> datetime:
    """Return the moment in UTC; raise `BackupProblem` for a time whose zone is left to guess."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BackupProblem(
            f"{text!r} is not a time: write it like 2026-11-26T05:12:33Z, in UTC"
        ) from error
    if moment.tzinfo is None:
        raise BackupProblem(
            f"{text!r} has no time zone: add Z for UTC, or an offset such as +01:00"
        )
    return moment.astimezone(UTC)


def in_words(moment: datetime) -> str:
    """Return a moment to the second, as people read it; what was before it is meant, too."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
