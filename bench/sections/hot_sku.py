"""Section `hot`: group commit on one SKU against what one row of Postgres can do by itself."""

import asyncio
import os
import re
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from bench.harness.results import Row, at_least
from bench.harness.stack import Harness, Plan
from deploy.local.ports import LOOPBACK
from inventory_api.contracts import Line
from inventory_api.main import MIGRATIONS
from inventory_api.seed import seed
from inventory_api.stock import Stock
from service_kit.postgres import pool
from service_kit.postgres.migrations import migrate

BAR = 3.0
SKU = "HOT"
DATABASE = "bench_hot"
CALLERS = 512
CLIENTS = (1, 4, 16)  # of pgbench: waiting for one row's lock, more may well be slower
ON_THE_SHELF = 10_000_000

_COUNTER = """
CREATE TABLE counter (id int PRIMARY KEY, value bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO counter VALUES (1, 0)
"""
_UPDATE = "UPDATE counter SET value = value - 1 WHERE id = 1;\n"
_ONE_EFFECT_EACH = """
SELECT count(*) = $2 AND count(DISTINCT order_id) = $2 AND
       sum(quantity) = (SELECT reserved FROM stock WHERE sku = $1)
FROM movements WHERE sku = $1 AND operation = 'reserve'
"""


@asynccontextmanager
async def _database(harness: Harness) -> AsyncIterator[str]:
    """Give the address of a database like inventory's, in the same cluster."""
    postgres = harness.stack.postgres
    admin = await asyncpg.connect(postgres.admin_dsn())
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    dsn = postgres.admin_dsn(DATABASE)
    try:
        await migrate(dsn, MIGRATIONS)
        await seed(dsn, {SKU: ON_THE_SHELF})
        connection = await asyncpg.connect(dsn)
        await connection.execute(_COUNTER)
        await connection.close()
        yield dsn
    finally:
        await admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await admin.close()


async def _pgbench(harness: Harness, dsn: str, clients: int, seconds: float) -> float:
    """Return single-row updates per second, each a transaction."""
    postgres = harness.stack.postgres
    password = dsn.partition("://")[2].partition("@")[0].partition(":")[2]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "update.sql"
        script.write_text(_UPDATE)
        process = await asyncio.create_subprocess_exec(
            str(postgres.binaries.program("pgbench")),
            *("--no-vacuum", "--protocol=prepared", f"--file={script}"),
            *(f"--client={clients}", "--jobs=1", f"--time={max(1, round(seconds))}"),
            *(f"--host={LOOPBACK}", f"--port={postgres.port}", "--username=postgres", DATABASE),
            env={"PATH": os.environ.get("PATH", os.defpath), "PGPASSWORD": password},
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await process.communicate()
    found = re.search(r"tps = ([\d.]+)", answer.decode())
    if process.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench ended with code {process.returncode}")
    return float(found.group(1))


async def _reservations(stock: Stock, seconds: float) -> tuple[int, float]:
    """Return how many orders held the one SKU, each by its own verdict, and their rate."""
    wanted = (Line(sku=SKU, quantity=1),)
    held = 0
    began = time.perf_counter()
    end = began + seconds

    async def one_caller() -> None:
        nonlocal held
        while time.perf_counter() < end:
            verdict = await stock.reserve(uuid.uuid4(), wanted)
            held += verdict.state == "held"

    await asyncio.gather(*(one_caller() for _ in range(CALLERS)))
    return held, held / (time.perf_counter() - began)


async def hot_sku(harness: Harness, plan: Plan) -> list[Row]:
    """Measure both in turn, A B B A, in one database of one cluster."""
    seconds = plan.seconds(8)
    async with _database(harness) as dsn:
        connections = await pool.create(
            dsn, name="bench", size=8, lock_timeout_s=2.0, statement_timeout_s=60.0
        )
        stock = Stock(connections, deadline_s=5.0)
        plan.say("one hot SKU: warming up")
        held, _ = await _reservations(stock, 2.0)
        rows = {clients: await _pgbench(harness, dsn, clients, 2) for clients in CLIENTS}
        clients = max(rows, key=rows.__getitem__)
        plain, grouped = [], []
        for which in ("pgbench", "group commit", "group commit", "pgbench"):
            plan.say(f"one hot SKU: {which}")
            if which == "pgbench":
                plain.append(await _pgbench(harness, dsn, clients, seconds))
            else:
                number, rate = await _reservations(stock, seconds)
                held += number
                grouped.append(rate)
        right = await connections.fetchval(_ONE_EFFECT_EACH, SKU, held, timeout=60)
        await connections.close()
    plain_mean, grouped_mean = sum(plain) / len(plain), sum(grouped) / len(grouped)
    ratio = grouped_mean / plain_mean
    verdict = at_least(BAR, "", ratio)
    if not right:
        verdict["met"] = False
    return plan.report(
        [
            Row("hot", "pgbench, one row", plain_mean, "updates/s", note=f"{clients} clients"),
            Row(
                "hot",
                "reservations of one SKU",
                grouped_mean,
                "orders/s",
                note=f"{CALLERS} callers; "
                + ("one effect per order, ledger adds up" if right else "LEDGER IS WRONG"),
            ),
            Row("hot", "group commit / pgbench", ratio, "", **verdict),
        ]
    )
