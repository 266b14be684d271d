"""Lists of movements, newest first. Their cost does not grow with the ledger.

Merged from one sorted list for each operation, which one index serves. A condition of the kind "no
filter, or equal to it" would be planned as if every row were wanted.
"""

from typing import get_args

from inventory_api.contracts import LedgerEntry, Operation
from service_kit.pool import Connection

_OPERATIONS: list[str] = list(get_args(Operation))
_FRONT = 2**63 - 1


async def newest(
    connection: Connection, limit: int, before: int | None, sku: str | None, operation: str | None
) -> list[LedgerEntry]:
    """Return up to `limit` movements with a number below `before`, newest first."""
    rows = await connection.fetch(
        MOVEMENTS if sku is None else MOVEMENTS_OF_SKU,
        _OPERATIONS if operation is None else [operation],
        _FRONT if before is None else before,
        limit,
        sku or "",
    )
    return [LedgerEntry.model_validate(dict(row)) for row in rows]


# Each list is read on beyond its end, and what follows there dropped outside. Asked for equality
# instead, a plan made once for all may walk through the primary key, past a million of others.
MOVEMENTS = """
SELECT newest.*
FROM unnest($1::text[]) AS wanted (operation) CROSS JOIN LATERAL (
    SELECT movement_id, order_id, sku, operation, quantity, restock_key, at FROM movements
    WHERE $4::text = '' AND (operation, movement_id) < (wanted.operation, $2::bigint)
    ORDER BY operation DESC, movement_id DESC LIMIT $3
) newest
WHERE newest.operation = wanted.operation
ORDER BY newest.movement_id DESC LIMIT $3
"""
MOVEMENTS_OF_SKU = """
SELECT newest.*
FROM unnest($1::text[]) AS wanted (operation) CROSS JOIN LATERAL (
    SELECT movement_id, order_id, sku, operation, quantity, restock_key, at FROM movements
    WHERE (sku, operation, movement_id) < ($4::text, wanted.operation, $2::bigint)
    ORDER BY sku DESC, operation DESC, movement_id DESC LIMIT $3
) newest
WHERE newest.sku = $4 AND newest.operation = wanted.operation
ORDER BY newest.movement_id DESC LIMIT $3
"""
