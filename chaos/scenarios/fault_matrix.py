"""Fault matrix: every way in which the platform promises to survive, by a short name."""

from collections.abc import Mapping

ROWS: Mapping[str, str] = {
    "late": "Answer several seconds late, before or after the commit",
    "killed-before-commit": "Inventory killed before its commit",
    "killed-after-commit": "Inventory killed after its commit, before its answer",
    "error-after-commit": "Error 500 after the commit",
    "corrupted": "Answer corrupted: bad JSON, wrong schema, another order's id",
    "cut": "Connection reset, body cut, slow close",
    "trickle": "Answer trickles in, a byte at a time",
    "black-hole": "Request accepted, never answered",
    "duplicate": "Request delivered 2 to 10 times at once",
    "zombie": "First attempt lands after its retry, or after the release",
    "same-key": "The shopper sends the same key again",
    "order-killed-before-start": "order_api killed after storing the order, before its workflow",
    "order-killed-after-start": "order_api killed after starting the workflow, before its answer",
    "worker-killed": "Worker killed in the middle of an activity, or before reporting it",
    "worker-frozen": "Worker frozen, then continued: two live attempts",
    "new-code": "New workflow code with orders in flight",
    "engine-killed": "Temporal killed and started again",
    "database-restarted": "Postgres restarted at once",
    "locked": "Rows locked by somebody else",
    "partition": "Two parts cannot reach each other",
    "outage": "A whole part is gone for a while",
    "clock": "Clocks an hour off",
    "disk-full": "Disk full",
    "hot-sku": "200 buyers, 50 pieces",
    "retention": "Workflow history gone, same key again",
    "poison": "An order that the workflow code cannot handle",
}
