"""NiceGUI's storage of what belongs to a browser, with two gaps closed.

NiceGUI hands out a browser's storage while its file is still being read. After a restart, the
second of two tabs that come back together would see an empty storage: another customer, and an
empty cart. Here nobody sees it before it is loaded.

NiceGUI also takes each process for the only one: it reads a file once, and writes what it
remembers over whatever another replica has written since. Here a changed file is read again, and
a change is on disk when it has been made.
"""

import asyncio
import json
import os
from pathlib import Path

from nicegui import core
from nicegui.persistence import FilePersistentDict, PersistentDict
from nicegui.storage import USER_PREFIX, Storage

from service_kit.observability import logs
from ui.identity import Browser

_log = logs.get(__name__)
_Stamp = tuple[int, int] | None


class SharedFile(FilePersistentDict):
    """A browser's storage in a file that several replicas read and write."""

    def __init__(self, filepath: Path) -> None:
        super().__init__(filepath, encoding="utf-8")
        self._read_as: _Stamp = None

    async def initialize(self) -> None:
        """Read the file."""
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if somebody else has written it."""
        stamp = self._stamp()
        if stamp == self._read_as:
            return
        try:
            found = json.loads(self.filepath.read_text(encoding="utf-8")) if stamp else {}
        except (OSError, ValueError) as error:
            _log.warning("a browser's storage cannot be read", reason=type(error).__name__)
            return
        # past the observed methods: what has just been read need not be written
        dict.clear(self)
        dict.update(self, found)
        self._read_as = stamp

    def backup(self) -> None:
        """Write the file, at once and as a whole."""
        if not self and not self.filepath.exists():
            return
        written = self.filepath.with_name(f"{self.filepath.name}.{os.getpid()}.tmp")
        written.write_text(json.dumps(self), encoding="utf-8")
        written.replace(self.filepath)
        self._read_as = self._stamp()

    def _stamp(self) -> _Stamp:
        try:
            found = self.filepath.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def refreshed(browser: Browser) -> Browser:
    """Return the storage as the last replica has left it."""
    if isinstance(browser, SharedFile):
        browser.refresh()
    return browser


def keep_in(folder: Path) -> None:
    """Keep the browsers' storages in `folder`, each complete before it is first seen."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    Storage.path = folder.resolve()
    storage = core.app.storage
    loading: dict[str, asyncio.Task[None]] = {}

    def made(session_id: str) -> PersistentDict:
        if Storage.redis_url:
            return Storage._create_persistent_dict(f"{USER_PREFIX}{session_id}")
        return SharedFile(Storage.path / f"storage-{USER_PREFIX}{session_id}.json")

    async def load(session_id: str) -> None:
        kept = made(session_id)
        await kept.initialize()
        storage._users.setdefault(session_id, kept)

    async def load_once(session_id: str) -> None:
        task = loading.get(session_id)
        if task is None:
            task = loading[session_id] = asyncio.create_task(load(session_id))
            task.add_done_callback(lambda _: loading.pop(session_id, None))
        await asyncio.shield(task)

    storage._create_user_storage = load_once  # type: ignore[method-assign]  # its only hook
