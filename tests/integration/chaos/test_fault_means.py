"""What process-level faults are made of does to processes what it says."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.nemesis import full_disk, network_namespace
from chaos.nemesis.patched_process import released, turned

TELLS_TIME = """
import datetime, json, time
print(json.dumps([time.time(), datetime.datetime.now(datetime.UTC).timestamp(), time.monotonic()]))
"""
AN_HOUR_S = 3_600.0
JUMPS_BACK = """
import sys, time
began, off = time.monotonic(), time.time()
if off < float(sys.argv[1]):
    print("over")  # the machine has started us after the jump
    raise SystemExit
while time.time() >= off:
    assert time.monotonic() - began < 30
print(off - time.time())
"""
SAYS_ITS_CODE = "from worker.temporal_worker import OrderWorkflow; print(OrderWorkflow.__name__)"
# Appends what comes in, a line at a time, and says what the kernel thinks of that.
WRITES = """
import sys
with open(sys.argv[1], "ab", buffering=0) as file:
    for line in sys.stdin.buffer:
        try:
            file.write(line)
            print("kept", flush=True)
        except OSError as error:
            print(error.errno, flush=True)
"""
EFBIG = "27"


def said(program: str, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_turned_clock_is_off_for_every_way_to_ask_but_spans() -> None:
    now, monotonic = time.time(), time.monotonic()
    told, also_told, span = json.loads(said(TELLS_TIME, turned("3600")))
    assert told - now == pytest.approx(AN_HOUR_S, abs=60)
    assert also_told - now == pytest.approx(AN_HOUR_S, abs=60)
    assert span - monotonic == pytest.approx(0, abs=60)


def test_a_clock_jumps_back_in_the_middle_of_the_work() -> None:
    soon = str(time.time() + AN_HOUR_S / 2)
    tries = (said(JUMPS_BACK, turned("3600 -3600@1.5"), soon) for _ in range(10))
    back = next(each for each in tries if each != "over")
    assert float(back) == pytest.approx(2 * AN_HOUR_S, abs=60)


def test_a_worker_has_the_code_of_a_later_release() -> None:
    assert said(SAYS_ITS_CODE, released(2)) == "LaterRelease"
    assert said(SAYS_ITS_CODE, {}) == "OrderWorkflow"


def test_a_process_that_cannot_be_altered_does_not_start() -> None:
    with pytest.raises(AssertionError, match="invalid literal"):
        said(SAYS_ITS_CODE, released(2) | {"WORKFLOW_RELEASE": "two"})


@pytest.mark.skipif(full_disk.why_not() is not None, reason=str(full_disk.why_not()))
async def test_a_full_disk_refuses_what_is_written_and_keeps_what_was(tmp_path: Path) -> None:
    file = tmp_path / "log"
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITES, str(file)),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdin is not None
    assert writer.stdout is not None

    async def write(text: str) -> str:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(text.encode())
        return (await writer.stdout.readline()).decode().strip()

    assert await write("before\n") == "kept"
    async with full_disk.full(lambda: [writer.pid], at_bytes=1):
        answers = [await write("x\n")]
        while answers[-1] == "kept":  # until the limit is in force
            answers.append(await write("x\n"))
        assert answers[-1] == EFBIG
    assert await write("after\n") == "kept"
    writer.stdin.close()
    await writer.wait()
    assert file.read_text().splitlines() == ["before", *"x" * (len(answers) - 1), "after"]


def test_an_altered_process_starts_also_where_nothing_can_be_logged() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "print('it runs')"],
            env=turned("3600") | released(1), stdout=subprocess.PIPE, stderr=full,
            check=False, timeout=60,
        )  # fmt: skip
    assert done.stdout == b"it runs\n"


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.skipif(
    network_namespace.why_not() is not None, reason=str(network_namespace.why_not())
)
@pytest.mark.parametrize("way", ["to", "from", "both"])
async def test_nothing_passes_while_the_network_is_parted(way: network_namespace.Direction) -> None:
    async with echo() as port, network_namespace.NetworkNamespace() as land:
        reader, writer = await asyncio.open_connection("127.0.0.1", await land.reach(port))
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        parting = asyncio.create_task(land.partition(way, 600.0))
        while await passes(reader, writer, within_s=0.3):  # until the kernel has begun
            assert not parting.done()
        parting.cancel()
        await asyncio.gather(parting, return_exceptions=True)
        # What was lost is sent again, by the kernel, without anybody's help.
        assert await asyncio.wait_for(reader.readline(), 30) == b"two\n"
        writer.close()
        await writer.wait_closed()


async def passes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within_s: float
) -> bool:
    writer.write(b"two\n")
    try:
        return await asyncio.wait_for(reader.readline(), within_s) == b"two\n"
    except TimeoutError:
        return False
