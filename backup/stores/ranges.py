"""An object of a bucket, fetched in ranges.

A client's timeout is for a whole request, from its first byte to the last one of its body: an
object of any size never comes in time on a line of any speed, and a line that is cut loses all that
had come. A range of an object is short, and only it is asked for again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import obstore
from obstore import Bytes
from obstore.exceptions import GenericError
from obstore.store import S3Store as Bucket

from backup.errors import StoreUnavailable
from service_kit.observability import logs

_log = logs.get(__name__)

RANGE_BYTES = 16 * 1024 * 1024
# What a line has to carry within the client's timeout.
_LEAST_RANGE_BYTES = 256 * 1024
# Before each further try: a server that starts again, or a line that is down for a moment.
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)

Answer = TypeVar("Answer")


class RangedObject:
    """The object `key` of a bucket; `what` is how people know it.

    Raises `StoreUnavailable` when the same range did not come again and again, `FileNotFoundError`
    when there is no such object, and other errors of obstore at once: a refusal stays one.
    """

    def __init__(self, bucket: Bucket, key: str, what: str) -> None:
        self._bucket = bucket
        self._key = key
        self._what = what
        self._range_bytes = RANGE_BYTES

    async def size_bytes(self) -> int:
        """Return how large it is."""

        async def ask() -> int:
            found = await obstore.head_async(self._bucket, self._key)
            return found["size"]

        return await self._tried(ask, f"the size of {self._what}")

    async def pieces(self, size_bytes: int) -> AsyncIterator[Bytes]:
        """Yield so many bytes of its content, in order."""
        begin = 0
        while begin < size_bytes:
            piece = await self._range(begin, size_bytes)
            yield piece
            begin += len(piece)

    async def _range(self, begin: int, size_bytes: int) -> Bytes:
        """Return what comes next. What did not come in time is asked for by halves from then on."""
        left = size_bytes - begin

        async def ask() -> Bytes:
            length = min(self._range_bytes, left)
            try:
                piece = await obstore.get_range_async(
                    self._bucket, self._key, start=begin, length=length
                )
            except GenericError:
                self._range_bytes = max(length // 2, _LEAST_RANGE_BYTES)
                raise
            if not len(piece):
                raise StoreUnavailable(f"{self._what} became shorter while it was fetched")
            return piece

        doing = f"{self._what}, of which {begin} of {size_bytes} bytes had come"
        return await self._tried(ask, doing)

    async def _tried(self, ask: Callable[[], Awaitable[Answer]], asked_for: str) -> Answer:
        for pause_s in _PAUSES_S:
            try:
                return await ask()
            except GenericError as error:
                reason = in_one_line(error)
                _log.warning("asking again", what=asked_for, pause_s=pause_s, reason=reason)
                await asyncio.sleep(pause_s)
        try:
            return await ask()
        except GenericError as error:
            raise StoreUnavailable(
                f"nothing came of {asked_for}, {len(_PAUSES_S) + 1} times in a row; nothing of it"
                " is kept here, and the store has all that it had; see that the line to it holds,"
                f" and do it again: {in_one_line(error)}"
            ) from error


def in_one_line(error: Exception) -> str:
    """Return what obstore says of an error, without most of what it says for its authors."""
    return " ".join(str(error).split())[:300]
