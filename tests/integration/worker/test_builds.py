"""Two builds of the worker side by side: each order ends on the one that it began on."""

import asyncio
from contextlib import ExitStack
from uuid import UUID

import pytest
from temporalio.client import Client

from deploy.builds import Builds, BuildsError
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.serving import serve_worker
from workflows.contracts import workflow_id

DEPLOYMENT = "valerix-orders"
WITHIN_S = 60.0


@pytest.fixture
async def builds(temporal_client: Client) -> Builds:
    return Builds(temporal_client, DEPLOYMENT)


async def workers_of(client: Client, order_id: str) -> set[str]:
    """Return the builds that have worked on an order, by its history."""
    history = await client.get_workflow_handle(workflow_id(UUID(order_id))).fetch_history()
    return {
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        for event in history.events
        if event.HasField("workflow_task_completed_event_attributes")
    }


async def test_an_order_ends_on_the_build_that_it_began_on(
    order_stack: OrderStack, shopper: Shopper, temporal_client: Client, builds: Builds
) -> None:
    dsn, inventory = order_stack.orders_dsn, order_stack.inventory_url
    assert await builds.all() == []
    with serve_worker(dsn, inventory, build_id="one"), ExitStack() as second:
        await builds.promote("one", 100, within_s=WITHIN_S)
        first = await shopper.shipped()
        with order_stack.shut(order_stack.to_inventory):
            begun = (await shopper.place_stubbornly()).json()["order_id"]
            await eventually(lambda: workers_of(temporal_client, begun))
            second.enter_context(serve_worker(dsn, inventory, build_id="two"))
            await builds.promote("two", 100, within_s=WITHIN_S)
            later = (await shopper.place_stubbornly()).json()["order_id"]
            await eventually(lambda: workers_of(temporal_client, later))
            with pytest.raises(BuildsError, match="still orders on build one"):
                await builds.drained("one", within_s=0.0, say=lambda _: None)
        for order_id in (begun, later):
            assert (await shopper.until_settled(order_id))["status"] == "shipped"
        assert await workers_of(temporal_client, first) == {"one"}
        assert await workers_of(temporal_client, begun) == {"one"}
        assert await workers_of(temporal_client, later) == {"two"}
        statuses = {build.build_id: build.status for build in await builds.all()}
        assert statuses["two"] == "current"
        assert statuses["one"] in ("draining", "drained")
        with pytest.raises(BuildsError, match="gets new orders"):
            await builds.drained("two", within_s=0.0, say=lambda _: None)


async def test_a_build_that_nobody_runs_gets_no_orders(
    order_stack: OrderStack, shopper: Shopper, builds: Builds
) -> None:
    with serve_worker(order_stack.orders_dsn, order_stack.inventory_url, build_id="three"):
        await builds.promote("three", 100, within_s=WITHIN_S)
        with pytest.raises(BuildsError, match="no worker with WORKER_BUILD_ID=four"):
            await builds.promote("four", 100, within_s=0.0)
        with pytest.raises(BuildsError, match="knows no build four"):
            await builds.drained("four", within_s=0.0, say=lambda _: None)
        await shopper.shipped()


async def test_a_new_build_can_get_a_share_of_the_new_orders(
    order_stack: OrderStack, shopper: Shopper, temporal_client: Client, builds: Builds
) -> None:
    dsn, inventory = order_stack.orders_dsn, order_stack.inventory_url
    with (
        serve_worker(dsn, inventory, build_id="five"),
        serve_worker(dsn, inventory, build_id="six"),
    ):
        await builds.promote("five", 100, within_s=WITHIN_S)
        await builds.promote("six", 50, within_s=WITHIN_S)
        orders = await asyncio.gather(*(shopper.shipped() for _ in range(30)))
        worked = [await workers_of(temporal_client, order_id) for order_id in orders]
        assert sorted({*map(tuple, worked)}) == [("five",), ("six",)]
        assert [build.percent for build in await builds.all() if build.build_id == "six"] == [50]
