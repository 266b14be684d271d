"""A million orders and a million movements later, each list reads a few pages of an index.

Judged by what Postgres reads, never by time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from deploy.local.postgres.connection import connected
from inventory_api import movement_lists
from order_api.db import figures, order_lists, statements
from order_api.db.order_lists import ListQuery, Page
from order_api.search import search_for
from tests.support import million_rows
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.million_rows import BESTSELLER, BULK, FORGOTTEN, MANY, RARE
from tests.support.query_plans import Recorder, assert_quick

BIG = frozenset({"orders", "order_lines", "order_events", "movements"})
# Six lists of a page, some levels of an index, a page of lines for each order.
OF_A_LIST = 1_500
# And 2,000 orders that a search may look at, with their lines.
OF_A_SEARCH = 40_000
LONG_AGO = (datetime.now(UTC) - timedelta(days=8 * 365), UUID(int=0))


@pytest.fixture(scope="module")
def orders_dsn(loop_thread: EventLoopThread, databases: Databases) -> Iterator[str]:
    with databases.fresh("orders") as dsn:
        loop_thread.run(
            million_rows.fill(
                databases.postgres.admin_dsn(dsn.rpartition("/")[2]),
                ["orders", "order_lines", "products"],
                million_rows.ORDERS,
                million_rows.LINES,
                million_rows.PRODUCTS,
            )
        )
        yield dsn


@pytest.fixture(scope="module")
def inventory_dsn(loop_thread: EventLoopThread, databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        loop_thread.run(
            million_rows.fill(
                databases.postgres.admin_dsn(dsn.rpartition("/")[2]),
                ["movements", "stock"],
                million_rows.STOCK,
                million_rows.MOVEMENTS,
            )
        )
        yield dsn


async def looked_up(dsn: str, wanted: ListQuery, search: str | None = None) -> Page:
    """Return the page, having asserted that each of its statements is quick."""
    async with connected(dsn) as connection:
        recorder: Any = Recorder(connection)
        if search is None:
            page = await order_lists.newest(recorder, wanted)
        else:
            page = await order_lists.found(recorder, wanted, search_for(search))
        for query, arguments in recorder.asked:
            await assert_quick(
                connection, query, arguments, BIG, OF_A_LIST if search is None else OF_A_SEARCH
            )
    return page


@pytest.mark.parametrize("before", [None, LONG_AGO], ids=["first page", "far down"])
@pytest.mark.parametrize("status", [None, "failed", "shipped", "received"])
@pytest.mark.parametrize("customer", [None, BULK, "customer 7", "nobody"])
async def test_a_page_of_orders(
    orders_dsn: str, customer: str | None, status: str | None, before: order_lists.Position | None
) -> None:
    page = await looked_up(orders_dsn, ListQuery(customer, status, 20, before))
    if customer is None and status in (None, "shipped"):
        assert len(page.orders) == 20
    if status == "failed" and before is None and customer != "nobody":
        assert page.orders
    assert page.orders == sorted(
        page.orders, key=lambda order: (order.created_at, order.order_id), reverse=True
    )


@pytest.mark.parametrize(
    "search",
    [RARE, "steak", BESTSELLER, "mug", FORGOTTEN, "old hit", "e", "c4ca", "no such thing"],
)
@pytest.mark.parametrize("status", [None, "failed"])
@pytest.mark.parametrize("customer", [None, BULK, "customer 7"])
async def test_a_page_of_a_search(
    orders_dsn: str, customer: str | None, status: str | None, search: str
) -> None:
    page = await looked_up(orders_dsn, ListQuery(customer, status, 20, None), search)
    skus = [line.sku for order in page.orders for line in order.lines]
    if search in (RARE, "steak") and customer is None and status is None:
        assert skus == [RARE] * (MANY // 200_000)
    if search == BESTSELLER and customer in (None, BULK) and status is None:
        assert skus == [BESTSELLER] * 20
    if search in (FORGOTTEN, "old hit") and status is None and customer != "customer 7":
        assert page.next is not None
        assert page.orders == []  # far down: to be found page by page, or with a status
    if search == FORGOTTEN and status == "failed" and customer is None:
        assert skus == [FORGOTTEN] * 20


async def test_a_search_walks_to_the_end_of_its_list(orders_dsn: str) -> None:
    """Every failed order, and each once; the list is longer than a walk with these numbers."""
    connection: Any = await asyncpg.connect(orders_dsn)
    before, seen = None, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_lists, "MAX_SCANNED", 30)
        while True:
            wanted = ListQuery(None, "failed", 20, before)
            page = await order_lists.found(connection, wanted, search_for(FORGOTTEN))
            seen += [order.order_id for order in page.orders]
            if page.next is None:
                break
            before = page.next
    truth = await connection.fetch(
        "SELECT order_id FROM orders JOIN order_lines USING (order_id)"
        " WHERE status = 'failed' AND sku = $1 ORDER BY created_at DESC, order_id DESC",
        FORGOTTEN,
    )
    await connection.close()
    assert seen == [row["order_id"] for row in truth]


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        (figures.RECENT, [300.0, 10.0]),
        (figures.UNSETTLED, [120.0]),
        (statements.BACKLOG, [120.0]),
        (statements.CLAIM_DUE, [48, 15.0]),
        (statements.BY_IDS, [[UUID(int=1)]]),
        (statements.EVENTS, [UUID(int=1), 0]),
        (statements.PRODUCTS, [None, None, "%mug%", 100]),
    ],
)
async def test_what_else_is_read_of_orders(
    orders_dsn: str, query: str, arguments: list[Any]
) -> None:
    async with connected(orders_dsn) as connection:
        await assert_quick(connection, query, arguments, BIG - {"order_events"}, OF_A_LIST)


@pytest.mark.parametrize("before", [None, MANY // 2])
@pytest.mark.parametrize("operation", [None, "restock", "reserve", "release", "initial"])
@pytest.mark.parametrize("sku", [None, BESTSELLER, RARE, "NO-SUCH"])
async def test_a_page_of_movements(
    inventory_dsn: str, sku: str | None, operation: str | None, before: int | None
) -> None:
    async with connected(inventory_dsn) as connection:
        recorder: Any = Recorder(connection)
        page = await movement_lists.newest(recorder, 50, before, sku, operation)
        for query, arguments in recorder.asked:
            await assert_quick(connection, query, arguments, BIG, OF_A_LIST)
        if sku in (None, BESTSELLER) and operation in (None, "reserve"):
            assert len(page) == 50
        if operation == "restock" and sku is None and before is None:
            assert len(page) == 10
