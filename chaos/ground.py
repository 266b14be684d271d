"""The proving ground: the whole system in a throw-away folder, and every handle on it.

This and its naive neighbour are the modules that know both the faults and the local stack.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp

from chaos.faults import FaultRule
from chaos.injector import RELOAD_S
from chaos.lines import Line
from chaos.toxics import Toxic
from chaos.wire import Evidence, Wire, call_at_inventory, call_at_orders
from deploy.local.ports import LOOPBACK
from deploy.local.services import INVENTORY, ORDER, SUBSCRIBERS, WORKER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack

FAULTS = "/v1/admin/faults"
NAMES = frozenset({POSTGRES, TEMPORAL, INVENTORY, ORDER, WORKER, SUBSCRIBERS})


class Ground:
    """A system of its own, on free ports; gone without a trace afterwards.

    Shoppers reach order_api and the worker reaches inventory over wires that can spoil requests.
    With `lines`, Temporal and Postgres are reached over lines that can be cut.
    """

    def __init__(
        self, out: Path, *, replicas: int, lines: bool, progress: Callable[[str, str], None]
    ) -> None:
        self._replicas = replicas
        self._with_lines = lines
        self._progress = progress
        self._out = out
        self._exits = AsyncExitStack()
        self._lines: dict[str, Line | Wire] = {}
        self.evidence: Evidence
        self.to_orders: Wire
        self.to_inventory: Wire
        self.stack: Stack

    async def __aenter__(self) -> Self:
        """Start everything."""
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything and delete it."""
        await self._exits.aclose()

    async def _start(self) -> None:
        enter = self._exits.enter_async_context
        folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="valerix-proof-"))
        self._exits.callback(self._keep_logs, Path(folder) / "home" / "logs")
        self.evidence = Evidence(
            self._exits.enter_context((self._out / "faults-on-the-wire.jsonl").open("w"))
        )
        self.to_inventory = await enter(Wire("wire.inventory", call_at_inventory, self.evidence))
        self.to_orders = await enter(Wire("wire.order", call_at_orders, self.evidence))
        ports = Ports.free()
        settings = StackSettings(
            home=Path(folder) / "home", ports=ports, inventory_replicas=self._replicas, only=NAMES
        )
        for name in (WORKER, ORDER):
            settings = settings.with_env(name, INVENTORY_URL=self.to_inventory.url)
        self._lines["inventory"] = self.to_inventory
        self._lines["shoppers"] = self.to_orders
        if self._with_lines:
            self._lines[TEMPORAL] = line = await enter(Line(ports.temporal))
            self._lines[POSTGRES] = await enter(Line(ports.postgres))
            for name in (WORKER, ORDER):
                address = f"{LOOPBACK}:{line.listens_on}"
                settings = settings.with_env(name, TEMPORAL_ADDRESS=address)
        self.stack = Stack(settings, self._progress)
        await enter(self.stack)
        self.to_orders.upstreams = [ports.order]
        self.to_inventory.upstreams = [self.stack.services.ports[n] for n in self.inventories]
        if self._with_lines:
            await self._reach_postgres_over_line()

    def _keep_logs(self, logs: Path) -> None:
        """Copy what the processes had to say to the run's own folder."""
        if logs.exists():
            shutil.copytree(logs, self._out / "logs", dirs_exist_ok=True)

    async def _reach_postgres_over_line(self) -> None:
        line = self._lines[POSTGRES]
        assert isinstance(line, Line)

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

    async def switch_on(self, rules: Sequence[FaultRule], toxics: Sequence[Toxic]) -> None:
        """Put the faults in force in every process and on every wire that they are for."""
        if rules:
            await put_rules(self.stack, rules)
        for wire in (self.to_orders, self.to_inventory):
            wire.toxics = toxics

    async def switch_off(self) -> None:
        """Take all faults away."""
        for wire in (self.to_orders, self.to_inventory):
            wire.toxics = ()
        await remove_rules(self.stack)


OWNERS = (INVENTORY, ORDER)


async def put_rules(stack: Stack, rules: Sequence[FaultRule]) -> None:
    """Put rules in force in every process of `stack` that they are for."""
    async with _admin(stack) as session:
        for rule in rules:
            owner = INVENTORY if rule.point.startswith("inventory.") else ORDER
            url = f"{stack.url(owner)}{FAULTS}/{rule.name}"
            await _ask(session, "PUT", url, json=rule.model_dump(mode="json"))
    await _everyone_has_read(stack)


async def remove_rules(stack: Stack, owners: Sequence[str] = OWNERS) -> None:
    """Take all rules away that the `owners` in `stack` have."""
    async with _admin(stack) as session:
        for name in owners:
            rules = await _ask(session, "GET", f"{stack.url(name)}{FAULTS}")
            for rule in rules["items"]:
                await _ask(session, "DELETE", f"{stack.url(name)}{FAULTS}/{rule['name']}")
    await _everyone_has_read(stack)


async def _everyone_has_read(stack: Stack) -> None:
    # A look at a replica's rules makes it read them. The worker has no such call; it reads them
    # once a second.
    async with _admin(stack) as session:
        for name in stack.processes:
            if name.partition("-")[0] == INVENTORY:
                await _ask(session, "GET", f"{stack.url(name)}{FAULTS}")
    await asyncio.sleep(RELOAD_S * 1.5)


def _admin(stack: Stack) -> aiohttp.ClientSession:
    token = stack.token("chaos", "staff")
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


async def _ask(session: aiohttp.ClientSession, method: str, url: str, **content: Any) -> Any:
    async with session.request(method, url, **content) as response:
        response.raise_for_status()
        return None if response.status == 204 else await response.json()
