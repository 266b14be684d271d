"""A test's hold on the whole running system: orders in, faults on, and checks of its databases."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import asyncpg
import psutil

from chaos.client.pacing import arrivals
from chaos.client.scheduling_stalls import Stalls, stalled_s
from chaos.injection.rules import FaultRule
from chaos.nemesis.system import system_of
from chaos.target.fault_rules import FaultRules
from deploy.local.services import ORDER
from deploy.local.stack import Stack
from inventory_api.seed import seed
from service_kit.observability.percentile import percentile
from tests.support.database_checks import DatabaseChecks, until
from tests.support.load import Lines, OrderAnswer, post_order

BUDGET_S = 2.0
LATEST_S = BUDGET_S + 0.2
# The shortest limit of the order service for its database, a lock's: no 503 before it is over.
NO_503_BEFORE_S = 0.3
# A guard against a hang: a restart takes its pause and, on a busy machine, many seconds.
READY_WITHIN_S = 120.0


class SystemUnderTest(DatabaseChecks):
    """One running stack, with shelves to order from. Each test takes shelves of its own."""

    def __init__(
        self, stack: Stack, session: aiohttp.ClientSession, figures: list[str] | None = None
    ) -> None:
        super().__init__(stack)
        self.session = session
        self._tokens: dict[tuple[str, str], str] = {}
        self._shelves = (f"E2E-{number:03}" for number in itertools.count(1))
        self._customers = itertools.count(1)
        self.answers: list[OrderAnswer] = []
        self.stalls = Stalls(lambda: stack.processes[ORDER].pid)
        self.figures = [] if figures is None else figures  # printed at the end of the run

    async def list_products(self, count: int = 60) -> None:
        """Put test products into the catalogue, before the first order makes it remembered."""
        await self.sql(
            "orders",
            """INSERT INTO products (sku, name, description, unit_price_minor, currency, image_url)
               SELECT 'E2E-' || to_char(n, 'FM000'), 'Test', '', 100, 'EUR', '/x.svg'
               FROM generate_series(1, $1::int) n""",
            count,
        )

    async def shelf(self, pieces: int = 10_000) -> str:
        """A SKU that no other test has, with so many pieces on hand."""
        sku = next(self._shelves)
        await seed(self.stack.postgres.dsn("inventory"), {sku: pieces})
        return sku

    # --- ordering ------------------------------------------------------------------------

    def token(self, subject: str, role: str = "shopper") -> str:
        """A token for `subject`."""
        if (subject, role) not in self._tokens:
            self._tokens[subject, role] = self.stack.token(subject, role)
        return self._tokens[subject, role]

    def customer(self) -> str:
        """Somebody new."""
        return f"customer-{next(self._customers)}"

    async def place(
        self, lines: Lines, customer: str, key: str = "1", intended: float | None = None
    ) -> OrderAnswer:
        """One order, sent once."""
        answer = await post_order(
            self.session,
            self.stack.url("order_api"),
            self.token(customer),
            (customer, key),
            lines,
            intended,
        )
        self.answers.append(answer)
        return answer

    async def assert_in_time(self, answers: Collection[OrderAnswer]) -> None:
        """Fail if anybody waited longer than promised while the machine let them and us run."""
        await self.stalls.caught_up()
        late = [
            answer
            for answer in answers
            if answer.took_s - stalled_s(self.stalls.seen, answer.at - answer.took_s, answer.at)
            > LATEST_S
        ]
        assert not late, latencies(late)

    async def cancel(self, customer: str, order_id: str) -> tuple[int, str]:
        """Ask to cancel, again after a 503; the answer's status and the order's."""

        async def ask() -> tuple[int, str] | None:
            async with self.session.post(
                f"{self.stack.url('order_api')}/v1/orders/{order_id}/cancel",
                headers={"Authorization": f"Bearer {self.token(customer)}"},
            ) as answer:
                said = answer.status, (await answer.json())["status"]
                return said if answer.status != 503 else None

        found = await until(ask, 30, "an answer to the cancel", every_s=0.2)
        assert found is not None
        return found

    async def kept(self, answers: Iterable[OrderAnswer], lines: Lines) -> list[OrderAnswer]:
        """Return these answers, and for each 503 the one that the same key gets in the end.

        For tests in which the database is there: where it, or the order service, did not run for
        a while, the contract allows a 503, but none at once.
        """
        found = []
        for answer in answers:
            if answer.status != 503:
                found.append(answer)
                continue
            assert answer.took_s > NO_503_BEFORE_S, answer
            found.append(await self.place_stubbornly(lines, answer.customer, answer.key))
        return found

    async def place_stubbornly(
        self, lines: Lines, customer: str, key: str = "1", within_s: float = 30.0
    ) -> OrderAnswer:
        """As a shopper's app does: the same key again until there is an answer to keep."""

        async def ask() -> OrderAnswer | None:
            answer = await self.place(lines, customer, key)
            return answer if answer.status and answer.status != 503 else None

        found = await until(ask, within_s, "an answer about the order", every_s=0.2)
        assert found is not None
        return found

    async def stream(
        self, per_second: float, count: int, lines: Lines, customer: str, key: str = "{}"
    ) -> list[OrderAnswer]:
        """`count` orders at an even pace, whatever becomes of each; keys numbered from 1."""
        async with asyncio.TaskGroup() as group:
            placed = [
                group.create_task(self.place(lines, customer, key.format(number), intended))
                async for number, intended in arrivals(
                    ((number - 1) / per_second, number) for number in range(1, count + 1)
                )
            ]
        return [task.result() for task in placed]

    # --- faults --------------------------------------------------------------------------

    @asynccontextmanager
    async def rule(self, name: str, point: str, fault: str, **more: Any) -> AsyncIterator[str]:
        """A fault rule that is in force in every process inside the block; gives its name."""
        rule = FaultRule.model_validate({"name": name, "point": point, "fault": fault, **more})
        rules = FaultRules(system_of(self.stack))
        await rules.put([rule])
        try:
            yield name
        finally:
            await rules.remove([rule])

    async def fired(self, rule: str) -> list[asyncpg.Record]:
        """The evidence of a rule: every time it fired, in whichever process."""
        query = "SELECT * FROM fault_log WHERE rule = $1 ORDER BY id"
        return await self.sql("inventory", query, rule) + await self.sql("orders", query, rule)


def latencies(answers: Collection[OrderAnswer]) -> str:
    """One line for the report."""
    took = [answer.took_s for answer in answers]
    return (
        f"{len(took)} answers, p50 {percentile(took, 0.5):.3f} s, "
        f"p95 {percentile(took, 0.95):.3f} s, max {max(took):.3f} s, "
        f"by status {dict(Counter(answer.status for answer in answers))}"
    )


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a server with all its children; a stopped parent starts no new ones."""
    server = psutil.Process(pid)
    family = [server]
    try:
        server.suspend()
        family += server.children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was on its way out
                process.suspend()
        yield
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
