"""The whole local stack as one object: starts everything in order, keeps it running, stops it.

async with Stack(StackSettings.from_environment()) as stack:
    stack.kill("inventory_api")              # SIGKILL; it is started again at once
    await stack.wait_ready("inventory_api")
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from deploy.local import preflight
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK, reserve
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.child import ChildSpec, kill_group
from deploy.local.process.orphans import end_orphans, identity
from deploy.local.process.privileges import LINUX
from deploy.local.process.supervisor import SupervisedProcess
from deploy.local.schema import migrate_and_seed
from deploy.local.services import INVENTORY, ORDER, SUBSCRIBERS, UI, WORKER, Services, is_installed
from deploy.local.settings import StackSettings
from deploy.local.state_dir import StateDir, StateDirLock
from deploy.local.temporal import database_file
from deploy.local.temporal.database_file import QUICK_CHECK_S, DamagedTemporalFile
from deploy.local.temporal.server import EmbeddedTemporal, find_temporal

POSTGRES = "postgres"
TEMPORAL = "temporal"

# Who takes orders goes first, then who works on them; the stores that all of them use go last.
_STOP_ORDER = ((UI, ORDER), (WORKER, SUBSCRIBERS), (INVENTORY,), (TEMPORAL,), (POSTGRES,))


def _silent(name: str, what: str) -> None:
    """The default for who does not want to be told."""


class Stack:
    """``processes`` by name: postgres, temporal, inventory_api, order_api, worker, subscribers, ui.

    ``on_progress(name, what)`` is told each step of the start; ``log`` gets a line for each start
    and end of a process and also goes to ``logs/supervisor.log``. Start it from the main thread: on
    Linux the children live exactly as long as the thread that started them.
    """

    def __init__(
        self, settings: StackSettings, on_progress: Callable[[str, str], None] = _silent
    ) -> None:
        self.settings = settings
        self.state_dir = StateDir(settings.home)
        self.processes: dict[str, SupervisedProcess] = {}
        self.started_at = time.time()
        self.token_key = ""
        self.services: Services
        # By home: two stacks can run in one process, each with its own log.
        self.log = logging.getLogger(f"valerix.supervisor:{settings.home}")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        for port in settings.ports.by_variable().values():
            reserve(
                port
            )  # or a free port chosen below is one that a later process is meant to have
        self.postgres = EmbeddedPostgres(
            self.state_dir.postgres,
            port=settings.ports.postgres,
            logs=self.state_dir.logs,
            passwords=self.state_dir.secrets / "postgres",
        )
        self.temporal = EmbeddedTemporal(
            self.state_dir.temporal,
            port=settings.ports.temporal,
            ui_port=settings.ports.temporal_ui,
            synchronous=settings.temporal_synchronous,
            logs=self.state_dir.logs,
        )
        self._progress = on_progress
        self._lock = StateDirLock(self.state_dir)
        self._watch: asyncio.subprocess.Process | None = None
        self._published = False
        self.put_aside: Path | None = None  # where a damaged file of Temporal is now

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Starts everything, or nothing: what had started is stopped again before an error."""
        preflight.python_is_new_enough()
        preflight.disk_has_room(self.state_dir.folder)
        self.state_dir.create()
        self._lock.acquire()
        try:
            if ended := end_orphans(self.state_dir.read_state()):
                self._progress("stack", f"ended leftovers of a killed run: {', '.join(ended)}")
            preflight.ports_are_free(self.settings.ports.by_variable())
            find_temporal()
            self._open_log()
            self.token_key = self.state_dir.token_key()
            self.open_services()
            self._published = True
            await self._start_watchdog()
            await self._start_all()
        except BaseExceptionGroup as group:
            await self.down()
            raise _first_cause(group) from None
        except BaseException:
            await self.down()
            raise

    def open_services(self) -> None:
        """Decides how the services are run, and where; needs ``token_key``."""
        self.services = Services(self.settings, self.token_key, self.postgres.dsn)

    async def down(self) -> None:
        """Stops everything in order and lets go of the lock. Safe to call more than once."""
        for group in _STOP_ORDER:
            members = [each for name, each in self.processes.items() if _service(name) in group]
            await asyncio.gather(*(member.stop() for member in members))
        if self._watch is not None:
            self._watch.kill()
            await self._watch.wait()
            self._watch = None
        if self._published:
            self._published = False
            self.state_dir.state_file.unlink(missing_ok=True)
        for handler in [*self.log.handlers]:
            self.log.removeHandler(handler)
            handler.close()
        self._lock.release()

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> int:
        """Signals one process and returns its pid; if it dies of that it is started again."""
        return self.processes[name].kill(sig)

    async def stop(self, name: str) -> None:
        """Takes one process down until ``start``."""
        await self.processes[name].stop()

    async def start(self, name: str, **extra_env: str) -> None:
        """Starts it again after ``stop``; returns when it has a pid."""
        await self.processes[name].start(extra_env=extra_env)

    async def restart(self, name: str, **extra_env: str) -> None:
        """Stop, start, ready; ``extra_env`` stays for later starts."""
        await self.processes[name].restart(extra_env=extra_env)
        await self.wait_ready(name)

    async def wait_ready(self, name: str, within_s: float | None = None) -> None:
        """Returns when it answers its probe; after a ``kill`` that is the next process's."""
        await self.processes[name].wait_ready(within_s)

    def kill_everything(self) -> None:
        """Ends all children at once, for who cannot wait for a clean end; what is kept is kept."""
        for name, process in self.processes.items():
            with contextlib.suppress(ProcessLookupError):
                pid = process.kill(signal.SIGQUIT if name == POSTGRES else signal.SIGKILL)
                if name != POSTGRES:
                    kill_group(pid)

    def token(self, subject: str, role: str, ttl_s: int = 86_400) -> str:
        """A signed token that the services of this stack accept."""
        from service_kit.tokens import issue

        return issue(self.token_key, subject, role, ttl_s)

    def url(self, name: str) -> str:
        """Where a service answers; the Web UI of Temporal for ``temporal``."""
        if name == TEMPORAL:
            return f"http://{LOOPBACK}:{self.settings.ports.temporal_ui}"
        return self.services.url(name)

    def state(self) -> dict[str, Any]:
        """What ``valerix status`` reads: pids, ports and how often each was started again."""
        ports = {
            **self.services.ports,
            POSTGRES: self.settings.ports.postgres,
            TEMPORAL: self.settings.ports.temporal,
        }
        return {
            "supervisor": {"pid": os.getpid(), "started_at": self.started_at},
            "temporal_ui_port": self.settings.ports.temporal_ui,
            "postgres_version": self.postgres.binaries.version,
            "children": {
                name: {
                    "pid": process.pid,
                    "born": identity(process.pid) if process.pid else None,
                    "state": process.state,
                    "port": ports.get(name),
                    "exits": process.exits,
                    "last_exit_code": process.last_exit_code,
                    "started_at": process.started_at,
                    "log": str(process.log_file),
                }
                for name, process in self.processes.items()
            },
        }

    async def _start_all(self) -> None:
        database, engine = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_postgres(database))
            if self._included(TEMPORAL):
                group.create_task(self._start_temporal(engine))
            await database.wait()
            for name in self.services.ports:
                if self._included(name) and is_installed(_service(name)):
                    needs = engine if name == WORKER else database
                    group.create_task(self._start_service(name, needs))

    async def _start_postgres(self, done: asyncio.Event) -> None:
        fresh = not self.postgres.data.exists()
        self._progress(POSTGRES, "creating the database" if fresh else "starting")
        await self.postgres.prepare()
        if (account := self.postgres.spec().account) is not None:
            self.state_dir.grant_passage(account.gid)
        await self._run(self.postgres.spec())
        await self.postgres.create_databases()
        self._progress(POSTGRES, "bringing the schema up to date")
        await migrate_and_seed(self.postgres.dsn)
        self._progress(POSTGRES, "ready")
        done.set()

    async def _start_temporal(self, done: asyncio.Event) -> None:
        self._progress(TEMPORAL, "starting")
        self.temporal.prepare()
        await self._check_temporal_file(QUICK_CHECK_S)
        try:
            await self._run(self.temporal.spec())
        except StartRefused:
            await self._check_temporal_file(
                None
            )  # perhaps that is why: now it is worth a longer look
            raise
        self._progress(TEMPORAL, "ready")
        done.set()

    async def _check_temporal_file(self, within_s: float | None) -> None:
        file = self.temporal.database
        damage = await asyncio.to_thread(database_file.damage, file, within_s)
        if damage is None:
            return
        if not self.settings.put_damaged_temporal_file_aside or self.put_aside is not None:
            raise DamagedTemporalFile(file, damage)
        self.put_aside = database_file.put_aside(file)
        self.log.warning("put aside %s: %s", self.put_aside, damage)

    async def _start_service(self, name: str, needs: asyncio.Event) -> None:
        await needs.wait()
        self._progress(name, "starting")
        await self._run(self.services.spec(name))
        self._progress(name, "ready")

    async def _run(self, spec: ChildSpec) -> None:
        process = SupervisedProcess(spec, self.state_dir.logs, self._publish, self.log)
        self.processes[spec.name] = process
        await process.start()
        await process.wait_ready()

    async def _start_watchdog(self) -> None:
        """Where the kernel does not end children with their parent, a small process does."""
        if LINUX:
            return
        self._watch = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.local.process.orphans", str(self.state_dir.folder)),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    def _included(self, name: str) -> bool:
        only = self.settings.only
        return only is None or _service(name) in only

    def _publish(self) -> None:
        if self._published:
            self.state_dir.write_state(self.state())

    def _open_log(self) -> None:
        self.state_dir.trim_logs()
        handler = logging.FileHandler(self.state_dir.logs / "supervisor.log")
        formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        self.log.addHandler(handler)


def _service(name: str) -> str:
    """``inventory_api`` for ``inventory_api-2``."""
    return name.partition("-")[0]


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a tree of them: one start fails for one reason, the rest follows."""
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, BaseExceptionGroup) else first
