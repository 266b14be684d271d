"""Child processes: what to run, and how to start it so that it cannot outlive us."""

import asyncio
import contextlib
import os
import signal
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.process.privileges import Account, before_exec

Probe = Callable[[], Awaitable[bool]]


async def always_ready() -> bool:
    """Be the probe of a program that is watched only until it ends."""
    return True


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run and how it is treated.

    `ready` answers whether the child can do its work; it must return quickly and never raise.
    `stop_signal` asks for a clean end within `stop_within_s`; `death_signal` is what the
    kernel sends when we are gone. `ready_within_s` is how long it may do nothing before it is
    ready.
    """

    name: str
    argv: tuple[str, ...]
    ready: Probe = always_ready
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    ready_within_s: float = 30.0


async def launch(spec: ChildSpec, log: Path) -> asyncio.subprocess.Process:
    """Start the child, its output appended to `log`.

    It gets a session of its own: Ctrl-C is for us, children are stopped in order.
    """
    with log.open("ab") as output, warnings.catch_warnings():
        # Python 3.12+ warns about any fork while threads exist; the code between fork and exec is
        # four system calls.
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        return await asyncio.create_subprocess_exec(
            *spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(spec.env),
            cwd=spec.cwd,
            start_new_session=True,
            preexec_fn=before_exec(spec.account, spec.death_signal) if os.name == "posix" else None,
        )


async def end(process: asyncio.subprocess.Process, spec: ChildSpec) -> None:
    """Ask the child to end; after `stop_within_s` kill it and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(spec.stop_signal)
        process.send_signal(signal.SIGCONT)  # a frozen one could not hear the first
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), spec.stop_within_s)
    kill_group(process.pid)
    await process.wait()


def kill_group(pid: int) -> None:
    """Send SIGKILL to the group that the child leads: ends grandchildren that stayed behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
