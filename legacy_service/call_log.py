"""The service's own count of its calls, which survives the death of the process."""

import asyncio
import json
import os
import threading
from datetime import date, datetime
from pathlib import Path


class CallLog:
    """Counts calls in one file for each UTC date, a line for each call.

    A line is on disk before the call goes on: whoever looks later sees every call that can have
    had an effect, and one that was cut off in the middle of its line counts, too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def create(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    async def count(self, today: date, at: datetime, asked: date) -> int:
        """Write down a call that comes on `today` and return its number, from 1."""
        line = json.dumps({"at": at.isoformat(), "asked": asked.isoformat()})
        return await asyncio.to_thread(self._append, today, line)

    async def calls(self, day: date) -> int:
        """Return how many calls came on `day`."""
        return await asyncio.to_thread(self._lines, day)

    def _append(self, day: date, line: str) -> int:
        file = self._file(day)
        with self._one_at_a_time:
            is_new = not file.exists()
            with file.open("ab+") as log:
                log.seek(0)
                earlier = log.read()
                torn = earlier and not earlier.endswith(b"\n")
                log.write(b"\n" * bool(torn) + line.encode() + b"\n")
                log.flush()
                os.fsync(log.fileno())
            if is_new:
                sync_folder(self._folder)
            return _count(earlier) + 1

    def _lines(self, day: date) -> int:
        try:
            return _count(self._file(day).read_bytes())
        except FileNotFoundError:
            return 0

    def _file(self, day: date) -> Path:
        return self._folder / day.isoformat()


def _count(content: bytes) -> int:
    return len(content.splitlines())


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on disk, which syncing the files themselves does not do."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
