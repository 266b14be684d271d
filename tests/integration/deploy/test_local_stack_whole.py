"""`valerix up` as a person meets it: real processes, real stores, killed and started again."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.errors import StartRefused
from deploy.local.services import INVENTORY, ORDER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import POSTGRES, Stack
from deploy.local.state_dir import StateDirLock
from tests.support.command_line import VALERIX, CommandLine
from tests.support.processes import runs, wait_until_gone


@pytest.fixture
async def valerix(tmp_path: Path) -> AsyncIterator[CommandLine]:
    async with CommandLine(tmp_path / "home", backups=True) as line:
        yield line


async def test_a_shop_survives_kill_9_of_every_process(valerix: CommandLine) -> None:
    await valerix.up()
    code, said = await valerix.order("KETTLE-STEEL=2")
    assert (code, "is shipped" in said) == (0, True), said
    pids = valerix.pids()
    assert len(pids) == len(set(pids)) >= 8  # legacy_service and backup among them

    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # the first death takes the others along
            os.kill(pid, signal.SIGKILL)
    await valerix.running[0].wait()
    await wait_until_gone(pids)

    await valerix.up()
    # the same key again is the same order: it was not lost, and it is not placed twice
    code, again = await valerix.order("KETTLE-STEEL=2", "--key", "cli-1")
    assert (code, "is shipped" in again) == (0, True), again
    assert said.rpartition("order ")[2] == again.rpartition("order ")[2]


async def test_status_stop_and_reset_know_whether_it_runs(valerix: CommandLine) -> None:
    assert (await valerix.run("status"))[0] == 3
    code, said = await valerix.run("stop")
    assert (code, "no stack is running" in said) == (1, True)
    await valerix.up()
    assert "supervisor pid" in await valerix.is_well()

    code, said = await valerix.run("reset", "--yes")
    assert (code, "nothing was deleted" in said) == (1, True)
    code, said = await valerix.run("up")
    assert (code, "is running in" in said) == (1, True)
    assert "it goes on undisturbed" in said

    pids = valerix.pids()
    code, said = await valerix.run("stop")
    assert (code, said.strip()) == (0, "Stopped.")
    assert not any(runs(pid) for pid in pids)
    assert StateDirLock(valerix.home).holder() is None
    assert not valerix.home.state_file.exists()

    code, said = await valerix.run("reset", "--yes")
    assert code == 0
    assert str(valerix.home.postgres) in said
    assert not valerix.home.folder.exists()
    backups = valerix.home.folder.with_name("home-backup")
    assert str(backups) in said
    assert [*(backups / "clusters").glob("*/wal/*.zst")]


async def test_children_end_when_the_supervisor_is_killed(valerix: CommandLine) -> None:
    process = await valerix.up()
    pids = valerix.pids()
    process.kill()
    await wait_until_gone(pids)
    await process.wait()  # a zombie may still have a thread that holds the lock
    assert StateDirLock(valerix.home).holder() is None


async def test_a_taken_port_starts_nothing(valerix: CommandLine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = await valerix.run("up", INVENTORY_PORT=str(port))
    assert code == 1
    assert f"port {port} is taken by" in said
    assert f"INVENTORY_PORT={port + 10000 if port < 55536 else port - 10000} make up" in said
    assert not valerix.home.postgres.exists()
    assert not valerix.home.temporal.exists()
    assert StateDirLock(valerix.home).holder() is None


async def test_interrupted_while_starting_it_leaves_nothing_running(valerix: CommandLine) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*VALERIX, "up"),
        env=valerix.env,
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    valerix.running.append(process)
    assert process.stdout is not None
    async for line in process.stdout:
        if b"schema" in line:  # Postgres runs by now, Temporal probably, the services do not
            pids = valerix.pids()
            break
    process.send_signal(signal.SIGINT)
    said = await asyncio.wait_for(process.stdout.read(), 60)
    # unless we stood still for as long as a start takes
    up_by_then = b"Ctrl-C stops everything" in said
    assert await process.wait() == (0 if up_by_then else 130)
    assert not any(runs(pid) for pid in pids)


async def test_one_service_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    settings = StackSettings(home=tmp_path, ports=Ports.free())
    stack = Stack(settings.with_env(INVENTORY, INVENTORY_POOL_SIZE="many"))
    gave_up = r"inventory_api ended 3 times(.|\n)*POOL_SIZE"
    with pytest.raises(StartRefused, match=gave_up):
        await stack.up()
    assert all(process.pid is None for process in stack.processes.values())
    assert stack.processes[POSTGRES].last_exit_code == 0


async def test_without_backups_nothing_of_them_runs_or_is_kept(valerix: CommandLine) -> None:
    valerix.env["BACKUP"] = "false"
    await valerix.up()
    state = valerix.home.read_state()
    assert state is not None
    assert not {"backup", "legacy_service"} & state["children"].keys()
    code, said = await valerix.run("backup", "now")
    assert (code, "backup is not part of the running stack" in said) == (1, True)
    assert not valerix.home.folder.with_name("home-backup").exists()


async def test_the_stack_as_an_object_kills_stops_and_restarts_by_name(tmp_path: Path) -> None:
    settings = StackSettings(home=tmp_path, ports=Ports.free(), inventory_replicas=2)
    async with Stack(settings) as stack:
        assert f"{INVENTORY}-2" in stack.processes
        old = stack.kill(INVENTORY)
        await stack.wait_ready(INVENTORY)
        new = stack.processes[INVENTORY].pid
        assert new not in (None, old)

        await stack.stop(ORDER)
        assert stack.processes[ORDER].pid is None
        await stack.start(ORDER, LOG_LEVEL="WARNING")
        await stack.wait_ready(ORDER)
        assert stack.processes[ORDER].exits == 0

        log = (stack.state_dir.logs / "supervisor.log").read_text()
        assert f"exited inventory_api pid={old} code=-9" in log
        assert f"started inventory_api pid={new}" in log
    assert all(process.pid is None for process in stack.processes.values())
