"""Lists of stock movements, newest first, at a cost that does not grow with the ledger.

Merged from one sorted list for each operation, which one index serves. A condition of the kind "no
filter, or equal to it" would be planned as if every row were wanted.
"""

from inventory_api.contracts import LedgerEntry
from service_kit.postgres.pool import Connection

_FRONT = 2**63 - 1


async def newest(
    connection: Connection, limit: int, before: int | None, sku: str | None, operation: str | None
) -> list[LedgerEntry]:
    """Return up to `limit` movements with a number below `before`, newest first."""
    rows = await connection.fetch(
        MOVEMENTS if sku is None else MOVEMENTS_OF_SKU,
        operation or "",
        _FRONT if before is None else before,
        limit,
        sku or "",
    )
    return [LedgerEntry.model_validate(dict(row)) for row in rows]


# Operation by operation as the ledger has them, one look into the index for each: there may be some
# that this release does not know.
_WANTED = """
WITH RECURSIVE each (operation) AS (
    SELECT min(operation) FROM movements
    UNION ALL
    SELECT (SELECT min(m.operation) FROM movements m WHERE m.operation > each.operation)
    FROM each WHERE each.operation IS NOT NULL
), wanted (operation) AS (
    SELECT $1::text WHERE $1::text <> ''
    UNION ALL
    SELECT operation FROM each WHERE $1::text = '' AND operation IS NOT NULL
)
"""
# Each list is read on beyond its end, and what follows there dropped outside. Asked for equality
# instead, a plan made once for all may walk through the primary key, past a million of others.
_NEWEST = """
SELECT newest.*
FROM wanted CROSS JOIN LATERAL (
    SELECT movement_id, order_id, sku, operation, quantity, restock_key, at FROM movements
    WHERE $4::text = '' AND (operation, movement_id) < (wanted.operation, $2::bigint)
    ORDER BY operation DESC, movement_id DESC LIMIT $3
) newest
WHERE newest.operation = wanted.operation
ORDER BY newest.movement_id DESC LIMIT $3
"""
_NEWEST_OF_SKU = """
SELECT newest.*
FROM wanted CROSS JOIN LATERAL (
    SELECT movement_id, order_id, sku, operation, quantity, restock_key, at FROM movements
    WHERE (sku, operation, movement_id) < ($4::text, wanted.operation, $2::bigint)
    ORDER BY sku DESC, operation DESC, movement_id DESC LIMIT $3
) newest
WHERE newest.sku = $4 AND newest.operation = wanted.operation
ORDER BY newest.movement_id DESC LIMIT $3
"""
MOVEMENTS = f"{_WANTED} {_NEWEST}"
MOVEMENTS_OF_SKU = f"{_WANTED} {_NEWEST_OF_SKU}"
