"""System: what faults take hold of, its processes by name, its databases and its logs."""

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local.process.child import kill_group
from deploy.local.services import INVENTORY, service_of
from deploy.local.stack import POSTGRES, TEMPORAL, Stack


class Process(Protocol):
    """A process that is kept running by some supervisor: it can be killed and waited for."""

    @property
    def log_file(self) -> Path: ...

    @property
    def pid(self) -> int | None: ...

    def kill(self, sig: signal.Signals = ...) -> int: ...

    async def wait_ready(self, within_s: float | None = None) -> None: ...


class RestartableProcess(Process, Protocol):
    """A process whose supervisor is ours: it can be taken down and started otherwise, too."""

    async def start(self, *, extra_env: Mapping[str, str] | None = None) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class System:
    """A running system. Of `processes`, those in `restartable` may be stopped and started.

    `dsn` and `admin_dsn` give the address of a database by its name, `url` that of a service, and
    `token(subject, role)` a token that the services accept. `logs` is the folder of all logs.
    """

    processes: Mapping[str, Process]
    restartable: Mapping[str, RestartableProcess]
    dsn: Callable[[str], str]
    admin_dsn: Callable[[str], str]
    url: Callable[[str], str]
    token: Callable[[str, str], str]
    logs: Path

    @property
    def inventories(self) -> list[str]:
        """The names of the warehouse's replicas."""
        return [name for name in self.processes if service_of(name) == INVENTORY]

    @property
    def services(self) -> list[str]:
        """The names of all processes with a health page."""
        return [name for name in self.processes if name not in (POSTGRES, TEMPORAL)]

    def pids(self, names: Sequence[str]) -> list[int]:
        """Return the process numbers of those that run."""
        return [pid for name in names if (pid := self.processes[name].pid) is not None]

    def kill_everything(self) -> None:
        """Kill every process at once, with all that it has started."""
        for name, process in self.processes.items():
            with contextlib.suppress(ProcessLookupError):
                pid = process.kill(deadly(name))
                if name != POSTGRES:
                    kill_group(pid)


def system_of(stack: Stack) -> System:
    """Return a stack of our own as a system whose processes may all be stopped and started."""
    return System(
        processes=stack.processes,
        restartable=stack.processes,
        dsn=stack.postgres.dsn,
        admin_dsn=stack.postgres.admin_dsn,
        url=stack.url,
        token=stack.token,
        logs=stack.state_dir.logs,
    )


def deadly(name: str) -> signal.Signals:
    """Return the signal that kills this process.

    Postgres is ended by its immediate shutdown, which leaves recovery to the next start.
    """
    return signal.SIGQUIT if name == POSTGRES else signal.SIGKILL
