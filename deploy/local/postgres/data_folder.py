"""Postgres' data folder: passwords, an initialised cluster, no older server in it."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from deploy.local.errors import StartRefused
from deploy.local.postgres.binaries import PostgresBinaries
from deploy.local.process.child import ChildSpec, kill_group, launch
from deploy.local.process.privileges import Account
from deploy.local.process.supervisor import last_lines
from deploy.local.state_dir import write_private

_ORPHAN_STOP_TIMEOUT_S = 10.0


def environment() -> dict[str, str]:
    """Return an environment without PGDATA, PGPORT or a terminal's locale."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def passwords_in(file: Path, roles: Iterable[str], *, data: Path) -> dict[str, str]:
    """Read `role:password` lines, or make them once; for a role that is new, at a later start.

    They are on disk before the cluster is, so there is never a cluster without them.
    """
    known: dict[str, str] = {}
    if file.exists():
        known = dict(line.split(":", 1) for line in file.read_text().splitlines())
        if known.keys() >= set(roles):
            return known
    elif data.exists():
        raise StartRefused(
            problem=f"{file} is missing, so nobody can log in to the database in {data}",
            kept="the data is untouched, nothing was started",
            remedy="put the file back from a copy, or start over with: valerix reset",
        )
    made = {role: known.get(role) or secrets.token_hex(24) for role in roles}
    write_private(file, "".join(f"{role}:{password}\n" for role, password in made.items()))
    return made


def data_version(data: Path) -> int | None:
    """Return the major version that wrote an existing data folder."""
    try:
        return int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def accepts_connections(data: Path, port: int) -> bool:
    """Look where `pg_ctl` does: the last line of postmaster.pid says `ready` from then on."""
    lines = _postmaster_lines(data)
    return (
        len(lines) >= 8
        and lines[7].strip() == "ready"
        and lines[3] == str(port)
        and _serves(int(lines[0]), data)
    )


def server_pid(data: Path) -> int | None:
    """Return the pid of the server that runs, or was killed, in this folder."""
    lines = _postmaster_lines(data)
    return int(lines[0]) if lines else None


async def end_orphan(data: Path) -> None:
    """End a server that an earlier run left in this folder because its supervisor was killed.

    The kernel has told it to end already (on Linux), so the first second is only waiting.
    """
    if not (data / "postmaster.pid").exists():
        return
    began = time.monotonic()
    asked = False
    while servers := _servers_of(data):
        waited = time.monotonic() - began
        if waited > _ORPHAN_STOP_TIMEOUT_S:
            pids = " ".join(map(str, servers))
            raise StartRefused(
                problem=f"a Postgres server of an earlier run (pid {pids}) in {data} does not end",
                kept="its data is untouched, nothing was started",
                remedy=f"end it with: kill -QUIT {pids}",
            )
        if not asked and waited > 1.0:
            asked = True
            for pid in servers:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGQUIT)
        await asyncio.sleep(0.02)
    # A new server would refuse to start if some process had the pid in this file: a stranger that
    # got the number later, or the dead server itself where nobody collects orphans. None of its
    # processes lives, and nobody else starts one while we hold the lock of the home.
    (data / "postmaster.pid").unlink(missing_ok=True)


async def build_cluster(
    data: Path,
    *,
    binaries: PostgresBinaries,
    account: Account | None,
    superuser: str,
    password: str,
    log: Path,
    fsync: bool,
) -> None:
    """Run initdb beside the place, then move the result there: never a half-made cluster."""
    building = data.with_name(f"{data.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    password_file = building.with_name("initdb.password")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if account is not None:
        account.take(building)
        account.take(password_file)
    options = ["--encoding=UTF8", "--no-locale", "--data-checksums", "--no-instructions"]
    if not fsync:
        options.append("--no-sync")
    initdb = ChildSpec(
        name="initdb",
        argv=(
            str(binaries.initdb),
            *options,
            "--auth=scram-sha-256",
            f"--username={superuser}",
            f"--pwfile={password_file}",
            f"--pgdata={building}",
        ),
        env=environment(),
        cwd=Path("/"),
        account=account,
    )
    try:
        process = await launch(initdb, log)
        try:
            code = await process.wait()
        finally:
            kill_group(process.pid)
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_cluster(f"{binaries.initdb} cannot be run{_as_whom(account)}", log) from error
    finally:
        password_file.unlink(missing_ok=True)
    if code != 0:
        raise _no_cluster(f"initdb ended with code {code}\n{last_lines(log)}", log)
    building.rename(data)


def _as_whom(account: Account | None) -> str:
    if account is None:
        return ""
    reach = " (which may not enter all folders above it)" if account.bridge else ""
    return f" by the account with uid {account.uid}{reach}"


def _no_cluster(problem: str, log: Path) -> StartRefused:
    return StartRefused(
        problem=problem,
        kept="nothing was created",
        remedy=f"read {log}, mend the cause and start again",
    )


def _postmaster_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _servers_of(data: Path) -> list[int]:
    """Return all live processes of a server in this folder, its children included."""
    import psutil

    return [pid for pid in psutil.pids() if _serves(pid, data)]


def _serves(pid: int, data: Path) -> bool:
    """Tell whether this pid is a server of this folder, not a stranger given the number later."""
    import psutil

    try:
        process = psutil.Process(pid)
        found = process.cmdline()
        return str(data) in found and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
