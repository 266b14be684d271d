"""Thread and event loop of one subscriber, so that its hanging harms no other."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

from service_kit.http import server
from service_kit.observability import logs
from service_kit.postgres import pool
from subscribers.contracts import Subscriber
from subscribers.runner import APPLICATION, Runner

# A subscriber may hang in a statement of its own for as long as the runner lets it.
STATEMENT_TIMEOUT_S = 15.0
HEARTBEAT_S = 0.5
STOP_TIMEOUT_S = 2.0

_log = logs.get(__name__)


class SubscriberThread:
    """Runs one subscriber until stopped; one that blocks its thread can only be left behind."""

    def __init__(self, name: str, subscriber: Subscriber, dsn: str) -> None:
        self.name = name
        self._subscriber = subscriber
        self._dsn = dsn
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._heartbeat_at = time.monotonic()
        self._stopping = False
        # a thread that never returns must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name=f"subscriber {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._heartbeat_at = time.monotonic()
        self._thread.start()

    async def stop(self) -> None:
        """End, or leave alone what does not end."""
        self._stopping = True
        self._call(self._cancel)
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)
        if self._thread.is_alive():
            _log.warning("subscriber does not end, left behind", subscriber=self.name)

    def wake(self) -> None:
        """Say that there may be something to read; from any thread."""
        self._call(self._changed.set)

    def silent_s(self) -> float:
        """Return for how many seconds only the subscriber's own code has run in its thread."""
        return max(time.monotonic() - self._heartbeat_at - HEARTBEAT_S, 0.0)

    def _call(self, callback: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                self._loop.call_soon_threadsafe(callback)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=server.event_loop()) as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except BaseException as error:
            _log.critical("subscriber's thread ended", subscriber=self.name, reason=repr(error))
        if not self._stopping:
            os.kill(os.getpid(), signal.SIGTERM)  # better restarted than silent

    async def _serve(self) -> None:
        connections = await pool.create(
            self._dsn,
            name=APPLICATION,
            size=2,  # one while it works, one to note a failure
            lock_timeout_s=STATEMENT_TIMEOUT_S,
            statement_timeout_s=STATEMENT_TIMEOUT_S,
        )
        runner = Runner(self.name, self._subscriber, connections, self._changed)
        self._tasks = [asyncio.create_task(runner.run()), asyncio.create_task(self._heartbeat())]
        if self._stopping:
            self._cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*self._tasks)
        finally:
            connections.terminate()

    async def _heartbeat(self) -> None:
        while True:
            self._heartbeat_at = time.monotonic()
            await asyncio.sleep(HEARTBEAT_S)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
