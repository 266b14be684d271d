"""Commands `valerix status`, `stop` and `reset`: a stack as seen from another terminal."""

import asyncio
import time
from pathlib import Path
from typing import Any

import psutil
import typer
from rich.table import Table

from deploy.local.errors import StartRefused
from deploy.local.process.probes import http_get
from deploy.local.running_stack import (
    RunningStack,
    find_running_stack,
    find_state_dir,
    require_running_stack,
)
from deploy.local.settings import StackSettings
from deploy.local.state_dir import StateDirLock
from deploy.terminal import coloured, out
from order_api.client_rules import members_of

# Longer than the slowest clean stop of all children in a row.
_STOP_TIMEOUT_S = 90.0


def show_status(*, as_json: bool) -> int:
    """Return 0 when everything runs and passes, 1 when something does not, 3 when nothing runs."""
    stack = find_running_stack()
    if stack is None:
        if as_json:
            out.print_json(data={"running": False})
        else:
            out.print(f"Nothing runs in {find_state_dir().folder}. Start it with: make up")
        return 3
    rows = asyncio.run(_rows(stack))
    if as_json:
        out.print_json(data={"running": True, "supervisor": stack.pid, "processes": rows})
    else:
        _show(stack, rows)
    return 0 if all(row["health"] in ("pass", "warn") for row in rows) else 1


async def _rows(stack: RunningStack) -> list[dict[str, Any]]:
    looks = (_row(name, child, stack) for name, child in stack.children.items())
    return list(await asyncio.gather(*looks))


async def _row(name: str, child: dict[str, Any], stack: RunningStack) -> dict[str, Any]:
    health, version, output = await _health(name, child, stack)
    return {
        "name": name,
        "pid": child.get("pid"),
        "port": child.get("port"),
        "state": child.get("state"),
        "health": health,
        "version": version,
        "detail": output,
        "restarts": child.get("exits", 0),
        "started_at": child.get("started_at"),
        "log": child.get("log"),
    }


async def _health(name: str, child: dict[str, Any], stack: RunningStack) -> tuple[str, str, str]:
    """Return health, version and what is wrong."""
    if child.get("pid") is None:
        return "fail", "", "not running"
    if name == "postgres":
        ok = child.get("state") == "ready"
        return "pass" if ok else "fail", stack.state.get("postgres_version", ""), ""
    if name == "temporal":
        answer = await http_get(stack.state["temporal_ui_port"], "/api/v1/system-info")
        found = members_of(answer[1]) if answer and answer[0] == 200 else {}
        return "pass" if found else "fail", found.get("serverVersion", ""), ""
    answer = await http_get(child["port"], "/health", within_s=3.0)
    found = members_of(answer[1]) if answer else {}
    if not found:
        return "fail", "", "/health does not answer"
    wrong = [
        f"{key}: {each.get('output', each.get('status'))}"
        for key, checks in found.get("checks", {}).items()
        for each in checks
        if each.get("status") != "pass"
    ]
    return found.get("status", "fail"), found.get("version", ""), "; ".join(wrong)


def _show(stack: RunningStack, rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("what", "state", "health", "version", "port", "pid", "restarts", "up for", ""):
        table.add_column(title)
    for row in rows:
        since = row["started_at"]
        table.add_row(
            row["name"],
            coloured(row["state"]),
            coloured(row["health"]),
            row["version"],
            str(row["port"] or ""),
            str(row["pid"] or ""),
            str(row["restarts"]),
            _age(time.time() - since) if since else "",
            row["detail"],
        )
    out.print(table)
    out.print(
        f"supervisor pid {stack.pid}, home {stack.state_dir.folder}", style="dim", soft_wrap=True
    )


def _age(seconds: float) -> str:
    """Return `12 s`, `5 min` or `3.1 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def stop_stack() -> None:
    """Ask the supervisor to end everything, and return when it is gone."""
    stack = require_running_stack()
    try:
        supervisor = psutil.Process(stack.pid)
        supervisor.terminate()
        supervisor.wait(_STOP_TIMEOUT_S)
    except psutil.TimeoutExpired as error:
        raise StartRefused(
            problem=f"the stack (pid {stack.pid}) has not ended within {_STOP_TIMEOUT_S:.0f} s",
            kept="its data is safe, whichever way it ends",
            remedy=f"see {stack.state_dir.logs / 'supervisor.log'}; kill -9 {stack.pid} is safe",
        ) from error
    except psutil.AccessDenied as error:
        raise StartRefused(
            problem=f"the stack (pid {stack.pid}) belongs to another user",
            kept="it goes on undisturbed",
            remedy="stop it as that user",
        ) from error
    except psutil.NoSuchProcess:
        pass  # it ended by itself between the look and the signal
    out.print("Stopped.")


def reset_home(*, yes: bool) -> None:
    """Delete what the stack keeps, after saying what that is."""
    state_dir = find_state_dir()
    holder = StateDirLock(state_dir).holder()
    if holder is not None:
        raise StartRefused(
            problem=f"a stack is running in {state_dir.folder} (pid {holder})",
            kept="nothing was deleted",
            remedy="stop it first: valerix stop",
        )
    contents = state_dir.contents()
    if not contents:
        out.print(f"There is nothing to delete in {state_dir.folder}.")
        return
    out.print("This deletes for ever:", style="bold")
    for path in contents:
        out.print(f"  {path}  {_size(path) / 1e6:.1f} MB", soft_wrap=True)
    if not yes and not typer.confirm("All orders, stock, keys and logs. Go on?"):
        out.print("Nothing was deleted.")
        raise typer.Exit(1)
    lock = StateDirLock(state_dir)
    lock.acquire()  # a start between the question and the answer wins
    state_dir.delete()
    lock.release()
    out.print("Deleted. The next start begins with an empty shop.")
    backups = StackSettings.from_environment().backup_home
    if backups is not None and backups.exists():
        out.print(
            f"Backups are kept in {backups}: valerix restore brings the shop back.",
            markup=False,
            soft_wrap=True,
        )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
