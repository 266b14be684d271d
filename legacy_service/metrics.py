"""Prometheus metrics of legacy_service."""

from prometheus_client import Counter

CALLS = Counter(
    "legacy_service_calls",
    "Calls that came, by what became of them; the first of a UTC date is the one that may be kept.",
    ["answer"],
)
for _answer in ("kept", "second", "other_date", "bad_digest", "broken_off", "no_room"):
    CALLS.labels(_answer)  # shown from the start, or the first one is no increase
