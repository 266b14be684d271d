"""The nightly comparison of a real stack: begun by its Schedule, and told by its process."""

from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from backup.contracts import ComparisonState, Trail
from backup.nightly import schedule
from deploy.local.ports import LOOPBACK
from deploy.local.services import BACKUP
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack
from inventory_api.contracts import Line
from service_kit.temporal import DATA_CONVERTER
from tests.support.command_line import CommandLine
from tests.support.order_stack import eventually
from tests.support.serving import PATIENT, serve_inventory
from tests.support.trail.agreement import contents
from tests.support.trail.sagas_by_hand import by_hand

WITHIN_S = 120.0
ONLY = frozenset({POSTGRES, TEMPORAL, BACKUP})

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


async def answer(stack: Stack, path: str) -> str:
    headers = {"Authorization": f"Bearer {stack.token('somebody', 'staff')}"}
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        return (await client.get(f"{stack.url(BACKUP)}{path}", headers=headers)).text


async def ship_for_nobody(stack: Stack) -> None:
    """Have goods leave for an order that there is not: a person has to decide about it."""
    addresses = stack.postgres.dsn("orders"), stack.postgres.dsn("inventory")
    with serve_inventory(addresses[1], **PATIENT) as inventory:
        async with by_hand(addresses[0], inventory.url) as hands:
            nobodys = uuid4()
            await hands.warehouse.reserve(nobodys, [Line(sku="MUG-BLUE", quantity=1)])
            assert await hands.warehouse.commit(nobodys) == "committed"


async def compared(stack: Stack) -> ComparisonState:
    """Let the Schedule begin a comparison, and return what the process tells of it."""
    address = f"{LOOPBACK}:{stack.settings.ports.temporal}"
    client = await Client.connect(address, data_converter=DATA_CONVERTER)
    handle = client.get_schedule_handle(schedule.SCHEDULE_ID)

    async def there() -> bool:
        return schedule.SCHEDULE_ID in {each.id async for each in await client.list_schedules()}

    await eventually(there, WITHIN_S)
    await handle.trigger()

    async def told() -> ComparisonState | None:
        return Trail.model_validate_json(await answer(stack, "/v1/trail")).last_comparison

    found = await eventually(told, WITHIN_S)
    assert found is not None
    return found


async def test_a_stack_compares_by_itself_and_tells(tmp_path: Path) -> None:
    settings = StackSettings(
        home=tmp_path / "home", backup_home=tmp_path / "trail", ports=Ports.free(), only=ONLY
    )
    async with Stack(settings) as stack:
        await ship_for_nobody(stack)
        addresses = stack.postgres.dsn("orders"), stack.postgres.dsn("inventory")
        before = await contents(*addresses)
        found = await compared(stack)
        assert (found.orders, found.reservations) == (0, 1)
        assert (found.violations, found.for_people) == (0, 1)
        assert await contents(*addresses) == before

        page = await answer(stack, "/metrics")
        assert "backup_reconcile_violations 0.0" in page
        assert "backup_reconcile_for_people 1.0" in page
        assert 'backup_last_success_timestamp_seconds{step="reconcile"}' in page
        code, said = await CommandLine(settings.home, backups=True).run("backup", "list")
        assert code == 0, said
        assert "0 violations, 1 for people" in said
