"""An event loop in a thread of its own, for what outlives a test's loop: servers and databases."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self, TypeVar

Result = TypeVar("Result")


class EventLoopThread:
    """Runs coroutines from any thread; a context manager around its loop's life."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop_thread")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Return the coroutine's result; the calling thread waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @contextmanager
    def entered(self, thing: AbstractAsyncContextManager[Result]) -> Iterator[Result]:
        """Keep an async context manager entered, all of it in one task of this loop."""
        ready: asyncio.Future[Result] = self._loop.create_future()
        leave = asyncio.Event()

        async def hold() -> None:
            try:
                async with thing as entered:
                    ready.set_result(entered)
                    await leave.wait()
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

        async def outcome() -> Result:
            return await ready

        holding = asyncio.run_coroutine_threadsafe(hold(), self._loop)
        try:
            yield self.run(outcome())
        finally:
            self._loop.call_soon_threadsafe(leave.set)
            holding.result()
