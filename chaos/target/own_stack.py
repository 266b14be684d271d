"""Target of our own: the whole stack in a throw-away folder, on free ports."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, get_args

from backup.trail_folder import TrailFolder
from chaos.nemesis.backup_faults import FAR, BackupFaults
from chaos.nemesis.network import Link as AnyProxy
from chaos.nemesis.network import Network
from chaos.nemesis.network_namespace import NetworkNamespace
from chaos.nemesis.patched_process import impatient
from chaos.nemesis.system import system_of
from chaos.nemesis.tcp_proxy import TcpProxy
from chaos.nemesis.temporal_faults import TemporalFaults
from chaos.scenarios.network_faults import Link
from chaos.scenarios.scenario import EventKind
from chaos.target.target import ProxiedSystem
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.services import BACKUP, INVENTORY, LEGACY, ORDER, SUBSCRIBERS, WORKER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack

# Whom the stand-in obeys: by its clock, a month goes by in a run.
TOKEN_TTL_S = 366 * 24 * 3600
NAMES = frozenset({POSTGRES, TEMPORAL, INVENTORY, ORDER, WORKER, SUBSCRIBERS})


class OwnTarget(ProxiedSystem):
    """A target of our own; gone without a trace afterwards, but for its logs in `out`.

    Shoppers reach order_api and the worker reaches inventory through proxies that can spoil
    requests. With `tcp_proxies`, Temporal and Postgres are reached through some that can be cut.
    With `namespace`, the warehouse is reached across another network namespace. With `backups`, it
    makes backups, which are impatient, and keeps copies of them in two stores.
    """

    events: ClassVar[frozenset[EventKind]] = frozenset(get_args(EventKind))
    proxied: ClassVar[frozenset[Link]] = frozenset(get_args(Link))
    shared: ClassVar[bool] = False

    def __init__(
        self,
        out: Path,
        *,
        replicas: int,
        tcp_proxies: bool,
        namespace: bool,
        backups: bool = False,
        progress: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self._out = out
        self._replicas = replicas
        self._with_tcp_proxies = tcp_proxies
        self._with_namespace = namespace
        self._with_backups = backups
        self._progress = progress
        self._stack: Stack
        self.network: Network | None = None
        self.temporal_faults: TemporalFaults
        self.backup_faults: BackupFaults | None = None

    async def _start(self) -> None:
        enter = self._exits.enter_async_context
        await self._start_proxies(self._out)
        folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="valerix-proof-"))
        self._exits.callback(self._keep_logs, Path(folder) / "home" / "logs")
        ports = Ports.free()
        settings = StackSettings(
            home=Path(folder) / "home", ports=ports, inventory_replicas=self._replicas, only=NAMES
        )
        for name in (WORKER, ORDER):
            settings = settings.with_env(name, INVENTORY_URL=self.to_inventory.url)
        if self._with_backups:
            settings = _with_backups(settings, Path(folder))
        links: dict[str, AnyProxy] = {"inventory": self.to_inventory, "shoppers": self.to_orders}
        if self._with_tcp_proxies:
            links[TEMPORAL] = temporal = await enter(TcpProxy(ports.temporal))
            links[POSTGRES] = postgres = await enter(TcpProxy(ports.postgres))
            for name in (WORKER, ORDER):
                address = f"{LOOPBACK}:{temporal.port}"
                settings = settings.with_env(name, TEMPORAL_ADDRESS=address)
        self._stack = await enter(Stack(settings, self._progress))
        self.system = system_of(self._stack)
        self.temporal_faults = TemporalFaults(self.temporal_address)
        if (trail := settings.backup_home) is not None:
            staff = self._stack.token("chaos", "staff", TOKEN_TTL_S)
            self.backup_faults = BackupFaults(
                self.temporal_address, TrailFolder(trail), _far_store(Path(folder)), staff
            )
        self.to_orders.upstreams = [ports.order]
        inventories = [self._stack.services.ports[name] for name in self.system.inventories]
        self.network = Network(links)
        if self._with_namespace:
            self.network.warehouse = namespace = await enter(NetworkNamespace())
            inventories = [await namespace.reach(port) for port in inventories]
        self.to_inventory.upstreams = inventories
        if self._with_tcp_proxies:
            await self._reach_postgres_through(postgres)

    def _keep_logs(self, logs: Path) -> None:
        """Copy what the processes had to say to the run's own folder."""
        if logs.exists():
            shutil.copytree(logs, self._out / "logs", dirs_exist_ok=True)

    async def _reach_postgres_through(self, proxy: TcpProxy) -> None:
        def through(database: str) -> str:
            direct = f"{LOOPBACK}:{proxy.upstream}"
            return self.system.dsn(database).replace(direct, f"{LOOPBACK}:{proxy.port}")

        orders = {"ORDERS_DATABASE_URL": through("orders")}
        inventory = {"INVENTORY_DATABASE_URL": through("inventory")}
        async with asyncio.TaskGroup() as group:
            for name in (ORDER, WORKER):
                group.create_task(self._stack.restart(name, **orders))
            for name in self.system.inventories:
                group.create_task(self._stack.restart(name, **inventory))

    @property
    def temporal_address(self) -> str:
        """Where Temporal answers, for clients of our own."""
        return self._stack.temporal.address

    @property
    def web_ui(self) -> str:
        """Temporal's Web UI."""
        return self._stack.url(TEMPORAL)


def _with_backups(settings: StackSettings, folder: Path) -> StackSettings:
    """Return the settings of a stack that backs up within the folder of the run alone."""
    if "BACKUP_LEGACY_URL" in os.environ:
        raise StartRefused(
            problem="BACKUP_LEGACY_URL names a legacy service, and a run makes a month of calls",
            kept="nothing was attacked, and no call was made",
            remedy="unset BACKUP_LEGACY_URL: the run has a stand-in of its own",
        )
    only = None if settings.only is None else settings.only | {BACKUP, LEGACY}
    return replace(settings, backup_home=folder / "trail", only=only).with_env(
        BACKUP,
        **impatient(),
        BACKUP_FOLDER_STORES=json.dumps({FAR: str(_far_store(folder))}),
        BACKUP_S3_STORES="{}",
        # A silent service, and one that trickles, is given up in time for the next date.
        BACKUP_LEGACY_CALL_WITHIN_S="6",
        # The disk under the run is somebody else's business.
        BACKUP_RESERVE_BYTES="0",
    )


def _far_store(folder: Path) -> Path:
    return folder / FAR
