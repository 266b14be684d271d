"""Where NiceGUI keeps what belongs to a browser, with a gap in its loading closed.

NiceGUI hands out a browser's storage while its file is still being read. After a restart, the
second of two tabs that come back together would see an empty storage: another customer, and an
empty cart. Here nobody sees it before it is loaded.
"""

import asyncio
from pathlib import Path

from nicegui import core
from nicegui.storage import USER_PREFIX, Storage


def keep_in(folder: Path) -> None:
    """Keep the browsers' storages in `folder`, each complete before it is first seen."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    Storage.path = folder.resolve()
    storage = core.app.storage
    loading: dict[str, asyncio.Task[None]] = {}

    async def load(session_id: str) -> None:
        kept = Storage._create_persistent_dict(f"{USER_PREFIX}{session_id}")
        await kept.initialize()
        storage._users.setdefault(session_id, kept)

    async def load_once(session_id: str) -> None:
        task = loading.get(session_id)
        if task is None:
            task = loading[session_id] = asyncio.create_task(load(session_id))
            task.add_done_callback(lambda _: loading.pop(session_id, None))
        await asyncio.shield(task)

    storage._create_user_storage = load_once  # type: ignore[method-assign]  # its only hook
