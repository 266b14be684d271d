"""Initial stock of the demonstration shop; running it again never resets a level."""

from collections.abc import Mapping

from service_kit.postgres.connection import connect

# Pieces per SKU; the order service's seed sells the same SKUs.
FIRST_DELIVERY: Mapping[str, int] = {
    "MUG-BLUE": 100_000,
    "MUG-SAND": 100_000,
    "TEE-BASIC": 100_000,
    "TOTE-CANVAS": 100_000,
    "LAMP-DESK": 50_000,
    "NOTEBOOK-A5": 100_000,
    "KETTLE-STEEL": 50_000,
    "SOCKS-WOOL": 100_000,
    "POSTER-CITY": 5_000,
    "4006381333931": 100_000,
    "LAST-ONE": 50,
}

_INSERT = """
WITH fresh AS (
    INSERT INTO stock (sku, on_hand)
    SELECT sku, quantity FROM unnest($1::text[], $2::bigint[]) AS delivery (sku, quantity)
    ON CONFLICT (sku) DO NOTHING RETURNING sku, on_hand
)
INSERT INTO movements (sku, operation, quantity) SELECT sku, 'initial', on_hand FROM fresh
"""


async def seed(dsn: str, delivery: Mapping[str, int] = FIRST_DELIVERY) -> None:
    """Put `delivery` (pieces per SKU) on the shelves at `dsn`, except for SKUs already there."""
    connection = await connect(dsn, 10.0)
    try:
        await connection.execute(_INSERT, list(delivery), list(delivery.values()))
    finally:
        await connection.close()
