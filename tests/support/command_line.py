"""The command `valerix` as a person at a terminal runs it, with a home and ports of its own."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Self

from deploy.local.services import Services
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from deploy.local.state_dir import StateDir
from tests.support.order_stack import eventually

VALERIX = (sys.executable, "-m", "deploy.cli")


class CommandLine:
    """`valerix` in a home of its own, on ports of its own; with `backups` if they are meant."""

    def __init__(self, home: Path, *, backups: bool = False) -> None:
        self.home = StateDir(home)
        self.ports = Ports.free()
        numbers = {name: str(port) for name, port in self.ports.by_variable().items()}
        self.env = {**os.environ, **numbers, "VALERIX_HOME": str(home), "COLUMNS": "200"}
        self.env["BACKUP"] = "true" if backups else "false"
        self.env["BACKUP_RESERVE_BYTES"] = "0"  # whatever this machine's disk has left
        self.within_s = 60.0
        self.running: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.running:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.communicate(), 60)

    async def up(self, *options: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(*VALERIX, "up", *options),
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
        )
        self.running.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            async for line in process.stdout:
                if b"Ctrl-C stops everything" in line:
                    return process
        raise AssertionError("it ended before it was up")

    async def run(self, *arguments: str, **env: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(*VALERIX, *arguments),
            env={**self.env, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            stdin=asyncio.subprocess.DEVNULL,
        )
        output, _ = await asyncio.wait_for(process.communicate(), self.within_s)
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def order(self, *arguments: str) -> tuple[int, str]:
        """Order until there is an answer about the order: each time it is the same one."""
        for _ in range(10):
            code, said = await self.run("order", *arguments)
            if "no answer about the order" not in said:
                break
        return code, said

    async def is_well(self) -> str:
        """Return what `status` says once all passes: the pages of Temporal follow it, say."""

        async def passes() -> str:
            code, said = await self.run("status")
            return said if code == 0 else ""

        return await eventually(passes, self.within_s)

    def pids(self) -> list[int]:
        state = self.home.read_state()
        assert state is not None
        children = [child["pid"] for child in state["children"].values()]
        # one that is just being started has none yet
        return [state["supervisor"]["pid"], *filter(None, children)]


def looking_at(valerix: CommandLine) -> Stack:
    """The stack that runs in another process, to be asked for addresses and tokens."""
    stack = Stack(StackSettings(home=valerix.home.folder, ports=valerix.ports))
    stack.token_key = valerix.home.existing_token_key()
    stack.services = Services(stack.settings, stack.token_key, stack.postgres)
    stack.postgres.read_passwords()
    return stack
