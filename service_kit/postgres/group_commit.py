"""Group commit: requests that wait for the database share the next transaction.

No timer is involved. While one batch is being written, newcomers gather; when it is done, all of
them go together, so a lone request waits for nobody and a crowd pays for one commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

# How long a batch that failed is taken apart to find the members that are good.
SPLIT_FOR_S = 1.0

Request = TypeVar("Request")
Result = TypeVar("Result")


class GroupCommit(Generic[Request, Result]):
    """Runs `write` on batches of requests and hands each caller its own answer.

    `write` takes 1 to `max_batch` requests with distinct keys and returns their answers in the
    same order, or raises, in which case nothing was written; an answer that is an exception is
    raised for its caller.

    A bad request cannot take its neighbours with it: after an error the batch is written again in
    halves, and these in halves, until the request at fault stands alone; but not for longer than
    `SPLIT_FOR_S`, nor after a TimeoutError, by which the database itself is silent. One that is
    alone with an error in `raced` is tried once more, to see who won. After an error of which
    `doubtful` says that it may have been written, a later "no" proves nothing: the doubt stands.
    Two requests with the same key never share a batch: the second sees what the first one wrote.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Request]], Awaitable[Sequence[Result | Exception]]],
        key: Callable[[Request], Hashable],
        *,
        raced: tuple[type[Exception], ...] = (),
        doubtful: Callable[[Exception], bool] = lambda _: False,
        max_batch: int = 256,
        writers: int = 1,
    ) -> None:
        self._write = write
        self._key = key
        self._raced = raced
        self._doubtful = doubtful
        self._max_batch = max_batch
        self._waiting: list[tuple[Request, asyncio.Future[Result]]] = []
        self._idle_writers = writers
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, request: Request) -> Result:
        """Return the answer to `request`, or raise what `write` raised for it alone.

        A caller that is cancelled before its batch starts is left out of it; later, the write
        goes on without a listener, as a lost answer would.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._idle_writers:
            self._idle_writers -= 1
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self) -> None:
        try:
            while batch := self._next_batch():
                await self._write_batch(batch)
        finally:
            self._idle_writers += 1

    def _next_batch(self) -> list[tuple[Request, asyncio.Future[Result]]]:
        batch: list[tuple[Request, asyncio.Future[Result]]] = []
        later: list[tuple[Request, asyncio.Future[Result]]] = []
        keys: set[Hashable] = set()
        for entry in self._waiting:
            request, future = entry
            if future.done():
                continue
            key = self._key(request)
            if len(batch) < self._max_batch and key not in keys:
                keys.add(key)
                batch.append(entry)
            else:
                later.append(entry)
        self._waiting = later
        return batch

    async def _write_batch(self, batch: list[tuple[Request, asyncio.Future[Result]]]) -> None:
        try:
            await self._write_all(batch)
        except Exception as error:
            until = asyncio.get_running_loop().time() + SPLIT_FOR_S
            await self._split(batch, error, until)

    async def _write_all(self, batch: list[tuple[Request, asyncio.Future[Result]]]) -> None:
        answers = await self._write([request for request, _ in batch])
        for (_, future), answer in list(zip(batch, answers, strict=True)):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _split(
        self,
        batch: list[tuple[Request, asyncio.Future[Result]]],
        error: Exception,
        until: float,
        doubt: Exception | None = None,
    ) -> None:
        """Write in parts what failed with `error` as a whole, for those who still wait."""
        if doubt is None and self._doubtful(error):
            doubt = error
        over = isinstance(error, TimeoutError) or asyncio.get_running_loop().time() >= until
        if over or (len(batch) == 1 and not isinstance(error, self._raced)):
            for _, future in batch:
                if not future.done():
                    future.set_exception(doubt or error)
            return
        middle = len(batch) // 2
        for part in (batch[:middle], batch[middle:]):
            waiting = [entry for entry in part if not entry[1].done()]
            if not waiting:
                continue
            try:
                await self._write_all(waiting)
            except Exception as again:
                if len(batch) == 1:  # its second try alone is its last
                    until = 0.0
                await self._split(waiting, again, until, doubt)
