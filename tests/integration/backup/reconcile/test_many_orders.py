"""A million orders are compared in minutes, in memory that does not grow with their number."""

import time
from collections.abc import Iterator

import psutil
import pytest

from backup.reconcile.contracts import Rule, Site
from backup.reconcile.run import reconcile
from tests.support.databases import Databases, name_in
from tests.support.event_loop_thread import EventLoopThread
from tests.support.million_rows import fill
from tests.support.serving import PATIENT, serve_inventory, token

WITHIN_S = 150.0
MAX_GROWTH_BYTES = 100 * 1024 * 1024
# The first thousand are unknown to inventory.
ORDERS = """
INSERT INTO orders (order_id, customer, idempotency_key, request_digest, status, total_minor,
                    currency, relay_at)
SELECT md5(n::text)::uuid, 'bulk buyer', n::text, '\\x01', 'shipped', 100, 'EUR', now()
FROM generate_series(1, 1000000) n
"""
LINES = """
INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
SELECT md5(n::text)::uuid, 1, 'MUG-BLUE', 1, 100 FROM generate_series(1, 1000000) n
"""
STOCK = "INSERT INTO stock (sku, on_hand) VALUES ('MUG-BLUE', 1001000)"
RESERVATIONS = """
INSERT INTO reservations (order_id, state, request_digest)
SELECT md5(n::text)::uuid, 'committed', '\\x01' FROM generate_series(1001, 1000000) n
"""
MOVEMENTS = """
INSERT INTO movements (order_id, sku, operation, quantity)
SELECT CASE WHEN n > 1 THEN md5((n / 2 + 1000)::text)::uuid END, 'MUG-BLUE',
       CASE WHEN n = 1 THEN 'initial' WHEN n % 2 = 0 THEN 'reserve' ELSE 'commit' END,
       CASE WHEN n = 1 THEN 2000000 ELSE 1 END
FROM generate_series(1, 1 + 2 * 999000) n
"""


@pytest.fixture
def site(loop_thread: EventLoopThread, databases: Databases) -> Iterator[Site]:
    def admin(dsn: str) -> str:
        return databases.postgres.admin_dsn(name_in(dsn))

    with databases.fresh("orders") as orders, databases.fresh("inventory") as inventory:
        loop_thread.run(fill(admin(orders), ["orders", "order_lines"], ORDERS, LINES))
        loop_thread.run(
            fill(
                admin(inventory),
                ["stock", "reservations", "movements"],
                STOCK,
                RESERVATIONS,
                MOVEMENTS,
            )
        )
        with serve_inventory(inventory, **PATIENT) as served:
            yield Site(orders, inventory, served.url, token("service", "reconcile"), grace_s=0.0)


@pytest.mark.full
async def test_a_million_orders_are_reconciled_in_minutes_and_little_memory(site: Site) -> None:
    process = psutil.Process()
    before, highest = process.memory_info().rss, 0

    def look(_: str) -> None:
        nonlocal highest
        highest = max(highest, process.memory_info().rss)

    began = time.monotonic()
    report = await reconcile(site, dry_run=False, progress=look)
    took_s = time.monotonic() - began
    assert (report.orders, report.repaired) == (1_000_000, {Rule.SHIP_UNKNOWN: 1000})
    assert (report.violations, report.for_people) == ((), ())
    assert highest - before <= MAX_GROWTH_BYTES
    assert took_s <= WITHIN_S, f"{took_s:.0f} s"
