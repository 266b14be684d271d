"""The baseline stack: the naive service and a warehouse of its own, beside the system."""

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from chaos.baseline.outcomes import Outcomes, judge
from chaos.baseline.service import Policy
from chaos.checker.databases import read_warehouse
from chaos.client.history import Entry
from chaos.nemesis.system import system_of
from chaos.scenarios.workload import PlannedOrder
from chaos.target.target import ProxiedSystem
from deploy.local.ports import free_port
from deploy.local.postgres.connection import connected
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


class BaselineStack(ProxiedSystem):
    """A warehouse and the naive order service before it; processes are named as in the stack."""

    rule_owners: ClassVar[tuple[str, ...]] = (INVENTORY,)

    def __init__(self, policy: Policy, *, replicas: int) -> None:
        super().__init__()
        self._policy: Policy = policy
        self._replicas = replicas
        self.stack: Stack

    async def _start(self) -> None:
        enter = self._exits.enter_async_context
        folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="valerix-naive-"))
        await self._start_proxies()
        self.stack = Stack(
            StackSettings(
                home=Path(folder) / "home",
                ports=Ports.free(),
                inventory_replicas=self._replicas,
                only=frozenset({POSTGRES, INVENTORY}),
            )
        )
        await enter(self.stack)
        self.system = system_of(self.stack)
        port = free_port()
        self.to_orders.upstreams = [port]
        self.to_inventory.upstreams = [
            self.stack.services.ports[name] for name in self.system.inventories
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

    async def result(self, orders: Sequence[PlannedOrder], history: Sequence[Entry]) -> Outcomes:
        """Hold what shoppers were told against what left the shelf."""
        movements, _, _, fired = await read_warehouse(self.stack.postgres.dsn("inventory"))
        async with connected(self.stack.postgres.dsn("orders")) as connection:
            rows = await connection.fetch(RESERVATIONS)
        moved: defaultdict[UUID, set[str]] = defaultdict(set)
        for movement in movements:
            if movement.order_id is not None:
                moved[movement.order_id].add(movement.operation)
        tries: defaultdict[UUID, set[UUID]] = defaultdict(set)
        for row in rows:
            if row["reservation"] is not None:
                tries[row["order_id"]].add(row["reservation"])
        return judge(self._policy, orders, history, tries, moved, [*fired, *self.evidence.fired])
