"""Group commit: requests that wait for the database share the next transaction.

No timer is involved. While one batch is being written, newcomers gather; when it is done, all of
them go together, so a lone request waits for nobody and a crowd pays for one commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

# Together with the others; alone, after somebody else's error; once more after one of its own.
TRIES = 3

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Request, Answer]):
    """Runs `write` on batches of requests and hands each caller its own answer.

    `write` takes 1 to `max_batch` requests with distinct keys and returns their answers in the
    same order, or raises, in which case nothing was written; an answer that is an exception is
    raised for its caller. After one of the errors in `blame`, those that a single request can
    cause, each request is tried again, alone, so that a bad one cannot take its neighbours with
    it and one that lost a race sees who won; any other error (database gone, too slow) is
    everyone's answer.
    Two requests with the same key never share a batch: the second sees what the first one wrote.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]],
        key: Callable[[Request], Hashable],
        *,
        blame: tuple[type[Exception], ...] = (),
        max_batch: int = 256,
        writers: int = 1,
    ) -> None:
        self._write = write
        self._key = key
        self._blame = blame
        self._max_batch = max_batch
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._idle_writers = writers
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, request: Request) -> Answer:
        """Return the answer to `request`, or raise what `write` raised for it alone.

        A caller that is cancelled before its batch starts is left out of it; later, the write
        goes on without a listener, as a lost answer would.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
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
                await self._settle(batch)
        finally:
            self._idle_writers += 1

    def _next_batch(self) -> list[tuple[Request, asyncio.Future[Answer]]]:
        batch: list[tuple[Request, asyncio.Future[Answer]]] = []
        later: list[tuple[Request, asyncio.Future[Answer]]] = []
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

    async def _settle(
        self, batch: list[tuple[Request, asyncio.Future[Answer]]], *, tries: int = TRIES
    ) -> None:
        try:
            answers = await self._write([request for request, _ in batch])
            answered = list(zip(batch, answers, strict=True))
        except Exception as error:
            if isinstance(error, self._blame) and tries > 1:
                for entry in batch:
                    await self._settle([entry], tries=tries - 1)
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in answered:
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
