"""Impatient backups: what is tried again after minutes is tried again after seconds.

A run has minutes for a fortnight of dates. What is done, and in which order, stays as it is.
"""

from datetime import timedelta

from temporalio.common import RetryPolicy

from backup.daily import workflow as released_code

# By the names that they have in the released code.
PATIENCE = {
    # Above what the SDK lets pass between two signs of life.
    "HEARTBEAT": timedelta(seconds=15),
    "PATIENTLY": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=1.5,
        maximum_interval=timedelta(seconds=5),
    ),
    "NEXT_CAPSULE_AFTER": timedelta(seconds=5),
}


def hurry() -> None:
    """Have this process's workflows wait for seconds only."""
    vars(released_code).update(PATIENCE)
