"""Bring both databases to this release's schema; run it before the release's services.

    ORDERS_DATABASE_URL=… INVENTORY_DATABASE_URL=… python -m deploy.migrate [--seed]

Safe to run twice, side by side, and beside running services: it gives way to whoever uses a table
and says so on stderr; exit code 1 says what to do when that took too long. `--seed` also puts the
demonstration shop in.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

import inventory_api
import order_api
from inventory_api import seed as inventory_seed
from order_api.db import seed as order_seed
from order_api.db.restored import adopt_restored_events
from service_kit.postgres.migration_files import MigrationError
from service_kit.postgres.migrations import migrate
from service_kit.process.settings import load


class MigrateSettings(BaseSettings):
    """Addresses of the two databases, with the roles that own them."""

    orders_database_url: SecretStr
    inventory_database_url: SecretStr


async def migrate_databases(settings: MigrateSettings, *, seed: bool) -> None:
    """Migrate, and seed if asked to."""
    for package, dsn, shop in (
        (order_api, settings.orders_database_url, order_seed),
        (inventory_api, settings.inventory_database_url, inventory_seed),
    ):
        folder = Path(package.__path__[0]) / "migrations"
        version = await migrate(dsn.get_secret_value(), folder)
        print(f"{package.__name__}: schema at version {version}")
        if package is order_api:
            await adopt_restored_events(dsn.get_secret_value())
        if seed:
            await shop.seed(dsn.get_secret_value())
            print(f"{package.__name__}: demonstration data is in")


def run(*, seed: bool) -> None:
    """Do it, with the addresses of the environment; exit with 1 if that took too long."""
    try:
        asyncio.run(migrate_databases(load(MigrateSettings), seed=seed))
    except MigrationError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description="Bring both databases up to date.")
    parser.add_argument("--seed", action="store_true", help="put the demonstration shop in, too")
    run(seed=parser.parse_args().seed)


if __name__ == "__main__":
    main()
