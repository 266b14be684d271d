"""What the backup process answers to GET /v1/trail, for those who read it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

AS_OF = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def capsule(day: date, *, proven: bool = True, copies: tuple[str, ...] = ("copies",)) -> Any:
    """Return a capsule that was made at five in the morning."""
    made = datetime(day.year, day.month, day.day, 5, 12, 33, tzinfo=UTC)
    return {
        "sha256": f"{day.toordinal():064x}",
        "size_bytes": 16_800_000,
        "covers_from": (made - timedelta(days=7)).isoformat(),
        "covers_to": made.isoformat(),
        "proven_at": (made + timedelta(minutes=20)).isoformat() if proven else None,
        "copies": list(copies),
    }


def trail(**changes: Any) -> dict[str, Any]:
    """Return the answer of a process with which all is well, for 30 days, but for `changes`."""
    today = AS_OF.date()
    newest = capsule(today)
    return {
        "as_of": AS_OF.isoformat(),
        "archive": {
            "lag_seconds": 12.4,
            "last_archived_at": (AS_OF - timedelta(seconds=12)).isoformat(),
            "problems": [],
        },
        "newest_proven": {
            "day": today.isoformat(),
            "covers_to": newest["covers_to"],
            "proven_at": newest["proven_at"],
        },
        "call_today": {"day": today.isoformat(), "state": "done", "detail": ""},
        "days": [
            {
                "day": (today - timedelta(days=ago)).isoformat(),
                "capsules": [capsule(today - timedelta(days=ago))],
                "call": "done",
            }
            for ago in range(30)
        ],
        "last_drill": {
            "at": (AS_OF - timedelta(days=12)).isoformat(),
            "ok": True,
            "seconds": 192.0,
            "detail": "20 orders were back",
        },
        "last_comparison": {
            "at": (AS_OF - timedelta(hours=6, minutes=20)).isoformat(),
            "seconds": 1.5,
            "orders": 12_345,
            "reservations": 12_300,
            "open_orders": 2,
            "violations": 0,
            "for_people": 0,
            "decided": 0,
            "found": [],
        },
        "comparison_problem": "",
    } | changes
