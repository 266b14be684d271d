"""Command `valerix up`: the stack in the foreground, and what a person needs to begin."""

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from deploy.local.ports import LOOPBACK
from deploy.local.process.privileges import LINUX, end_with_parent
from deploy.local.process.probes import http_get
from deploy.local.services import BACKUP, LEGACY, ORDER, UI, service_of
from deploy.local.settings import StackSettings
from deploy.local.stack import POSTGRES, TEMPORAL, Stack
from deploy.local.temporal.database_file import DamagedTemporalFile
from deploy.terminal import coloured, err, out, print_refusal, print_unwrapped
from workflows.contracts import workflow_id

_SHOPPER = "alice"
_PURPOSES = {
    "ui": "shop and warehouse",
    "order_api": "takes orders",
    "inventory_api": "owns the stock",
    "worker": "carries orders out",
    "subscribers": "react to what happens",
    BACKUP: "keeps copies of all of it",
    LEGACY: "stands in for the customer's backup service",
    TEMPORAL: "the story of each order",
    POSTGRES: "orders, inventory",
}


def run(*, quiet: bool, put_aside: bool = False) -> int:
    """Run until Ctrl-C, SIGTERM or a closed terminal; return the exit code.

    `put_aside` lets it start with a new file for Temporal where the old one is damaged; a person
    at a terminal is asked.
    """
    if "MAKELEVEL" in os.environ:
        # Nobody expects a stack to go on when the `make up` that showed it was killed.
        end_with_parent(signal.SIGTERM)
    settings = StackSettings.from_environment()
    fresh_file = replace(settings, put_damaged_temporal_file_aside=True)
    try:
        return asyncio.run(_run(fresh_file if put_aside else settings, quiet=quiet))
    except DamagedTemporalFile as refusal:
        if put_aside or not sys.stdin.isatty():
            raise
        print_refusal(refusal)
    typer.confirm("Put the damaged file aside and start with a new one?", abort=True)
    return asyncio.run(_run(fresh_file, quiet=quiet))


async def _run(settings: StackSettings, *, quiet: bool) -> int:
    began = time.monotonic()
    say = _say_nothing if quiet else out.print

    def progress(name: str, what: str) -> None:
        line = Text(f"  {time.monotonic() - began:5.1f} s  {name:<14} ")
        say(line.append(what, style="green" if what == "ready" else "dim"))

    stack = Stack(settings, progress)
    starting = asyncio.create_task(stack.up())
    asked_to_end = _end_when_asked_to(stack, starting)
    say("Starting Valerix", style="bold", end="")
    say(f" in {settings.home}", style="dim", soft_wrap=True)
    try:
        await starting
    except asyncio.CancelledError:
        say("Stopped before it was up; nothing is left running.")
        return 130
    if stack.put_aside is not None:
        _say_what_was_put_aside(stack.put_aside)
    try:
        if not quiet:
            await _show(stack, time.monotonic() - began)
            stack.log.addHandler(_RestartNotices())
        await asked_to_end.wait()
    finally:
        with contextlib.suppress(OSError):  # the terminal may be what is gone
            say("\nStopping …", style="dim")
        await stack.down()
    say("Everything is stopped; the data stays for the next start.")
    return 0


def _say_nothing(*_: object, **__: object) -> None:
    """Be the printer of `--quiet`."""


def _end_when_asked_to(stack: Stack, starting: asyncio.Task[None]) -> asyncio.Event:
    """Return what is set by Ctrl-C, SIGTERM or a closed terminal; these end the start, too."""
    asked_to_end = asyncio.Event()

    def end() -> None:
        if not asked_to_end.is_set():
            asked_to_end.set()
            starting.cancel()

    def on_interrupt() -> None:
        if asked_to_end.is_set():
            stack.kill_everything()  # Ctrl-C for the second time: no patience is left
        end()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGHUP, end)
    _on_terminal_hangup(loop, end)
    return asked_to_end


