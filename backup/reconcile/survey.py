"""A look at all orders: how many there are, and which of them the databases disagree about."""

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from activities.contracts import OPEN
from backup.reconcile.books import Books
from backup.reconcile.contracts import Progress, Rule
from backup.reconcile.rules import judge

BATCH = 256
_ID_BYTES = 16
_SAY_EVERY = 100_000


@dataclass
class Survey:
    """Counts, and by rule the ids of the orders it is to be applied to: 16 bytes for each."""

    orders: int = 0
    reservations: int = 0
    open_orders: int = 0
    found: dict[Rule, bytearray] = field(default_factory=dict)

    def add(self, rule: Rule, order_id: UUID) -> None:
        """Keep that `rule` may have to be applied to an order."""
        self.found.setdefault(rule, bytearray()).extend(order_id.bytes)

    def count(self, rule: Rule) -> int:
        """Return to how many orders `rule` may have to be applied."""
        return len(self.found.get(rule, b"")) // _ID_BYTES

    def batches(self, rule: Rule) -> Iterator[list[UUID]]:
        """Yield the ids that were kept for `rule`, up to `BATCH` at a time."""
        ids = self.found.get(rule, bytearray())
        step = BATCH * _ID_BYTES
        for start in range(0, len(ids), step):
            some = bytes(ids[start : start + step])
            yield [UUID(bytes=some[at : at + _ID_BYTES]) for at in range(0, len(some), _ID_BYTES)]


async def survey(books: Books, progress: Progress) -> Survey:
    """Compare all orders, in one pass over both databases."""
    found = Survey()
    async with aclosing(books.every_pair()) as pairs:
        async for order, stock in pairs:
            if stock is not None:
                found.reservations += 1
            if order is not None:
                found.orders += 1
                found.open_orders += order.status in OPEN
                if found.orders % _SAY_EVERY == 0:
                    progress(f"compared {found.orders:,} orders")
            if (rule := judge(order, stock)) is not None:
                side = order or stock
                assert side is not None  # a pair has at least one
                found.add(rule, side.order_id)
    differing = sum(map(found.count, found.found))
    progress(
        f"compared {found.orders:,} orders with {found.reservations:,} reservations: "
        f"{differing:,} may differ, {found.open_orders:,} are open"
    )
    return found
