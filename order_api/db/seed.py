"""Catalogue of the demonstration shop; running it again changes nothing that is there."""

from service_kit.postgres.connection import connect

_EUR = "EUR"

# SKU, name, description, price in minor units. The warehouse's seed has the same SKUs.
PRODUCTS: tuple[tuple[str, str, str, int], ...] = (
    ("MUG-BLUE", "Blue mug", "Stoneware, 350 ml, glazed by hand.", 1490),
    ("MUG-SAND", "Sand mug", "Stoneware, 350 ml, matt outside.", 1490),
    ("TEE-BASIC", "Basic tee", "Organic cotton, cut straight.", 1990),
    ("TOTE-CANVAS", "Canvas tote", "Holds a week's reading.", 1290),
    ("LAMP-DESK", "Desk lamp", "Warm light, one moving joint.", 5900),
    ("NOTEBOOK-A5", "Notebook A5", "160 dotted pages that lie flat.", 990),
    ("KETTLE-STEEL", "Steel kettle", "1 litre, whistles in tune.", 4490),
    ("SOCKS-WOOL", "Wool socks", "Two pairs, one opinion: warm.", 1690),
    ("POSTER-CITY", "City poster", "Screen print, 50 by 70 cm, numbered.", 3400),
    ("4006381333931", "Fine pen", "Black, 0.4 mm. Sold under its barcode.", 290),
    ("LAST-ONE", "The last ones", "A small edition. When they are gone, they are gone.", 7900),
)

_INSERT = """
INSERT INTO products (sku, name, description, unit_price_minor, currency, image_url)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sku) DO NOTHING
"""


async def seed(dsn: str) -> None:
    """Put the demonstration products into the orders database at `dsn`."""
    connection = await connect(dsn, 10.0)
    try:
        await connection.executemany(
            _INSERT,
            [
                (sku, name, description, price, _EUR, f"/pictures/{sku.lower()}.svg")
                for sku, name, description, price in PRODUCTS
            ],
        )
    finally:
        await connection.close()
