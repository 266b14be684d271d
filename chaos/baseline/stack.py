"""The naive baseline beside the system: its own warehouse, the same seed, load and faults."""

import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from chaos.baseline.service import Policy
from chaos.checker.collect import read_warehouse
from chaos.checker.observations import Fired
from chaos.client.history import Entry
from chaos.injection.rules import FaultRule
from chaos.nemesis.environment import ProxiedEnvironment
from chaos.nemesis.http_proxy import Evidence
from chaos.scenarios.network_faults import NetworkFault
from chaos.scenarios.workload import PlannedOrder
from chaos.target.fault_rules import put_rules, remove_rules
from deploy.local.ports import free_port
from deploy.local.process.child import ChildSpec
from deploy.local.process.probes import answers_ok
from deploy.local.process.supervisor import SupervisedProcess
from deploy.local.services import INVENTORY, ORDER
from deploy.local.settings import PROJECT, Ports, StackSettings
from deploy.local.stack import POSTGRES, Stack

RESERVATIONS = """
SELECT o.order_id, o.status, r.reservation
FROM naive_orders o LEFT JOIN naive_reservations r USING (number) ORDER BY o.number
"""


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """What became of the naive baseline's orders, by kind; an order can be wrong in one way."""

    policy: str
    orders: int
    kinds: Counter[str]
    examples: dict[str, str]
    first_words: Counter[str]
    fired: int

    @property
    def correct(self) -> int:
        """How many orders ended as they should: what was told is what happened, once."""
        return self.kinds["right"]


class BaselineStack(ProxiedEnvironment):
    """A warehouse and the naive order service before it; processes are named as in the stack."""

    def __init__(self, policy: Policy, *, replicas: int) -> None:
        super().__init__()
        self._policy: Policy = policy
        self._replicas = replicas
        self._evidence = Evidence()
        self.stack: Stack

    async def _start(self) -> None:
        enter = self._exits.enter_async_context
        folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="valerix-naive-"))
        await self._start_proxies(self._evidence)
        self.stack = Stack(
            StackSettings(
                home=Path(folder) / "home",
                ports=Ports.free(),
                inventory_replicas=self._replicas,
                only=frozenset({POSTGRES, INVENTORY}),
            )
        )
        await enter(self.stack)
        port = free_port()
        self.to_orders.upstreams = [port]
        self.to_inventory.upstreams = [
            self.stack.services.ports[name]
            for name in self.stack.processes
            if name.partition("-")[0] == INVENTORY
        ]
        process = SupervisedProcess(self._spec(port), self.stack.state_dir.logs)
        self.stack.processes[ORDER] = process
        await process.start()
        await process.wait_ready()

    def _spec(self, port: int) -> ChildSpec:
        async def ready() -> bool:
            return await answers_ok(port)

        return ChildSpec(
            name=ORDER,
            argv=(sys.executable, "-m", "chaos.baseline.service"),
            ready=ready,
            cwd=PROJECT,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "TOKEN_KEY": self.stack.token_key,
                "NAIVE_DATABASE_URL": self.stack.postgres.dsn("orders"),
                "NAIVE_INVENTORY_URL": self.to_inventory.url,
                "NAIVE_INVENTORY_TOKEN": self.stack.token("naive", "service"),
                "NAIVE_PORT": str(port),
                "NAIVE_POLICY": self._policy,
            },
        )

    def token(self, subject: str) -> str:
        """A token that this system accepts."""
        return self.stack.token(subject, "shopper")

    async def switch_on(
        self, rules: Sequence[FaultRule], network_faults: Sequence[NetworkFault]
    ) -> None:
        """Put those faults in force that there is a place for here."""
        here = [rule for rule in rules if rule.point.startswith("inventory.")]
        if here:
            await put_rules(self.stack, here)
        self._spoil(network_faults)

    async def switch_off(self) -> None:
        """Take all faults away."""
        self._spoil(())
        await remove_rules(self.stack, owners=(INVENTORY,))

    async def result(
        self, orders: Sequence[PlannedOrder], history: Sequence[Entry]
    ) -> BaselineResult:
        """Hold what shoppers were told against what left the shelf."""
        movements, _, _, fired = await read_warehouse(self.stack.postgres.dsn("inventory"))
        connection = await asyncpg.connect(self.stack.postgres.dsn("orders"))
        try:
            rows = await connection.fetch(RESERVATIONS)
        finally:
            await connection.close()
        moved: defaultdict[UUID, set[str]] = defaultdict(set)
        for movement in movements:
            if movement.order_id is not None:
                moved[movement.order_id].add(movement.operation)
        tries: defaultdict[UUID, set[UUID]] = defaultdict(set)
        for row in rows:
            if row["reservation"] is not None:
                tries[row["order_id"]].add(row["reservation"])
        return judge(self._policy, orders, history, tries, moved, [*fired, *self._evidence.fired])


def judge(
    policy: str,
    orders: Sequence[PlannedOrder],
    history: Sequence[Entry],
    tries: defaultdict[UUID, set[UUID]],
    moved: defaultdict[UUID, set[str]],
    fired: Sequence[Fired],
) -> BaselineResult:
    """Return the baseline's outcomes by kind."""
    told: dict[str, str] = {}
    for entry in history:
        if entry.operation == "place" and entry.kind != "invoke":
            told[entry.order_id] = entry.state or told.get(entry.order_id, "nothing")
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for order in orders:
        taken = sum("commit" in moved[reservation] for reservation in tries[order.order_id])
        stuck = sum(moved[reservation] == {"reserve"} for reservation in tries[order.order_id])
        kind = _kind(told.get(str(order.order_id), "nothing"), taken, stuck)
        kinds[kind] += 1
        examples.setdefault(kind, str(order.order_id))
    return BaselineResult(policy, len(orders), kinds, examples, first_words(history), len(fired))


def first_words(history: Sequence[Entry]) -> Counter[str]:
    """Return what shoppers were told first, by kind of answer."""
    first: dict[str, str] = {}
    for entry in history:
        if entry.operation == "place" and entry.kind != "invoke":
            first.setdefault(entry.order_id, _in_words(entry))
    return Counter(first.values())


def _in_words(entry: Entry) -> str:
    if entry.status is None:
        return "no answer, or a cut connection"
    if entry.status == 202:
        return "accepted, it takes a little longer"
    if entry.status >= 500:
        return "an error, please try again"
    return str(entry.state or entry.status)


def _kind(told: str, taken: int, stuck: int) -> str:
    if taken > 1:
        return "stock taken more than once"
    if taken == 1 and told == "failed":
        return "told failed, but shipped"
    if taken == 1 and told != "shipped":
        return "stock taken, order lost"
    if told == "shipped" and taken == 0:
        return "told shipped, nothing sent"
    if stuck:
        return "stock held for ever"
    if told in ("failed", "nothing"):
        return "sale lost, nothing taken"
    return "right"
