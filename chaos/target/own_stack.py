"""The proving ground: the whole system in a throw-away folder, and every handle on it.

Of the modules that know both the faults and the local stack, it is the one that starts it.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast
from uuid import uuid4

from temporalio.client import Client
from temporalio.service import RPCError

from chaos.checker.collect import TemporalReader
from chaos.injection.rules import FaultRule
from chaos.nemesis.environment import ProxiedEnvironment
from chaos.nemesis.freezing import frozen
from chaos.nemesis.http_proxy import Evidence, HttpProxy
from chaos.nemesis.network_namespace import Direction, NetworkNamespace
from chaos.nemesis.patched_process import released
from chaos.nemesis.recovery import restart
from chaos.nemesis.tcp_proxy import TcpProxy
from chaos.scenarios.network_faults import NetworkFault
from chaos.target.fault_rules import put_rules, remove_rules, rules_in_force
from chaos.target.running_stack import attach
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.services import INVENTORY, ORDER, SUBSCRIBERS, WORKER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack
from workflows.contracts import TASK_QUEUE, WORKFLOW, workflow_id

POLL_INTERVAL_S = 0.2
HELD_UP_WITHIN_S = 60.0
NAMES = frozenset({POSTGRES, TEMPORAL, INVENTORY, ORDER, WORKER, SUBSCRIBERS})


class OwnStack(ProxiedEnvironment):
    """A system of its own, on free ports; gone without a trace afterwards.

    Shoppers reach order_api and the worker reaches inventory over wires that can spoil requests.
    With `lines`, Temporal and Postgres are reached over lines that can be cut. With `island`, the
    warehouse is reached across another network namespace.
    """

    def __init__(
        self,
        out: Path,
        *,
        replicas: int,
        lines: bool,
        namespace: bool,
        progress: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self._replicas = replicas
        self._with_tcp_proxies = lines
        self._with_namespace = namespace
        self._progress = progress
        self._out = out
        self._lines: dict[str, TcpProxy | HttpProxy] = {}
        self._namespace: NetworkNamespace | None = None
        self.poisoned: list[str] = []
        self.releases = 0
        self.went_over: set[str] = set()
        self.evidence: Evidence
        self.stack: Stack

    async def _start(self) -> None:
        await self._start_proxies(self._open_evidence())
        enter = self._exits.enter_async_context
        folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="valerix-proof-"))
        self._exits.callback(self._keep_logs, Path(folder) / "home" / "logs")
        ports = Ports.free()
        settings = StackSettings(
            home=Path(folder) / "home", ports=ports, inventory_replicas=self._replicas, only=NAMES
        )
        for name in (WORKER, ORDER):
            settings = settings.with_env(name, INVENTORY_URL=self.to_inventory.url)
        self._lines["inventory"] = self.to_inventory
        self._lines["shoppers"] = self.to_orders
        if self._with_tcp_proxies:
            self._lines[TEMPORAL] = line = await enter(TcpProxy(ports.temporal))
            self._lines[POSTGRES] = await enter(TcpProxy(ports.postgres))
            for name in (WORKER, ORDER):
                address = f"{LOOPBACK}:{line.listens_on}"
                settings = settings.with_env(name, TEMPORAL_ADDRESS=address)
        self.stack = Stack(settings, self._progress)
        await enter(self.stack)
        self.to_orders.upstreams = [ports.order]
        self.to_inventory.upstreams = [self.stack.services.ports[n] for n in self.inventories]
        if self._with_namespace:
            self._namespace = namespace = await enter(NetworkNamespace())
            self.to_inventory.upstreams = [
                await namespace.reach(port) for port in self.to_inventory.upstreams
            ]
        if self._with_tcp_proxies:
            await self._reach_postgres_over_line()

    def _open_evidence(self) -> Evidence:
        file = (self._out / "faults-on-the-wire.jsonl").open("w")
        self.evidence = Evidence(self._exits.enter_context(file))
        return self.evidence

    def _keep_logs(self, logs: Path) -> None:
        """Copy what the processes had to say to the run's own folder."""
        if logs.exists():
            shutil.copytree(logs, self._out / "logs", dirs_exist_ok=True)

    async def _reach_postgres_over_line(self) -> None:
        line = self._lines[POSTGRES]
        assert isinstance(line, TcpProxy)

        def over_line(database: str) -> str:
            direct = f"{LOOPBACK}:{line.port}"
            return self.dsn(database).replace(direct, f"{LOOPBACK}:{line.listens_on}")

        orders = {"ORDERS_DATABASE_URL": over_line("orders")}
        inventory = {"INVENTORY_DATABASE_URL": over_line("inventory")}
        async with asyncio.TaskGroup() as group:
            for name in (ORDER, WORKER):
                group.create_task(self.stack.restart(name, **orders))
            for name in self.inventories:
                group.create_task(self.stack.restart(name, **inventory))

    async def cut(self, link: str, seconds: float) -> None:
        """Let nothing through a line for a while."""
        await self._lines[link].cut(seconds)

    async def part(self, link: str, seconds: float) -> None:
        """Have the kernel lose what passes a link (`WAY inventory`) for a while."""
        way, _, name = link.partition(" ")
        assert self._namespace is not None, "this ground has no island"
        assert name == INVENTORY.partition("_")[0], link
        await self._namespace.part(cast("Direction", way), seconds)

    async def poison(self, nth: int) -> None:
        """Start an order whose input no workflow code can read."""
        client = await Client.connect(self.temporal_address)
        name = workflow_id(uuid4())
        await client.start_workflow(WORKFLOW, {"nobody": nth}, id=name, task_queue=TASK_QUEUE)
        self.poisoned.append(name)

    async def release(self) -> bool:
        """Give the worker newer workflow code while orders wait for a silent warehouse.

        Waits for such orders, who have begun with older code; returns whether any came.
        """
        temporal = await TemporalReader.connect(self.temporal_address)
        waiting: set[str] = set()
        async with frozen(self.stack, self.inventories):
            deadline = time.monotonic() + HELD_UP_WITHIN_S
            while not waiting and time.monotonic() < deadline:
                await asyncio.sleep(POLL_INTERVAL_S)
                with contextlib.suppress(RPCError):  # too busy to say
                    waiting = await temporal.running("AND OrderStep = 'warehouse'")
            self.releases += 1
            await restart(self.stack, WORKER, **released(self.releases))
        self.went_over |= waiting
        return bool(waiting)

    @property
    def order_url(self) -> str:
        """Where shoppers send their orders."""
        return self.to_orders.url

    @property
    def inventories(self) -> list[str]:
        """The names of the warehouse's replicas."""
        return [name for name in self.stack.processes if name.partition("-")[0] == INVENTORY]

    @property
    def services(self) -> list[str]:
        """The names of all processes with a health page."""
        return [name for name in self.stack.processes if name not in (POSTGRES, TEMPORAL)]

    @property
    def temporal_address(self) -> str:
        """Where Temporal answers, for clients of our own."""
        return self.stack.temporal.address

    @property
    def web_ui(self) -> str:
        """Temporal's Web UI."""
        return self.stack.url(TEMPORAL)

    def dsn(self, database: str) -> str:
        """The address of a database, for the oracle."""
        return self.stack.postgres.dsn(database)

    def token(self, subject: str, role: str = "shopper") -> str:
        """A token that the system accepts."""
        return self.stack.token(subject, role)

    async def switch_on(
        self, rules: Sequence[FaultRule], network_faults: Sequence[NetworkFault]
    ) -> None:
        """Put the faults in force in every process and on every wire that they are for."""
        if rules:
            await put_rules(self.stack, rules)
        self._spoil(network_faults)

    async def switch_off(self) -> None:
        """Take all faults away."""
        self._spoil(())
        await remove_rules(self.stack)


class OthersStack(OwnStack):
    """A stack that somebody has started and goes on using: attacked, and left as it was found.

    Shoppers of the run still come over a wire; between the processes there is none of ours.
    """

    def __init__(self, out: Path, address: str) -> None:
        super().__init__(out, replicas=1, lines=False, namespace=False, progress=_unheard)
        self._address = address

    async def _start(self) -> None:
        self.stack = attach(self._address)
        if rules := await rules_in_force(self.stack):
            raise StartRefused(
                problem=f"faults are switched on in that stack already: {', '.join(rules)}",
                kept="nothing was attacked",
                remedy="switch them off first: valerix gremlin off",
            )
        await self._start_proxies(self._open_evidence())
        self.to_orders.upstreams = [self.stack.services.ports[ORDER]]
        # However the run ends: nobody else's orders shall meet its faults.
        self._exits.push_async_callback(self.switch_off)
        self._exits.push_async_callback(self._end_poisoned)

    async def _end_poisoned(self) -> None:
        client = await Client.connect(self.temporal_address)
        for name in self.poisoned:
            await client.get_workflow_handle(name).terminate("the fault run is over")


def _unheard(name: str, what: str) -> None:
    """Nothing is started, so there is no progress to be told."""
