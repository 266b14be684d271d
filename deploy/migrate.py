"""Bring the databases to this release's schema; run it before the release's services.

    ORDERS_DATABASE_URL=… INVENTORY_DATABASE_URL=… python -m deploy.migrate [--seed]

Safe to run twice, side by side, and beside running services: it gives way to whoever uses a table
and says so on stderr; exit code 1 says what to do when that took too long. BACKUP_DATABASE_URL, if
it is there, is brought up to date, too. `--seed` also puts the demonstration shop in, and so does
SEED=true or ENVIRONMENT=local; SEED=false keeps it out.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

import backup
import inventory_api
import order_api
from inventory_api import seed as inventory_seed
from order_api.db import seed as order_seed
from order_api.db.restored import adopt_restored_events
from service_kit.postgres.migration_files import MigrationError
from service_kit.postgres.migrations import migrate
from service_kit.process.settings import load


class MigrateSettings(BaseSettings):
    """Addresses of the databases, with the roles that own them, and whether to fill them."""

    # compose gives an empty value to what nobody has set
    model_config = SettingsConfigDict(env_ignore_empty=True)

    orders_database_url: SecretStr
    inventory_database_url: SecretStr
    # Where there are backups: the claims of legacy calls.
    backup_database_url: SecretStr | None = None
    environment: Literal["local", "production"] = "production"
    seed: bool | None = None

    def wants_seed(self) -> bool:
        """Tell whether the demonstration shop is to be put in: only where somebody asked for it."""
        return self.environment == "local" if self.seed is None else self.seed

    def databases(self) -> Iterator[tuple[ModuleType, str]]:
        """Give each package that owns a database, and the address of that."""
        yield order_api, self.orders_database_url.get_secret_value()
        yield inventory_api, self.inventory_database_url.get_secret_value()
        if self.backup_database_url is not None:
            yield backup, self.backup_database_url.get_secret_value()


async def migrate_databases(settings: MigrateSettings, *, seed: bool) -> None:
    """Migrate, and seed if asked to."""
    shops = {order_api: order_seed, inventory_api: inventory_seed}
    for package, dsn in settings.databases():
        folder = Path(package.__path__[0]) / "migrations"
        version = await migrate(dsn, folder)
        print(f"{package.__name__}: schema at version {version}")
        if package is order_api:
            await adopt_restored_events(dsn)
        if seed and package in shops:
            await shops[package].seed(dsn)
            print(f"{package.__name__}: demonstration data is in")


def run(*, seed: bool) -> None:
    """Do it, with the addresses of the environment; exit with 1 if that took too long."""
    settings = load(MigrateSettings)
    try:
        asyncio.run(migrate_databases(settings, seed=seed or settings.wants_seed()))
    except MigrationError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description="Bring the databases up to date.")
    parser.add_argument("--seed", action="store_true", help="put the demonstration shop in, too")
    run(seed=parser.parse_args().seed)


if __name__ == "__main__":
    main()
