"""Batches of SKUs that fit into a request's address."""

from collections.abc import Collection

BATCH_SIZE = 100


def batches(skus: Collection[str]) -> list[list[str]]:
    """Return the SKUs in parts that fit into a request's address."""
    ordered = sorted(skus)
    return [ordered[n : n + BATCH_SIZE] for n in range(0, len(ordered), BATCH_SIZE)]
