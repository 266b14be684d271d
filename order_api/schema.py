"""Where the schema of the orders database is, and which tables the order service needs of it."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
TABLES = ("products", "orders", "order_lines", "order_events")
