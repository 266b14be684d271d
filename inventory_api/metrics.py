"""Prometheus metrics of inventory_api."""

from prometheus_client import Counter

EFFECTS = Counter(
    "inventory_effects",
    "Verdicts given by the warehouse; replayed ones repeat an earlier answer.",
    ["operation", "replayed"],
)
