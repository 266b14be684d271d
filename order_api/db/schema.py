"""Location of the orders database's migrations, and the tables that order_api needs."""

from pathlib import Path

MIGRATIONS = Path(__file__).parents[1] / "migrations"
TABLES = ("products", "orders", "order_lines", "order_events")
