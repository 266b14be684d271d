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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from deploy.local import preflight
from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK, reserve
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.child import ChildSpec, kill_group
from deploy.local.process.orphans import end_orphans, start_watchdog
from deploy.local.process.privileges import LINUX
from deploy.local.process.supervisor import SupervisedProcess, log_handler
from deploy.local.schema import migrate_and_seed
from deploy.local.services import (
    BACKUP,
    INVENTORY,
    LEGACY,
    ORDER,
    SUBSCRIBERS,
    UI,
    WORKER,
    Services,
    service_of,
)
from deploy.local.settings import StackSettings
from deploy.local.state_dir import StateDir, StateDirLock
from deploy.local.temporal import database_file
from deploy.local.temporal.database_file import QUICK_CHECK_S, DamagedTemporalFile
from deploy.local.temporal.server import EmbeddedTemporal, find_temporal

POSTGRES = "postgres"
TEMPORAL = "temporal"

# Who takes orders goes first, then who works on them; the stores that all of them use go last.
_STOP_ORDER = (
    *((UI, ORDER), (WORKER, SUBSCRIBERS, BACKUP), (INVENTORY, LEGACY)),
    *((TEMPORAL,), (POSTGRES,)),
)


def _silent(name: str, what: str) -> None:
    """Be the default for who does not want to be told."""


