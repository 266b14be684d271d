"""What is said of an order that the database did not confirm: "not stored" only if that is certain.

Temporal is away; nothing here waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from deploy.local.ports import free_port
from deploy.local.postgres.server import EmbeddedPostgres
from order_api.contracts import order_id_for
from order_api.db.schema import MIGRATIONS
from order_api.db.seed import seed
from service_kit.postgres.migrations import migrate
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper, eventually, serve_order_stack
from tests.support.serving import Served, serve_orders


@pytest.fixture(scope="module", autouse=True)
def no_temporal() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
        yield


def assert_unknown(answer: httpx.Response, shopper: Shopper, key: str) -> None:
    """The client is told that nobody knows, which order it would be, and what to do."""
    assert answer.status_code == 503, answer.text
    problem = answer.json()
    assert problem["type"].endswith("/outcome-unknown")
    assert problem["order_id"] == str(order_id_for(shopper.name, key))
    assert "same Idempotency-Key" in problem["advice"]
    assert int(answer.headers["Retry-After"]) > 0


async def answer_other_than(slug: str, shopper: Shopper, key: str) -> httpx.Response:
    """Place the order until the answer is no 503 of this kind (of any, without one).

    It may be owed to a machine that stood still, and not to what a test has done to the database.
    """

    async def told() -> httpx.Response | None:
        answer = await shopper.place(key=key)
        other = answer.status_code != 503 or not answer.json()["type"].endswith(slug)
        return answer if other else None

    answer = await eventually(told)
    assert answer is not None
    return answer


async def taken(shopper: Shopper, key: str) -> httpx.Response:
    """Place the order until the database has taken it, or knows it."""
    answer = await answer_other_than("", shopper, key)
    assert answer.status_code == 202, answer.text
    return answer


async def test_an_order_whose_database_is_silent_is_in_doubt_and_its_key_settles_it(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    await taken(shopper, "warm-up")
    with order_stack.shut(order_stack.to_database):
        assert_unknown(await shopper.place(key="stalled"), shopper, "stalled")
    again = await taken(shopper, "stalled")
    assert again.json()["order_id"] == str(order_id_for(shopper.name, "stalled"))


async def test_nothing_is_said_to_be_missing_while_nobody_can_look(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    """It may have been stored before: this request cannot know."""
    await taken(shopper, "stored-before")
    with order_stack.shut(order_stack.to_database):
        assert_unknown(await shopper.place(key="stored-before"), shopper, "stored-before")


RAISING = """
CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$;
CREATE TRIGGER closed BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION closed();
"""
# how to have the orders database say no to every new order, and nothing else; and how to end it
REFUSALS = {
    "constraint": (
        "ALTER TABLE orders ADD CONSTRAINT closed CHECK (false) NOT VALID",
        "ALTER TABLE orders DROP CONSTRAINT closed",
    ),
    "trigger": (RAISING, "DROP FUNCTION closed CASCADE"),
}


@asynccontextmanager
async def as_owner(dsn: str, begin: str, end: str) -> AsyncIterator[None]:
    """Have `begin` be so meanwhile."""
    owner = await asyncpg.connect(dsn)
    await owner.execute(begin)
    try:
        yield
    finally:
        await owner.execute(end)
        await owner.close()


@pytest.mark.parametrize("how", REFUSALS)
async def test_a_database_that_says_no_is_believed_and_a_known_order_is_found_all_the_same(
    order_stack: OrderStack, shopper: Shopper, how: str
) -> None:
    known = await taken(shopper, "known")
    async with as_owner(order_stack.orders_dsn, *REFUSALS[how]):
        refused = await answer_other_than("/outcome-unknown", shopper, "new")
        assert refused.status_code == 503
        assert refused.json()["type"].endswith("/not-stored")
        assert "order_id" not in refused.json(), "there is no such order"
        again = await taken(shopper, "known")
        assert again.json()["order_id"] == known.json()["order_id"]
    stored = await order_stack.rows(
        "SELECT idempotency_key FROM orders WHERE customer = $1", shopper.name
    )
    assert [row["idempotency_key"] for row in stored] == ["known"]
    await taken(shopper, "new")


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (
            "REVOKE SELECT ON {table} FROM {role}",
            "GRANT SELECT ON {table} TO {role}",
            "does not take this right now.",
        ),
        ("BEGIN; LOCK TABLE {table}", "ROLLBACK", "did not answer in time."),
    ],
)
async def test_only_a_database_that_was_late_is_said_to_have_been_late(
    order_stack: OrderStack, begin: str, end: str, said: str
) -> None:
    async def refuses(served: Served, path: str, detail: str) -> bool:
        async with Shopper(served, "staff") as staff:
            answer = await staff.http.get(path)
        assert answer.status_code == 503, answer.text
        return bool(answer.json()["detail"] == detail)

    of_orders, of_stock = (
        {"table": "orders", "role": "orders"},
        {"table": "stock", "role": "inventory"},
    )
    async with as_owner(order_stack.orders_dsn, begin.format(**of_orders), end.format(**of_orders)):
        # a machine that has stood still may make it late with its no
        await eventually(lambda: refuses(order_stack.orders, "/v1/orders", f"Our database {said}"))
    async with as_owner(
        order_stack.inventory_dsn, begin.format(**of_stock), end.format(**of_stock)
    ):
        late = f"The warehouse's database {said}"
        await eventually(lambda: refuses(order_stack.inventory, "/v1/stock", late))


async def test_a_database_that_takes_no_writes_is_not_said_to_have_been_late(
    databases: Databases, order_stack: OrderStack, shopper: Shopper
) -> None:
    name = urlsplit(order_stack.orders_dsn).path.strip("/")
    read_only = f"ALTER DATABASE {name} SET default_transaction_read_only = on"
    writable = f"ALTER DATABASE {name} RESET default_transaction_read_only"

    async def said() -> bool:
        answer = await shopper.http.get("/v1/orders")
        assert answer.status_code == 503
        return bool(answer.json()["detail"] == "Our database does not take this right now.")

    async with as_owner(databases.postgres.admin_dsn(), read_only, writable):
        await order_stack.rows(SESSIONS, name)
        await eventually(said)  # perhaps of a session just lost first


SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="module")
def order_stack(loop_thread: EventLoopThread, databases: Databases) -> Iterator[OrderStack]:
    with serve_order_stack(loop_thread, databases) as served:
        yield served


REACHED_WITHIN_S = 3.0


@pytest.fixture(scope="module")
def lonely(
    loop_thread: EventLoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """order_api on a cluster of its own.

    It knows the price, and has longer than for an order to reach the database: or an order might
    not be sent at all on a machine that stands still, and then it is certain that none is stored.
    """
    folder: Path = tmp_path_factory.mktemp("lonely")
    with (
        pytest.MonkeyPatch.context() as patch,
        loop_thread.entered(EmbeddedPostgres(folder, fsync=False)) as postgres,
    ):
        dsn = postgres.dsn("orders")
        loop_thread.run(migrate(dsn, MIGRATIONS))
        loop_thread.run(seed(dsn))
        patch.setattr("order_api.catalogue.MAX_AGE_S", 3600.0)
        patch.setattr("order_api.db.store.STORE_DEADLINE_S", REACHED_WITHIN_S)
        with serve_orders(dsn, f"http://127.0.0.1:{free_port()}") as served:
            served.app.state.postgres = postgres
            yield served


@asynccontextmanager
async def without_its_standby(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    """Have every commit wait for a standby that does not come."""
    admin = await asyncpg.connect(postgres.admin_dsn())

    async def standbys(names: str) -> None:
        await admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await admin.execute("SELECT pg_reload_conf()")

        async def in_force() -> bool:
            return bool(await admin.fetchval("SHOW synchronous_standby_names") == names)

        await eventually(in_force)

    try:
        await standbys("lost")
        yield
    finally:
        await standbys("")
        await admin.close()


async def test_orders_whose_standby_is_lost_are_in_doubt_until_it_is_back(lonely: Served) -> None:
    """The commit is written and only its acknowledgement is missing: the order will be there."""
    keys = [f"doubt-{number}" for number in range(10)]
    async with Shopper(lonely) as shopper:
        await taken(shopper, "warm-up")
        async with without_its_standby(lonely.app.state.postgres):
            for _ in range(2):
                answers = await asyncio.gather(*(shopper.place(key=key) for key in keys))
                for key, answer in zip(keys, answers, strict=True):
                    assert_unknown(answer, shopper, key)
                await asyncio.sleep(REACHED_WITHIN_S)  # until those who write have given up

        async def all_there() -> bool:
            answers = await asyncio.gather(*(shopper.place(key=key) for key in keys))
            return {answer.status_code for answer in answers} == {202}

        await eventually(all_there)

        async def listed() -> list[dict[str, object]]:
            answer = await shopper.http.get("/v1/orders?limit=100")
            found: list[dict[str, object]] = answer.json().get("items", [])
            return found

        assert len(await eventually(listed)) == 1 + len(keys)
