"""Supervisor of one child: starts it, probes it, starts it again when it dies, and logs it."""

import asyncio
import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.local.errors import StartRefused
from deploy.local.process.child import ChildSpec, end, kill_group, launch
from deploy.local.process.orphans import identity
from deploy.local.process.patience import Patience

_LOG = logging.getLogger("valerix.supervisor")

# A child that had become ready is started again at once: its users are waiting. One that dies
# before it is ready has a reason that will not go away in a millisecond, so each further try waits
# longer.
_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 5.0
_DEADLY = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}
_PROBE_INTERVAL_S = 0.02
_LATER_PROBE_INTERVAL_S = 0.2
_LOOK_INTERVAL_S = 0.5
_FAILURES_BEFORE_FIRST_READY = 3


class SupervisedProcess:
    """A child that is kept running between `start` and `stop`.

    `pid` is the present process (`None` while there is none), `exits` counts its deaths that
    nobody asked for, `ready` is an event, set while the present process has answered its probe.
    `log` gets one line for every start, readiness and end, with the pid; `on_change` is called
    after each of these.
    """

    def __init__(
        self,
        spec: ChildSpec,
        logs: Path,
        on_change: Callable[[], None] = lambda: None,
        log: logging.Logger = _LOG,
    ) -> None:
        self.spec = spec
        self.log_file = logs / f"{spec.name}.log"
        self.ready = asyncio.Event()
        self.log = log
        self.exits = 0
        self.last_exit_code: int | None = None
        self.started_at: float | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._on_change = on_change
        self._became_ready = False
        self._broken: StartRefused | None = None
        self._running = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The pid of the process that runs now."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def state(self) -> str:
        """One of ready, starting, restarting, stopped."""
        if self.pid is not None:
            return "ready" if self.ready.is_set() else "starting"
        kept = self._keeper is not None and not self._keeper.done()
        return "restarting" if kept else "stopped"

    async def start(self, *, extra_env: Mapping[str, str] | None = None) -> None:
        """Start the child and return when it has a process id; `wait_ready` waits for the rest.

        Started already: nothing.
        """
        if self._keeper is not None and not self._keeper.done():
            return
        if extra_env:
            self.spec = replace(self.spec, env={**self.spec.env, **extra_env})
        self._broken = None
        self._running.clear()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")
        running = asyncio.create_task(self._running.wait())
        await asyncio.wait({running, self._keeper}, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        self._raise_if_broken()

    async def wait_ready(self, within_s: float | None = None) -> None:
        """Return once the child answers its probe; `StartRefused` when it cannot come up.

        `within_s` is how long it may do nothing meanwhile; while it works it is waited for, up to
        `AT_MOST` times as long.
        """
        limit = self.spec.ready_within_s if within_s is None else within_s
        patience = Patience(limit, lambda: self.pid)
        # Again and again: who was ready may have died, and be noticed only now.
        while not self.ready.is_set():
            waiting = asyncio.create_task(self.ready.wait())
            watched: set[asyncio.Task[Any]] = {waiting}
            if self._keeper is not None:
                watched.add(self._keeper)
            look_again = min(limit, _LOOK_INTERVAL_S)
            try:
                await asyncio.wait(watched, timeout=look_again, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            self._raise_if_broken()
            given_up = self._keeper is None or self._keeper.done()
            if not self.ready.is_set() and (given_up or patience.is_over()):
                raise self._refusal(
                    f"{self.spec.name} did not become ready within {patience.took_s:.0f} s, and did"
                    f" nothing for {patience.idle_s:.0f} s of them (limit {limit:g} s)"
                )

    async def stop(self) -> None:
        """End the child cleanly and keep it down until `start`."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        process = self._process
        if process is not None and process.returncode is None:
            self.log.info("stopping %s pid=%d", self.spec.name, process.pid)
            await end(process, self.spec)
            self._note_exit(process)
        self._process = None
        self.ready.clear()
        self._on_change()

    async def restart(self, *, extra_env: Mapping[str, str] | None = None) -> None:
        """Stop it, then start it."""
        await self.stop()
        await self.start(extra_env=extra_env)

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the present process and return its pid.

        What dies of it is started again.
        """
        pid = self.pid
        if self._process is None or pid is None:
            raise ProcessLookupError(f"{self.spec.name} is not running")
        self._process.send_signal(sig)
        if sig in _DEADLY:
            # It may take the kernel a moment; whoever waits for readiness now means the next one.
            self.ready.clear()
        return pid

    def describe(self) -> dict[str, Any]:
        """Return what other commands are told of it; `born` names the pid's owner for good."""
        pid = self.pid
        return {
            "pid": pid,
            "born": identity(pid) if pid else None,
            "state": self.state,
            "exits": self.exits,
            "last_exit_code": self.last_exit_code,
            "started_at": self.started_at,
            "log": str(self.log_file),
        }

    async def _keep(self) -> None:
        """Start, watch, start again: until cancelled, or until it is clear it never comes up."""
        failures = 0
        was_ready_once = False
        while True:
            self._became_ready = False
            try:
                process = await self._launch()
            except (OSError, subprocess.SubprocessError) as error:
                self.log.warning("cannot start %s: %s", self.spec.name, error)
                problem = f"{self.spec.name} cannot be started: {error}"
            else:
                await self._watch(process)
                problem = f"{self.spec.name} ended {failures + 1} times before it was ready"
            was_ready_once = was_ready_once or self._became_ready
            failures = 0 if self._became_ready else failures + 1
            if failures >= _FAILURES_BEFORE_FIRST_READY and not was_ready_once:
                self._broken = self._refusal(problem)
                return
            self._on_change()
            if failures:
                longest = _FIRST_BACKOFF_S * 2.0 ** (failures - 1)
                await asyncio.sleep(min(_MAX_BACKOFF_S, longest))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Wait until this process has ended."""
        prober = asyncio.create_task(self._probe(process), name=f"probe {self.spec.name}")
        try:
            await process.wait()
        finally:
            prober.cancel()
        self.ready.clear()
        self.exits += 1
        self._note_exit(process, logging.WARNING)
        kill_group(process.pid)

    async def _launch(self) -> asyncio.subprocess.Process:
        # Shielded: a stop that arrives in the middle of a start must not lose the handle of a
        # process that already runs.
        starting = asyncio.ensure_future(launch(self.spec, self.log_file))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._process = await starting
            raise
        self._process = process
        self.started_at = time.time()
        self.log.info("started %s pid=%d", self.spec.name, process.pid)
        self._running.set()
        self._on_change()
        return process

    async def _probe(self, process: asyncio.subprocess.Process) -> None:
        began = time.monotonic()
        complained = False
        while process.returncode is None:
            if await self.spec.ready():
                took = time.monotonic() - began
                self._became_ready = True
                self.ready.set()
                self.log.info("ready %s pid=%d after=%.3fs", self.spec.name, process.pid, took)
                self._on_change()
                return
            waited = time.monotonic() - began
            if waited > self.spec.ready_within_s and not complained:
                complained = True
                self.log.warning(
                    "not ready %s pid=%d after=%.0fs, still waiting",
                    self.spec.name,
                    process.pid,
                    waited,
                )
            await asyncio.sleep(
                _PROBE_INTERVAL_S if waited < self.spec.ready_within_s else _LATER_PROBE_INTERVAL_S
            )

    def _note_exit(self, process: asyncio.subprocess.Process, level: int = logging.INFO) -> None:
        code = self.last_exit_code = process.returncode
        self.log.log(level, "exited %s pid=%d code=%s", self.spec.name, process.pid, code)

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _refusal(self, problem: str) -> StartRefused:
        tail = last_lines(self.log_file)
        return StartRefused(
            problem=f"{problem}\n{tail}" if tail else problem,
            kept="your data is untouched; everything that had started is stopped again",
            remedy=f"read {self.log_file}, mend the cause and start again",
        )


def log_handler(file: Path) -> logging.Handler:
    """Return what writes the lines of supervisors to a file, with times in UTC."""
    handler = logging.FileHandler(file)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler


def last_lines(file: Path, lines: int = 12) -> str:
    """Return the end of a log, indented for a message; empty when there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 8192))
            found = log.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return ""
    return "\n".join(f"    | {line}" for line in found)
