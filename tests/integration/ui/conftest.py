"""What the pages stand in front of: an order path with a worker; and somebody who looks at them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.order_stack import OrderStack
from tests.support.serving import Served
from tests.support.ui_client import UiClient, ui_client, ui_settings


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    """What is answered counts here, not when; the pages themselves wait six seconds for it."""
    return {"patient": True, "answer_budget_s": 5.0, "relay_after_s": 10.0}


@pytest.fixture(scope="module")
def served_orders(working_stack: OrderStack) -> Served:
    return working_stack.orders


@pytest.fixture(scope="module")
def served_inventory(working_stack: OrderStack) -> Served:
    return working_stack.inventory


@pytest.fixture(scope="module")
def orders_dsn(working_stack: OrderStack) -> str:
    return working_stack.orders_dsn


@pytest.fixture
async def alice(
    served_orders: Served, served_inventory: Served, tmp_path: Path
) -> AsyncIterator[UiClient]:
    async with ui_client(ui_settings(served_orders, served_inventory, tmp_path)) as visitor:
        yield visitor
