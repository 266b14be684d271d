"""A folder for one restore at a time that is gone afterwards, also after a kill."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backup.durable import alone_in, made_folder, partial_beside, remove


@asynccontextmanager
async def scratch_in(folder: Path, doing: str) -> AsyncIterator[Path]:
    """Give an empty folder below `folder`; raise `AlreadyUnderWay` if another process has one."""
    made_folder(folder)
    with alone_in(folder, doing):
        scratch = partial_beside(folder / "scratch")
        scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            await asyncio.to_thread(remove, scratch)
