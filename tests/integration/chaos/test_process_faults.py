"""Process-level faults meet their victims, however slow the machine is."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.nemesis import full_disk
from chaos.nemesis.nemesis import Nemesis
from chaos.nemesis.system import system_of
from chaos.nemesis.tcp_proxy import TcpProxy
from chaos.scenarios.scenario import Event
from chaos.scenarios.schedule import ScheduledEvent
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.child import ChildSpec
from deploy.local.process.supervisor import SupervisedProcess
from deploy.local.services import ORDER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, Stack

FULL_DATABASE = Event("database-full", "disk-full", "fill", POSTGRES)
FULL_LOGS = Event("logs-full", "disk-full", "fill", ORDER)
ROLLED = Event("rolled", "outage", "roll", ORDER)
FROZEN = Event("frozen", "worker-frozen", "freeze", ORDER)
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
can_fill = pytest.mark.skipif(full_disk.why_not() is not None, reason=str(full_disk.why_not()))
# Says a word and is ready. The second to be started does not wait for the limit, the others do.
SPEAKS_AND_SERVES = """
import os, pathlib, resource, sys, time
folder = pathlib.Path(sys.argv[1])
number = len([*folder.glob("started-*")])
(folder / f"started-{number}").touch()
while number > 1 and resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1:
    time.sleep(0.01)
try:
    print("hello", flush=True)
except OSError:
    pass
(folder / f"ready-{os.getpid()}").touch()
time.sleep(600)
"""


class DeafAtFirst(TcpProxy):
    """Who connects first is never answered, as by a server that the machine does not let run."""

    answers = False

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.answers:
            await super()._carry(reader, writer)
        else:
            self.answers = True
            await reader.read()  # until the client has had enough
            writer.close()


class DiesJustNow(SupervisedProcess):
    """A process that another fault has killed at the very moment in which it is looked for."""

    looks = 0

    @property
    def pid(self) -> int | None:
        self.looks += 1
        return super().pid if self.looks > 1 else None


@asynccontextmanager
async def stack_of(process: SupervisedProcess, home: Path) -> AsyncIterator[Stack]:
    stack = Stack(StackSettings(home=home, ports=Ports.free()))
    stack.processes[process.spec.name] = process
    await process.start()
    await process.wait_ready()
    try:
        yield stack
    finally:
        await process.stop()


async def times_fired(stack: Stack, event: Event, log: Path) -> int:
    events = Nemesis([system_of(stack)], log)
    await events.run([ScheduledEvent(0.0, event, 0)])
    return events.fired[event.name]


@can_fill
async def test_a_full_disk_stays_until_the_database_was_refused_a_write(tmp_path: Path) -> None:
    only = frozenset({POSTGRES})
    settings = StackSettings(home=tmp_path / "home", ports=Ports.free(), only=only)
    async with Stack(settings) as stack, DeafAtFirst(settings.ports.postgres) as door:
        stack.postgres = EmbeddedPostgres(
            stack.state_dir.postgres, port=door.port, passwords=stack.state_dir.secrets / "postgres"
        )
        stack.postgres.read_passwords()
        assert await times_fired(stack, FULL_DATABASE, tmp_path / "events") == 1


@can_fill
async def test_a_full_disk_stays_until_a_log_has_lost_a_line(tmp_path: Path) -> None:
    async def ready() -> bool:
        return (tmp_path / f"ready-{process.pid}").exists()

    argv = (sys.executable, "-c", SPEAKS_AND_SERVES, str(tmp_path))
    process = SupervisedProcess(ChildSpec(ORDER, argv, ready), tmp_path)
    async with stack_of(process, tmp_path / "home") as stack:
        assert await times_fired(stack, FULL_LOGS, tmp_path / "events") == 1
    assert process.log_file.read_text().count("hello") <= process.exits, "each start was heard"


async def test_a_process_that_has_just_died_is_frozen_when_it_is_back(tmp_path: Path) -> None:
    process = DiesJustNow(ChildSpec(ORDER, SLEEP), tmp_path)
    async with stack_of(process, tmp_path / "home") as stack:
        process.looks = 0
        assert await times_fired(stack, FROZEN, tmp_path / "events") == 1


async def test_a_process_that_starts_more_slowly_than_its_users_like_is_waited_for(
    tmp_path: Path,
) -> None:
    asked = itertools.count(1)

    async def at_the_third_look() -> bool:
        return next(asked) % 3 == 0

    process = SupervisedProcess(ChildSpec(ORDER, SLEEP, at_the_third_look), tmp_path)
    async with stack_of(process, tmp_path / "home") as stack:
        process.spec = replace(process.spec, ready_within_s=0.0)
        assert await times_fired(stack, ROLLED, tmp_path / "events") == 1
