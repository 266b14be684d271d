"""Names and messages of the nightly comparison of orders and inventory.

Members may be added with defaults and are never removed: histories and files outlive releases.
"""

from datetime import datetime, timedelta

from backup.daily.contracts import Message

NIGHTLY_RECONCILE = "NightlyReconcile"
COMPARE = "compare_databases"

# The type of a failure; the text says the rest.
NOT_COMPARED = "NotCompared"

# What is newer may be on its way; what still disagrees after as long again is not.
ON_ITS_WAY = timedelta(minutes=15)


class Look(Message):
    """One look at all orders.

    A disagreement is kept by the last look of a night alone: before that, it may be on its way.
    """

    is_last: bool = False


class Comparison(Message):
    """What a look has found, and changed nothing of.

    `violations` is what disagrees: that which `valerix reconcile` would repair, and inventory
    against its own ledger. `for_people` have to be decided by a person, `decided` were. `found`
    are sentences about the violations.
    """

    at: datetime
    seconds: float
    orders: int
    reservations: int
    open_orders: int
    violations: int
    for_people: int
    decided: int
    found: tuple[str, ...] = ()