def _say_what_was_put_aside(file: Path) -> None:
    err.print(Text("Temporal's damaged file was put aside.", style="yellow"), soft_wrap=True)
    err.print(Text(f"kept: {file}"), soft_wrap=True)
    err.print(Text("next: open orders are taken up again by themselves, within a minute."))
    err.print(Text(f"      When nobody wants the file any more: rm '{file}'*"), soft_wrap=True)


def _on_terminal_hangup(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    """Call `tell` once when the terminal hangs up.

    Its SIGHUP goes to the leader of the session only. Where that is `make`, it waits for us, and
    nobody tells us. Asking for no event at all still gets hang-ups, and never reads a key press.
    """
    if not (LINUX and sys.stdin.isatty()):
        return
    watch = select.epoll()
    watch.register(sys.stdin.fileno(), 0)

    def gone() -> None:
        loop.remove_reader(watch)
        tell()

    loop.add_reader(watch, gone)


class _RestartNotices(logging.Handler):
    """Log handler that shows a person that something died and was started again."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            line = f"  {time.strftime('%H:%M:%S')}  {record.getMessage()}"
            with contextlib.suppress(OSError):
                err.print(Text(line, style="yellow"))


async def _show(stack: Stack, took_s: float) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("what", "address", "state", "pid", "for"):
        table.add_column(title)
    order = [UI, ORDER, *(name for name in _PURPOSES if name not in (UI, ORDER))]
    shown = sorted(stack.processes, key=lambda name: order.index(service_of(name)))
    for name in shown:
        process = stack.processes[name]
        address = f"{LOOPBACK}:{stack.settings.ports.postgres}"
        if name != POSTGRES:
            address = stack.url(name)
        what = _PURPOSES[service_of(name)]
        table.add_row(name, address, coloured(process.state), str(process.pid), what)
    out.print(f"\nReady after {took_s:.1f} s.\n", style="bold green")
    out.print(table)
    out.print(f"\nLogs and data: {stack.state_dir.folder}", style="dim", soft_wrap=True)
    if (backups := stack.settings.backup_home) is not None:
        out.print(
            f"Backups: {backups} (keep a copy of key/secret elsewhere: nothing opens without it)",
            style="dim",
            markup=False,
            soft_wrap=True,
        )
    if ORDER in stack.processes:
        await _show_first_order(stack)
    out.print("\nCtrl-C stops everything.\n", style="bold")


async def _show_first_order(stack: Stack) -> None:
    from order_api.contracts import order_id_for

    token = stack.token(_SHOPPER, "shopper")
    key = f"first-{int(stack.started_at)}"
    body = json.dumps({"lines": [{"sku": await _some_sku(stack, token), "quantity": 1}]})
    out.print("\nA token of a shopper, good for a day:", style="bold")
    print_unwrapped(token)
    out.print("\nPlace an order:", style="bold")
    print_unwrapped(
        f"curl -i -X POST {stack.url(ORDER)}/v1/orders"
        f" -H 'Authorization: Bearer {token}' -H 'Idempotency-Key: {key}'"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
    out.print("\nIts story, once it is placed:", style="bold")
    print_unwrapped(workflow_page(stack.url(TEMPORAL), workflow_id(order_id_for(_SHOPPER, key))))


def workflow_page(web_ui: str, workflow_id: str) -> str:
    """Return the address of one workflow in Temporal's Web UI."""
    return f"{web_ui}/namespaces/default/workflows/{workflow_id}"


async def _some_sku(stack: Stack, token: str) -> str:
    """Return the first of the catalogue; its answer is small, so the plain probe does."""
    answer = await http_get(
        stack.services.ports[ORDER], "/v1/products", authorization=f"Bearer {token}"
    )
    try:
        return str(json.loads(answer[1])["items"][0]["sku"]) if answer else "MUG"
    except (ValueError, KeyError, IndexError):
        return "MUG"
