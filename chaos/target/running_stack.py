"""A stack that somebody else has started, with the handles on it that can be had from outside."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from typing import NoReturn
from urllib.parse import urlsplit

from temporalio.client import Client
from temporalio.service import RPCError

from deploy.local.errors import StartRefused
from deploy.local.process.child import ChildSpec, Probe
from deploy.local.process.supervisor import SupervisedProcess
from deploy.local.running_stack import RunningStack, find_state_dir, require_running_stack
from deploy.local.services import INVENTORY, ORDER, SUBSCRIBERS, UI, WORKER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack

POLL_INTERVAL_S = 0.05
_OURS = frozenset({POSTGRES, TEMPORAL, INVENTORY, ORDER, WORKER, SUBSCRIBERS})


class AttachedProcess(SupervisedProcess):
    """A child of another supervisor: it can be killed and waited for, no more."""

    def __init__(self, spec: ChildSpec, stack: Stack) -> None:
        super().__init__(spec, stack.state_dir.logs, log=stack.log)
        self._home = stack.state_dir
        self._killed: int | None = None

    @property
    def pid(self) -> int | None:
        """What its supervisor has published last."""
        state = self._home.read_state() or {"children": {}}
        found: int | None = state["children"].get(self.spec.name, {}).get("pid")
        return found

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to the present process; its supervisor starts the next."""
        pid = self.pid
        if pid is None:
            raise ProcessLookupError(f"{self.spec.name} is not running")
        os.kill(pid, sig)
        if sig in (signal.SIGKILL, signal.SIGQUIT):
            self._killed = pid
        return pid

    async def wait_ready(self, within_s: float | None = None) -> None:
        """Returns once a process answers that is not the one we killed."""
        limit = self.spec.ready_within_s if within_s is None else within_s
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            pid = self.pid
            if pid is not None and pid != self._killed and await self.spec.ready():
                return
            await asyncio.sleep(POLL_INTERVAL_S)
        raise StartRefused(
            problem=f"{self.spec.name} did not become ready within {limit:g} s",
            kept="its data is untouched, its supervisor goes on trying",
            remedy=f"read {self.log_file}",
        )

    async def start(self, **_: object) -> NoReturn:
        """Not ours to do."""
        raise NotImplementedError("a stack of somebody else is not started from here")

    async def stop(self) -> NoReturn:
        """Not ours to do."""
        raise NotImplementedError("a stack of somebody else is not stopped from here")


def attach(address: str) -> Stack:
    """Return the running stack whose order service is at `address`; StartRefused if it is not ours.

    It is never started or stopped through this object.
    """
    running = require_running_stack()
    wanted = urlsplit(address)
    mine = urlsplit(running.url(ORDER))
    if (wanted.hostname, wanted.port) not in ((mine.hostname, mine.port), ("localhost", mine.port)):
        raise StartRefused(
            problem=f"the order service of the stack in {find_state_dir().folder} is at "
            f"{running.url(ORDER)}, not at {address}",
            kept="nothing was attacked",
            remedy="give that address, or set VALERIX_HOME to the folder of the stack you mean: "
            "a run has to read the books of whom it attacks",
        )
    return _handles_on(running)


def _handles_on(running: RunningStack) -> Stack:
    home = find_state_dir()
    settings = StackSettings(home=home.folder, ports=_ports_of(running), only=_OURS)
    stack = Stack(settings)
    stack.token_key = home.existing_token_key()
    stack.postgres.read_passwords()
    stack.open_services()
    for name, child in running.children.items():
        service = name.partition("-")[0]
        if service not in _OURS:
            continue
        if service == POSTGRES:
            spec = stack.postgres.spec()
        elif service == TEMPORAL:
            spec = replace(stack.temporal.spec(), ready=_engine_at(stack.temporal.address))
        else:
            stack.services.ports[name] = child["port"]
            spec = stack.services.spec(name)
        stack.processes[name] = AttachedProcess(replace(spec, name=name), stack)
    return stack


def _engine_at(address: str) -> Probe:
    # The probe of its own supervisor asks at a port that only that one knows.
    async def ready() -> bool:
        try:
            async with asyncio.timeout(2.0):
                client = await Client.connect(address)
                await client.count_workflows("WorkflowType = 'OrderWorkflow'")
        except (RPCError, RuntimeError, TimeoutError):
            return False
        return True

    return ready


def _ports_of(running: RunningStack) -> Ports:
    def port(name: str) -> int:
        return int(running.children.get(name, {}).get("port") or 0)

    return Ports(
        ui=port(UI),
        order=port(ORDER),
        inventory=port(INVENTORY),
        worker=port(WORKER),
        subscribers=port(SUBSCRIBERS),
        temporal=port(TEMPORAL),
        temporal_ui=running.temporal_ui_port,
        postgres=port(POSTGRES),
    )
