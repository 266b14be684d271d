"""Keys of orders that this command line has sent and whose outcome nobody knows."""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any, TextIO

from deploy.local.state_dir import StateDir


class UnansweredOrder:
    """The key of an order, kept from before it is sent until it is known what became of it.

    The same command then asks for the same order again and does not buy it a second time. A file
    for each; whoever is at it holds its lock, so that two commands at once are two orders.
    """

    def __init__(self, state_dir: StateDir, customer: str, lines: list[dict[str, Any]]) -> None:
        content = json.dumps([customer, sorted(lines, key=lambda line: str(line["sku"]))])
        self._folder = state_dir.folder / "cli-unanswered"
        self._folder.mkdir(exist_ok=True, mode=0o700)
        self._name = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._file: TextIO | None = None

    def __enter__(self) -> "UnansweredOrder":
        """Look after one order."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what is still kept to the next command."""
        self._let_go()

    def key(self) -> str | None:
        """Return the key of such an order that was left without an answer, if there is one."""
        for path in sorted(self._folder.glob(f"{self._name}-*")):
            if self._take(path) and (key := self._held().read()):
                return key
        return None

    def remember(self, key: str) -> None:
        """Keep `key` on disk; called before the order is sent."""
        name = hashlib.sha256(key.encode()).hexdigest()[:8]
        if not self._take(self._folder / f"{self._name}-{name}"):
            return  # somebody else is asking for this very order
        file = self._held()
        file.seek(0)
        file.truncate()
        file.write(key)
        file.flush()
        os.fsync(file.fileno())

    def forget(self) -> None:
        """Give the key up: it is known what became of the order."""
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _held(self) -> TextIO:
        assert self._file is not None, "only after it was taken"
        return self._file

    def _take(self, path: Path) -> bool:
        if self._file is not None and Path(self._file.name) == path:
            return True
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        if not os.fstat(file.fileno()).st_nlink:  # answered while we were opening it
            file.close()
            return False
        self._let_go()
        file.seek(0)
        self._file = file
        return True
