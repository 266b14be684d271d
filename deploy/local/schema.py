"""Schema of the local databases: brought to this checkout's, with the demonstration shop in."""

import asyncio
from collections.abc import Callable

from deploy.local.errors import StartRefused
from deploy.local.settings import PROJECT

# database -> the package that owns it
_OWNERS = {"orders": "order_api", "inventory": "inventory_api", "backup": "backup"}


async def migrate_and_seed(dsn: Callable[[str], str]) -> None:
    """Migrate and seed; every step can be repeated. `dsn` gives a database's address."""
    async with asyncio.TaskGroup() as group:
        for database, owner in _OWNERS.items():
            group.create_task(_one(dsn(database), owner))


async def _one(dsn: str, owner: str) -> None:
    from service_kit.postgres.migration_files import MigrationError
    from service_kit.postgres.migrations import migrate

    try:
        await migrate(dsn, PROJECT / owner / "migrations")
    except MigrationError as error:
        raise StartRefused(
            problem=f"the database of {owner} does not fit this program: {error}",
            kept="the data is untouched; everything that had started is stopped again",
            remedy="start the program that the message names, or another VALERIX_HOME",
        ) from error
    if owner == "order_api":
        from order_api.db.restored import adopt_restored_events
        from order_api.db.seed import seed

        await adopt_restored_events(dsn)
        await seed(dsn)
    elif owner == "inventory_api":
        from inventory_api.seed import seed as seed_stock

        await seed_stock(dsn)
