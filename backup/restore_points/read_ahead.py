"""Read-ahead of the archive: the next files of the log, unpacked before a recovery asks for them.

A week of log can be 20,000 files of half a minute each, and to start an interpreter for each costs
twenty times what it takes to unpack one. So the command that the server runs (`archive`) says which
file it asks for, and moves it to its place if it lies ready here. If not, it fetches it itself.

Only that says what is missing and what is damaged. So a reader that is late, or dead, or asked for
other files than it expects costs time and nothing else.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backup.durable import remove
from backup.errors import BackupProblem
from backup.restore_points import archive

# Enough for a server that takes a few of these at once, and no burden on a disk: 256 MiB.
FILES = 16
_AT_MOST_BYTES = 256 << 20
_POLL_INTERVAL_S = 0.01
_PARTIAL = ".unpacking"
_ZEROS = bytes(128 << 10)


Give = Callable[[Path], None]


@contextmanager
def read_ahead(
    log: Sequence[str], wal: Path, data: Path, give: Give | None = None
) -> Iterator[None]:
    """Keep the next files of `log` ready for the server that recovers `data`, from those in `wal`.

    `log` are names in the order in which they are read; `give` hands a file to the server's
    account, if that is another one. Enter it before the server is started, and leave it when that
    has ended: nothing is left behind then.
    """
    ahead = ReadAhead(log, wal, archive.ahead_of(data), give)
    ahead.folder.mkdir(mode=0o700, exist_ok=True)
    if give is not None:
        give(ahead.folder)
    done = threading.Event()
    reader = threading.Thread(target=ahead.run, args=(done,), name="read ahead", daemon=True)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join()
        remove(ahead.folder)


class ReadAhead:
    """What lies ready in `folder`: up to `FILES` files, behind the one that was asked for last."""

    def __init__(
        self, log: Sequence[str], wal: Path, folder: Path, give: Give | None = None
    ) -> None:
        self.folder = folder
        self._log = log
        self._wal = wal
        self._give = give
        self._place = {name: number for number, name in enumerate(log)}
        self._asked_for = -1
        self._left_out: set[str] = set()

    def run(self, done: threading.Event) -> None:
        """Keep files ready until it is done."""
        while not done.is_set():
            if not self.step():
                done.wait(_POLL_INTERVAL_S)

    def step(self) -> bool:
        """Clear away what was passed, make one more file ready; return whether there was one."""
        ready = self._ready()
        self._look()  # later: what was taken was asked for before
        # The one that was asked for may not have been taken yet.
        near = self._log[max(self._asked_for, 0) : self._asked_for + 1 + FILES]
        for name in ready.keys() - {*near, archive.ASKED_FOR}:
            self._discard(name)
        if sum(ready.get(name, 0) for name in near) >= _AT_MOST_BYTES:
            return False
        for name in self._log[self._asked_for + 1 : self._asked_for + 1 + FILES]:
            if name not in ready and name not in self._left_out:
                return self._unpack(name)
        return False

    def _look(self) -> None:
        """See what the server has asked for last: back again, too, if it was started anew."""
        with contextlib.suppress(OSError):  # for nothing yet
            asked_for = (self.folder / archive.ASKED_FOR).read_text().strip()
            # A name that is not in there is that of a history, or half-written.
            self._asked_for = self._place.get(asked_for, self._asked_for)

    def _ready(self) -> dict[str, int]:
        found = {}
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # taken just now
                found[entry.name] = entry.stat().st_size
        return found

    def _unpack(self, name: str) -> bool:
        """Make a file ready, all of it at once; return whether there is anything to do at once.

        A damaged one is left to the server's command, which says so when it is really needed.
        """
        partial = self.folder / f"{name}{_PARTIAL}"
        try:
            write_sparse(archive.read(self._wal, name), partial)
            if self._give is not None:
                self._give(partial)
            partial.rename(self.folder / name)
        except BackupProblem:
            self._left_out.add(name)
        except OSError:  # not there, or no room for it: it may come
            self._discard(partial.name)
            return False
        return True

    def _discard(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / name).unlink(missing_ok=True)


def write_sparse(content: bytes, target: Path) -> None:
    """Write a file whose zeros at the end take no room: nearly all of one that was closed early.

    A server that kept such a file for later log of its own could run out of disk in the middle of
    it: one that is given these must not (`wal_recycle`).
    """
    end = len(content)
    while end and content.endswith(_ZEROS, 0, end):
        end -= len(_ZEROS)
    with target.open("wb") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(memoryview(content)[:end])
        out.truncate(len(content))
