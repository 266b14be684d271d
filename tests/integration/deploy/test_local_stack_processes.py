"""The supervisor on real processes: restarts, readiness, and an end together with its parent."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import StartRefused
from deploy.local.process import patience, supervisor
from deploy.local.process.child import ChildSpec
from deploy.local.process.orphans import end_orphans, identity
from deploy.local.process.supervisor import SupervisedProcess
from tests.support.processes import runs, wait_until_gone

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
async def sleeper(tmp_path: Path) -> AsyncIterator[SupervisedProcess]:
    process = SupervisedProcess(ChildSpec(name="sleeper", argv=SLEEP), tmp_path)
    await process.start()
    await process.wait_ready()
    yield process
    await process.stop()


async def test_a_death_that_nobody_has_noticed_yet_is_no_failed_start(
    sleeper: SupervisedProcess,
) -> None:
    old = sleeper.kill()  # not ready from now on
    waits = asyncio.create_task(sleeper.wait_ready(60))
    for _ in range(5):
        await asyncio.sleep(0)  # it waits
    sleeper.ready.set()
    sleeper.ready.clear()  # ready, and dead again before anybody who waits could look
    await waits
    assert sleeper.pid != old


async def test_a_child_that_was_ready_is_started_again_at_once(
    sleeper: SupervisedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 3600.0)
    monkeypatch.setattr(supervisor, "_MAX_BACKOFF_S", 3600.0)
    for _ in range(5):
        old = sleeper.kill()
        await sleeper.wait_ready(60)
        assert sleeper.pid not in (None, old)
    assert sleeper.exits == 5
    assert sleeper.last_exit_code == -signal.SIGKILL


async def test_every_start_and_end_is_logged_with_its_pid(
    sleeper: SupervisedProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    old = sleeper.kill()
    await sleeper.wait_ready()
    messages = [record.getMessage() for record in caplog.records]
    assert f"exited sleeper pid={old} code=-9" in messages
    assert f"started sleeper pid={sleeper.pid}" in messages


async def test_what_is_stopped_stays_down_until_started(sleeper: SupervisedProcess) -> None:
    pid = sleeper.pid
    assert pid is not None
    await sleeper.stop()
    assert (sleeper.pid, sleeper.state, sleeper.exits) == (None, "stopped", 0)
    assert not runs(pid)
    await sleeper.start(extra_env={"SEEN": "yes"})
    await sleeper.wait_ready()
    assert sleeper.pid is not None
    assert psutil.Process(sleeper.pid).environ()["SEEN"] == "yes"


async def test_a_frozen_child_can_still_be_stopped(sleeper: SupervisedProcess) -> None:
    # killed, for want of patience, it would have to be only long after it has heard the request
    sleeper.spec = replace(sleeper.spec, stop_within_s=60.0)
    pid = sleeper.kill(signal.SIGSTOP)
    assert sleeper.pid == pid
    await sleeper.stop()
    assert sleeper.last_exit_code == -signal.SIGTERM
    assert not runs(pid)


async def test_a_child_that_ignores_the_request_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"print(subprocess.Popen({list(SLEEP)!r}).pid, flush=True); time.sleep(600)"
    )
    stubborn = ChildSpec(name="stubborn", argv=(sys.executable, "-c", code), stop_within_s=0.3)
    log = tmp_path / "stubborn.log"

    async def said_something() -> bool:
        return bool(log.read_text())

    process = SupervisedProcess(replace(stubborn, ready=said_something), tmp_path)
    await process.start()
    await process.wait_ready()
    grandchild = int(log.read_text())
    assert runs(grandchild)
    await process.stop()
    await wait_until_gone([grandchild])


async def test_one_that_never_comes_up_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    code = "import sys; sys.exit('no database here')"
    spec = ChildSpec(name="broken", argv=(sys.executable, "-c", code), ready=never)
    process = SupervisedProcess(spec, tmp_path)
    await process.start()
    with pytest.raises(StartRefused, match=r"broken ended 3 times(.|\n)*no database here"):
        await process.wait_ready()
    await process.stop()


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    process = SupervisedProcess(ChildSpec(name="ghost", argv=("/no/such/program",)), tmp_path)
    with pytest.raises(StartRefused, match="ghost cannot be started"):
        await process.start()
    await process.stop()


async def test_one_that_is_not_ready_in_time_is_reported(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = SupervisedProcess(ChildSpec(name="slow", argv=SLEEP, ready=never), tmp_path)
    await process.start()
    with pytest.raises(StartRefused, match="did not become ready"):
        await process.wait_ready(within_s=0.1)
    await process.stop()


async def test_one_that_works_is_waited_for_beyond_the_limit(tmp_path: Path) -> None:
    log = tmp_path / "busy.log"

    async def is_done() -> bool:
        return bool(log.read_text())

    code = (
        "import time\n"
        "while time.process_time() < 4.0: pass\n"
        "print('done', flush=True); time.sleep(600)"
    )
    argv = (sys.executable, "-c", code)
    process = SupervisedProcess(ChildSpec(name="busy", argv=argv, ready=is_done), tmp_path)
    await process.start()
    try:
        # Of its start, in which it waits for its own files, much less than that is idle.
        await process.wait_ready(within_s=2.0)
    finally:
        await process.stop()


async def test_the_work_of_children_counts_and_endless_work_is_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> bool:
        return False

    monkeypatch.setattr(patience, "AT_MOST", 6.0)
    code = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'while True: pass'], check=False)"
    )
    argv = (sys.executable, "-c", code)
    process = SupervisedProcess(ChildSpec(name="parent", argv=argv, ready=never), tmp_path)
    await process.start()
    began = time.monotonic()
    with pytest.raises(StartRefused, match="did not become ready"):
        await process.wait_ready(within_s=0.5)
    assert time.monotonic() - began >= 3.0
    await process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
async def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from deploy.local.process.child import ChildSpec
from deploy.local.process.supervisor import SupervisedProcess

async def main():
    children = [
        SupervisedProcess(ChildSpec(name=f"c{{n}}", argv={SLEEP!r}), Path({str(tmp_path)!r}))
        for n in range(3)
    ]
    for child in children:
        await child.start()
    print(*(child.pid for child in children), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = [int(text) for text in (await parent.stdout.readline()).split()]
    assert len(pids) == 3
    assert all(runs(pid) for pid in pids)
    parent.kill()
    await parent.wait()
    await wait_until_gone(pids)


async def test_where_the_kernel_does_not_help_the_watch_ends_the_children(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(*SLEEP, start_new_session=True)
    state = {"children": {"worker": {"pid": child.pid, "born": identity(child.pid)}}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    watch = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.process.orphans", str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
    )
    assert watch.stdin is not None
    assert runs(child.pid)
    watch.stdin.close()  # as the kernel does for a parent that was killed
    await watch.wait()
    assert await asyncio.wait_for(child.wait(), 10.0) == -signal.SIGKILL


async def test_a_stranger_with_the_pid_of_a_dead_child_is_left_alone(
    sleeper: SupervisedProcess,
) -> None:
    assert sleeper.pid is not None
    state = {"children": {"worker": {"pid": sleeper.pid, "born": 12345.0}, "ui": {"pid": None}}}
    assert end_orphans(state) == []
    assert runs(sleeper.pid)
    assert end_orphans(None) == []
    assert os.getpid() != sleeper.pid