class Stack:
    """`processes` by name: postgres, temporal, inventory_api, order_api, worker, subscribers, ui.

    With backups there are two more, legacy_service and backup.

    `on_progress(name, what)` is told each step of the start; `log` gets a line for each start
    and end of a process and also goes to `logs/supervisor.log`. Start it from the main thread: on
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
            # or a free port chosen below is one that a later process is meant to have
            reserve(port)
        self.postgres = EmbeddedPostgres(
            self.state_dir.postgres,
            port=settings.ports.postgres,
            logs=self.state_dir.logs,
            passwords=self.state_dir.secrets / "postgres",
            trail=settings.backup_home,
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
        self._watchdog: asyncio.subprocess.Process | None = None
        self._published = False
        self.put_aside: Path | None = None  # where a damaged file of Temporal is now

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Start everything, or nothing: what had started is stopped again before an error."""
        preflight.python_is_new_enough()
        for folder in filter(None, (self.state_dir.folder, self.settings.backup_home)):
            preflight.disk_has_room(folder)
        self.state_dir.create()
        self._lock.acquire()
        try:
            if ended := end_orphans(self.state_dir.read_state()):
                self._progress("stack", f"ended leftovers of a killed run: {', '.join(ended)}")
            preflight.ports_are_free(self.settings.ports.by_variable())
            find_temporal()
            self.state_dir.trim_logs()
            self.log.addHandler(log_handler(self.state_dir.logs / "supervisor.log"))
            self.token_key = self.state_dir.token_key()
            self.open_services()
            self._published = True
            if not LINUX:  # there the kernel ends children with their parent
                self._watchdog = await start_watchdog(self.state_dir.folder)
            await self._start_all()
        except BaseExceptionGroup as group:
            await self.down()
            raise _first_cause(group) from None
        except BaseException:
            await self.down()
            raise

    def open_services(self) -> None:
        """Decide how the services are run, and where; needs `token_key`."""
        self.services = Services(self.settings, self.token_key, self.postgres)

    async def down(self) -> None:
        """Stop everything in order and let go of the lock. Safe to call more than once."""
        for group in _STOP_ORDER:
            members = [each for name, each in self.processes.items() if service_of(name) in group]
            await asyncio.gather(*(member.stop() for member in members))
        if self._watchdog is not None:
            self._watchdog.kill()
            await self._watchdog.wait()
            self._watchdog = None
        if self._published:
            self._published = False
            self.state_dir.state_file.unlink(missing_ok=True)
        for handler in [*self.log.handlers]:
            self.log.removeHandler(handler)
            handler.close()
        self._lock.release()

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> int:
        """Signal one process and return its pid; if it dies of that it is started again."""
        return self.processes[name].kill(sig)

    async def stop(self, name: str) -> None:
        """Take one process down until `start`."""
        await self.processes[name].stop()

    async def start(self, name: str, **extra_env: str) -> None:
        """Start it again after `stop`; return when it has a pid."""
        await self.processes[name].start(extra_env=extra_env)

    async def restart(self, name: str, **extra_env: str) -> None:
        """Stop it, start it, wait until it is ready; `extra_env` stays for later starts."""
        await self.processes[name].restart(extra_env=extra_env)
        await self.wait_ready(name)

    async def wait_ready(self, name: str, within_s: float | None = None) -> None:
        """Return when it answers its probe; after a `kill` that is the next process's."""
        await self.processes[name].wait_ready(within_s)

    def kill_everything(self) -> None:
        """End all children at once, for who cannot wait for a clean end; what is kept is kept."""
        for name, process in self.processes.items():
            with contextlib.suppress(ProcessLookupError):
                pid = process.kill(signal.SIGQUIT if name == POSTGRES else signal.SIGKILL)
                if name != POSTGRES:
                    kill_group(pid)

    def token(self, subject: str, role: str, ttl_s: int = 86_400) -> str:
        """Return a signed token that the services of this stack accept."""
        from service_kit.http.tokens import issue

        return issue(self.token_key, subject, role, ttl_s)

    def url(self, name: str) -> str:
        """Return where a service answers; the Web UI of Temporal for `temporal`."""
        if name == TEMPORAL:
            return f"http://{LOOPBACK}:{self.settings.ports.temporal_ui}"
        return self.services.url(name)

    def state(self) -> dict[str, Any]:
        """Return what `valerix status` reads: pids, ports and how often each was started again."""
        ports = {
            **self.services.ports,
            POSTGRES: self.settings.ports.postgres,
            TEMPORAL: self.settings.ports.temporal,
        }
        return {
            "supervisor": {"pid": os.getpid(), "started_at": self.started_at},
            "temporal_ui_port": self.settings.ports.temporal_ui,
            "backup_home": str(self.settings.backup_home) if self.settings.backup_home else None,
            "postgres_version": self.postgres.binaries.version,
            "children": {
                name: {"port": ports.get(name), **process.describe()}
                for name, process in self.processes.items()
            },
        }

    async def _start_all(self) -> None:
        database, temporal = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_postgres(database))
            if self._included(TEMPORAL):
                group.create_task(self._start_temporal(temporal))
            await database.wait()
            for name in self.services.ports:
                if self._included(name) and self.services.is_installed(name):
                    needs = temporal if name in (WORKER, BACKUP) else database
                    group.create_task(self._start_service(name, needs))

    async def _start_postgres(self, done: asyncio.Event) -> None:
        fresh = not self.postgres.data.exists()
        self._progress(POSTGRES, "creating the database" if fresh else "starting")
        await self.postgres.prepare()
        if (account := self.postgres.spec().account) is not None:
            self.state_dir.grant_passage(account.gid)
        await self._run(self.postgres.spec())
        await self.postgres.set_up()
        self._progress(POSTGRES, "bringing the schema up to date")
        await migrate_and_seed(self.postgres.dsn)
        self._progress(POSTGRES, "ready")
        done.set()

    async def _start_temporal(self, done: asyncio.Event) -> None:
        self._progress(TEMPORAL, "starting")
        await self.temporal.prepare()
        await self._check_temporal_file(QUICK_CHECK_S)
        try:
            await self._run(self.temporal.spec())
        except StartRefused:
            await self._check_temporal_file(None)  # worth a longer look now: that may be why
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

    def _included(self, name: str) -> bool:
        only = self.settings.only
        return only is None or service_of(name) in only

    def _publish(self) -> None:
        if self._published:
            self.state_dir.write_state(self.state())


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error in a tree: one start fails for one reason, the rest follows."""
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, BaseExceptionGroup) else first
