"""The warehouse's invariants, checked from the ledger alone. Each query finds violations."""

from dataclasses import dataclass
from typing import Any

from chaos.checker.databases import NOT_CONSERVED


@dataclass(frozen=True, slots=True)
class Invariant:
    """A promise, and the rows that break it."""

    promise: str
    violations: str


INVARIANTS = (
    Invariant(
        "I1: initial + restocked - committed = on hand, and held = reserved",
        NOT_CONSERVED,
    ),
    Invariant(
        "I2: an operation has at most one effect per order and SKU",
        """
        SELECT order_id, sku, operation, count(*) FROM movements WHERE order_id IS NOT NULL
        GROUP BY 1, 2, 3 HAVING count(*) > 1
        """,
    ),
    Invariant(
        "I2: what was reserved is committed or released, not both, as its order's state says",
        """
        SELECT r.order_id, r.state, m.sku, array_agg(m.operation ORDER BY m.movement_id) AS found
        FROM reservations r JOIN movements m USING (order_id) GROUP BY 1, 2, 3
        HAVING array_agg(m.operation ORDER BY m.movement_id) IS DISTINCT FROM CASE r.state
            WHEN 'held' THEN ARRAY['reserve']
            WHEN 'committed' THEN ARRAY['reserve', 'commit']
            WHEN 'released' THEN ARRAY['reserve', 'release']
        END
        """,
    ),
    Invariant(
        "I2: what is held or committed has moved",
        """
        SELECT r.order_id, r.state FROM reservations r
        WHERE r.state IN ('held', 'committed')
          AND NOT EXISTS (SELECT FROM movements m WHERE m.order_id = r.order_id)
        """,
    ),
    Invariant(
        "I3: what is committed or released is as much as was reserved",
        """
        SELECT order_id, sku FROM movements WHERE order_id IS NOT NULL
        GROUP BY 1, 2 HAVING min(quantity) <> max(quantity)
        """,
    ),
    Invariant(
        "I7: nothing is undone or shipped that was not held before",
        """
        SELECT m.* FROM movements m WHERE m.operation IN ('commit', 'release') AND NOT EXISTS (
            SELECT FROM movements r WHERE r.order_id = m.order_id AND r.sku = m.sku
              AND r.operation = 'reserve' AND r.movement_id < m.movement_id)
        """,
    ),
    Invariant(
        "I8: never oversold",
        "SELECT * FROM stock WHERE reserved > on_hand OR reserved < 0 OR on_hand < 0",
    ),
    Invariant(
        "I12: no effect without a request",
        """
        SELECT m.* FROM movements m LEFT JOIN reservations r USING (order_id)
        WHERE m.order_id IS NOT NULL AND r.order_id IS NULL
        """,
    ),
)


async def broken_promises(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the violations of each broken invariant; nothing if all hold."""
    found = {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for invariant in INVARIANTS:
            if rows := await connection.fetch(invariant.violations):
                found[invariant.promise] = [dict(row) for row in rows]
    return found
