"""A stack whose home is lost under load, and what its clients know about every order they sent."""

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import psutil

from backup.trail_folder import TrailFolder
from tests.support.command_line import CommandLine, looking_at
from tests.support.database_checks import until
from tests.support.load import OrderAnswer
from tests.support.processes import wait_until_gone
from tests.support.system_under_test import SystemUnderTest

LINES = {"MUG-BLUE": 1, "SOCKS-WOOL": 2}
FIRST_DELIVERY = 100_000
WITHIN_S = 120.0
_AT_ONCE = 16
_ALL = "SELECT customer, idempotency_key AS key, order_id::text, status FROM orders"
_UP_TO = re.compile(r"everything committed up to (\S+ \S+) UTC")

# Customer and key: what an order is known by, whatever became of it.
Sent = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one loss of the volume has cost, as the clients count it."""

    # From the last moment up to which nothing is missing to the last acknowledgement.
    seconds: float
    orders: int
    restored_in_s: float


class LosableShop:
    """`valerix up` with backups, its clients, and their history over all its lives."""

    def __init__(self, valerix: CommandLine, session: aiohttp.ClientSession) -> None:
        self.valerix = valerix
        self.trail = TrailFolder(valerix.home.folder.with_name("home-backup"))
        self.sent: set[Sent] = set()
        # The order, and when a client last knew that it was committed.
        self.acknowledged: dict[Sent, tuple[str, float]] = {}
        self.system: SystemUnderTest
        self._session = session
        self._opened_at: float

    async def open(self) -> None:
        """Start it, also after a restore: then its addresses' passwords and token key are new."""
        await self.valerix.up()
        self._opened_at = time.time()
        self.system = SystemUnderTest(looking_at(self.valerix), self._session)

    async def has_a_base_backup(self) -> None:
        """Wait for the one that the backup process takes by itself."""

        async def there() -> bool:
            return any(self.trail.clusters.glob("*/bases/[!.]*/base.json"))

        await until(there, WITHIN_S, "the first base backup")

    async def order(self, customer: str, per_second: float, count: int) -> None:
        """Send orders at an even pace, each once, whatever becomes of it."""
        self.sent |= {(customer, str(number)) for number in range(1, count + 1)}
        self._note(await self.system.stream(per_second, count, LINES, customer))

    async def answers(self, count: int) -> None:
        """Wait until clients have so many answers, of this life."""

        async def there() -> bool:
            return len(self.system.answers) >= count

        await until(there, WITHIN_S, f"{count} answers")

    async def lose_everything(self) -> None:
        """Kill every process at once, and delete the home: databases, Temporal, keys, logs."""
        up = self.valerix.running[-1]
        supervisor = psutil.Process(up.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # a death may take others along
                process.kill()
        await up.wait()
        await wait_until_gone([process.pid for process in family])
        shutil.rmtree(self.valerix.home.folder)

    async def restore(self) -> Loss:
        """Bring it back from the archive by command, open it, and count what is missing."""
        began = time.monotonic()
        code, said = await self.valerix.run("restore", "--from", "archive")
        took_s = time.monotonic() - began
        assert code == 0, said
        assert "Violations left: 0." in said
        told = _UP_TO.search(said)
        assert told is not None, said
        up_to = datetime.fromisoformat(told.group(1)).replace(tzinfo=UTC).timestamp()
        opened_at = self._opened_at
        await self.open()
        lost = await self._lost()
        # What the command says is back is back, to the second that it says.
        assert all(at > up_to for at in lost.values())
        moments = [at for _, at in self.acknowledged.values()]
        first_lost = min(lost.values(), default=float("inf"))
        whole_until = max(at for at in moments if at < first_lost)
        if first_lost > opened_at:  # nobody could have ordered while it was closed before that
            whole_until = max(whole_until, opened_at)
        return Loss(max(moments) - whole_until, len(lost), took_s)

    async def send_again(self) -> None:
        """Send what is lost or was never answered again under its key."""
        missing = {*await self._lost(), *(self.sent - self.acknowledged.keys())}
        few = asyncio.Semaphore(_AT_ONCE)

        async def again(customer: str, key: str) -> OrderAnswer:
            async with few:
                return await self.system.place_stubbornly(LINES, customer, key)

        self._note(await asyncio.gather(*(again(*each) for each in missing)))

    async def assert_each_is_one_order(self) -> None:
        """Wait until all orders have ended; check that each key has one, shipped once."""
        orders = {sent: order_id for sent, (order_id, _) in self.acknowledged.items()}
        assert orders.keys() == self.sent
        await until(self._all_ended, WITHIN_S, "all orders settled", every_s=0.2)
        rows = await self.system.sql("orders", _ALL)
        assert {(row["customer"], row["key"]): row["order_id"] for row in rows} == orders
        assert len(rows) == len(orders)
        assert {row["status"] for row in rows} == {"shipped"}
        await self.system.assert_moved_once(orders.values(), LINES)
        await self.system.assert_stock_balances()
        left = [(FIRST_DELIVERY - quantity * len(orders), 0) for quantity in LINES.values()]
        assert [await self.system.stock(sku) for sku in LINES] == left
        code, said = await self.valerix.run("reconcile")
        assert (code, "Violations left: 0." in said) == (0, True), said

    def _note(self, answers: Collection[OrderAnswer]) -> None:
        for answer in answers:
            if answer.status in (200, 201, 202):
                sent = (answer.customer, answer.key)
                known = self.acknowledged.get(sent)
                # The same order as before, also where nobody but the client knew of it.
                assert known is None or known[0] == answer.order_id
                self.acknowledged[sent] = (answer.order_id, answer.at)

    async def _lost(self) -> dict[Sent, float]:
        """Return what was acknowledged and is not there, and when it was."""
        there = await self.system.statuses([order_id for order_id, _ in self.acknowledged.values()])
        return {
            sent: at for sent, (order_id, at) in self.acknowledged.items() if order_id not in there
        }

    async def _all_ended(self) -> bool:
        open_ones = "SELECT count(*) FROM orders WHERE status IN ('received', 'reserved')"
        [row] = await self.system.sql("orders", open_ones)
        return not row["count"]
