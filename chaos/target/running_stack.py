"""Target that somebody else has started: attacked, and left as it was found."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from temporalio.client import Client
from temporalio.service import RPCError

from chaos.nemesis.backup_faults import BackupFaults
from chaos.nemesis.network import Network
from chaos.nemesis.system import Process, System
from chaos.nemesis.temporal_faults import TemporalFaults
from chaos.scenarios.network_faults import Link
from chaos.scenarios.scenario import EventKind
from chaos.target.own_stack import NAMES
from chaos.target.target import ProxiedSystem
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.child import Probe
from deploy.local.process.probes import answers_ok
from deploy.local.running_stack import (
    RunningStack,
    find_state_dir,
    issue_token,
    require_running_stack,
)
from deploy.local.services import ORDER, service_of
from deploy.local.stack import POSTGRES, TEMPORAL
from deploy.local.state_dir import StateDir

POLL_INTERVAL_S = 0.05
READY_WITHIN_S = 30.0


class RunningTarget(ProxiedSystem):
    """The running stack whose order service is at `address`; StartRefused if it is not ours.

    Shoppers of the run still come through a proxy; between the processes there is none of ours.
    """

    # What it survives without anybody's help, and what can be undone from outside.
    events: ClassVar[frozenset[EventKind]] = frozenset(("kill", "freeze", "lock", "fill", "poison"))
    proxied: ClassVar[frozenset[Link]] = frozenset(("wire.order",))
    shared: ClassVar[bool] = True

    def __init__(self, out: Path, address: str) -> None:
        super().__init__()
        self._out = out
        self._address = address
        self._running: RunningStack
        self.network: Network | None = None
        self.temporal_faults: TemporalFaults
        self.backup_faults: BackupFaults | None = None

    async def _start(self) -> None:
        self._running = _running_at(self._address)
        self.system = _system_of(self._running)
        if rules := await self._rules.in_force():
            raise StartRefused(
                problem=f"faults are switched on in that stack already: {', '.join(rules)}",
                kept="nothing was attacked",
                remedy="switch them off first: valerix gremlin off",
            )
        await self._start_proxies(self._out)
        self.to_orders.upstreams = [self._running.children[ORDER]["port"]]
        self.temporal_faults = TemporalFaults(self.temporal_address)
        # However the run ends: nobody else's orders shall meet its faults.
        self._exits.push_async_callback(self.switch_off)
        self._exits.push_async_callback(self.temporal_faults.end_poisoned)

    @property
    def temporal_address(self) -> str:
        """Where Temporal answers, for clients of our own."""
        return f"{LOOPBACK}:{self._running.children[TEMPORAL]['port']}"

    @property
    def web_ui(self) -> str:
        """Temporal's Web UI."""
        return f"http://{LOOPBACK}:{self._running.temporal_ui_port}"


class OthersProcess:
    """A child of another supervisor: it can be killed and waited for, no more."""

    def __init__(self, name: str, ready: Probe, state_dir: StateDir) -> None:
        self.log_file = state_dir.logs / f"{name}.log"
        self._name = name
        self._ready = ready
        self._state_dir = state_dir
        self._killed: int | None = None

    @property
    def pid(self) -> int | None:
        """What its supervisor has published last."""
        state = self._state_dir.read_state() or {"children": {}}
        found: int | None = state["children"].get(self._name, {}).get("pid")
        return found

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the present process; its supervisor starts the next."""
        pid = self.pid
        if pid is None:
            raise ProcessLookupError(f"{self._name} is not running")
        os.kill(pid, sig)
        if sig in (signal.SIGKILL, signal.SIGQUIT):
            self._killed = pid
        return pid

    async def wait_ready(self, within_s: float | None = None) -> None:
        """Return once a process answers that is not the one we killed."""
        limit = READY_WITHIN_S if within_s is None else within_s
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            pid = self.pid
            if pid is not None and pid != self._killed and await self._ready():
                return
            await asyncio.sleep(POLL_INTERVAL_S)
        raise StartRefused(
            problem=f"{self._name} did not become ready within {limit:g} s",
            kept="its data is untouched, its supervisor goes on trying",
            remedy=f"read {self.log_file}",
        )


def _running_at(address: str) -> RunningStack:
    running = require_running_stack()
    wanted, mine = urlsplit(address), urlsplit(running.url(ORDER))
    if (wanted.hostname, wanted.port) not in ((mine.hostname, mine.port), ("localhost", mine.port)):
        raise StartRefused(
            problem=f"the order service of the stack in {find_state_dir().folder} is at "
            f"{running.url(ORDER)}, not at {address}",
            kept="nothing was attacked",
            remedy="give that address, or set VALERIX_HOME to the folder of the stack you mean: "
            "a run has to read the books of whom it attacks",
        )
    return running


def _system_of(running: RunningStack) -> System:
    state_dir = running.state_dir
    postgres = running.postgres()
    processes: dict[str, Process] = {
        name: OthersProcess(name, _probe(name, child["port"], postgres), state_dir)
        for name, child in running.children.items()
        if service_of(name) in NAMES
    }
    return System(
        processes=processes,
        restartable={},
        dsn=postgres.dsn,
        admin_dsn=postgres.admin_dsn,
        url=running.url,
        token=issue_token,
        logs=state_dir.logs,
    )


def _probe(name: str, port: int, postgres: EmbeddedPostgres) -> Probe:
    if name == POSTGRES:
        return postgres.spec().ready
    if name == TEMPORAL:
        return lambda: _temporal_answers(f"{LOOPBACK}:{port}")
    return lambda: answers_ok(port)


async def _temporal_answers(address: str) -> bool:
    # The probe of its own supervisor asks at a port that only that one knows.
    try:
        async with asyncio.timeout(2.0):
            client = await Client.connect(address)
            await client.count_workflows("WorkflowType = 'OrderWorkflow'")
    except (RPCError, RuntimeError, TimeoutError):
        return False
    return True
