"""Temporal's file is damaged: the start says so, and goes on without it when told to."""

import asyncio
import os
import pty
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.contracts import TERMINAL
from deploy.local.temporal.database_file import PUT_ASIDE, damage, put_aside
from deploy.local.temporal.server import EmbeddedTemporal
from tests.support.asking_again import kept
from tests.support.command_line import VALERIX, CommandLine
from tests.support.order_stack import eventually

PAGE = 4096


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def overwritten(file: Path) -> None:
    with file.open("r+b") as found:
        found.write(b"not a database any more" * 10)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // PAGE // 2 * PAGE)


def holed(file: Path) -> None:
    """Lose pages in the middle: the server would start, and fail at some orders only."""
    pages = file.stat().st_size // PAGE
    with file.open("r+b") as found:
        for page in range(4, pages, 2):
            found.seek(page * PAGE)
            found.write(bytes(PAGE))


def without_its_log(file: Path) -> None:
    """As if somebody had tidied up: all that was written lately is in the file beside it."""
    file.write_bytes(file.read_bytes()[:PAGE])
    file.with_name(f"{file.name}-wal").unlink(missing_ok=True)


def kept_beside(file: Path) -> Path:
    [kept] = file.parent.glob("*.damaged-*Z")
    return kept


def checkpoint_log(file: Path) -> None:
    """Bring into the main file what is in the log beside it."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.mark.parametrize("harm", [emptied, overwritten, cut_off, holed, without_its_log])
async def test_damage_is_found_and_put_aside_and_the_server_starts_anew(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    async with EmbeddedTemporal(tmp_path) as temporal:
        file = temporal.database
        assert damage(file) is None, "nothing is wrong with a file in use"
    assert damage(file) is None
    if harm is not without_its_log:
        checkpoint_log(file)
        assert damage(file) is None
    harm(file)
    assert damage(file)
    harmed = file.read_bytes()
    aside = put_aside(file)
    assert aside.read_bytes() == harmed
    assert damage(file) is None, "where there is no file there is nothing wrong with it"
    async with EmbeddedTemporal(tmp_path):
        pass


@pytest.fixture
async def valerix(tmp_path: Path) -> AsyncIterator[CommandLine]:
    async with CommandLine(tmp_path / "home") as line:
        yield line


class StackCustomer:
    """One customer of a stack, over HTTP, and its stock."""

    def __init__(self, valerix: CommandLine, tokens: dict[str, str]) -> None:
        self._orders = f"http://127.0.0.1:{valerix.ports.order}/v1/orders"
        self._stock = f"http://127.0.0.1:{valerix.ports.inventory}/v1/stock/MUG-BLUE"
        self._tokens = tokens

    def who(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens[role]}"}

    async def place(self, key: str) -> str:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(headers=self.who("shopper"), timeout=30) as http:
                return await http.post(
                    self._orders,
                    json={"lines": [{"sku": "MUG-BLUE", "quantity": 1}]},
                    headers={"Idempotency-Key": key},
                )

        answer = await kept(send, 60.0)
        assert answer.status_code == 202, answer.text
        order_id: str = answer.json()["order_id"]
        return order_id

    async def settled(self, order_id: str) -> dict[str, Any]:
        async def ended() -> dict[str, Any]:
            async with httpx.AsyncClient(headers=self.who("shopper"), timeout=30) as http:
                order: dict[str, Any] = (await http.get(f"{self._orders}/{order_id}")).json()
            return order if order.get("status") in TERMINAL else {}

        return await eventually(ended, 90.0)

    async def stock(self) -> dict[str, Any]:
        async def told() -> dict[str, Any]:
            async with httpx.AsyncClient(headers=self.who("staff"), timeout=30) as http:
                answer = await http.get(self._stock)
            level: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
            return level

        return await eventually(told)


async def customer_of(valerix: CommandLine) -> StackCustomer:
    tokens = {}
    for role in ("shopper", "staff"):
        _, said = await valerix.run("token", "--role", role)
        tokens[role] = said.strip()
    return StackCustomer(valerix, tokens)


async def test_open_orders_end_once_after_a_damaged_file_was_put_aside(
    valerix: CommandLine,
) -> None:
    await valerix.up()
    customer = await customer_of(valerix)
    before = await customer.stock()
    state = valerix.home.read_state()
    assert state is not None
    os.kill(state["children"]["inventory_api"]["pid"], signal.SIGSTOP)
    orders = await asyncio.gather(*(customer.place(f"key-{n}") for n in range(4)))
    await valerix.run("stop")
    file = valerix.home.temporal / "temporal.db"
    checkpoint_log(file)
    overwritten(file)

    code, said = await valerix.run("up")
    assert code == 1
    assert f"{file} is damaged" in said
    assert f"valerix up {PUT_ASIDE}" in said
    assert file.exists()

    await valerix.up(PUT_ASIDE)
    for order_id in orders:
        assert (await customer.settled(order_id))["status"] == "shipped"
    after = await customer.stock()
    assert after["on_hand"] == before["on_hand"] - len(orders)
    assert after["reserved"] == 0
    kept = kept_beside(file)
    assert kept.read_bytes().startswith(b"not a database any more")
    assert f"put aside {kept}" in (valerix.home.logs / "supervisor.log").read_text()


async def test_a_person_at_a_terminal_is_asked(valerix: CommandLine) -> None:
    file = valerix.home.temporal / "temporal.db"
    valerix.home.create().temporal.mkdir()
    emptied(file)
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(*VALERIX, "up"),
        env=valerix.env,
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(theirs)
    valerix.running.append(process)
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readuntil(b"start with a new one?"), 60)
    assert f"{file} is damaged" in said.decode()
    os.write(ours, b"y\n")
    said = await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C stops everything"), 60)
    assert "put aside" in said.decode()
    assert f"rm '{file}.damaged-" in said.decode()
    process.terminate()
    await process.communicate()
    os.close(ours)
