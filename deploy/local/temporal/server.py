"""Temporal's development server on a file database, tuned for a stream of short workflows.

Usable alone, as integration tests do::

    async with EmbeddedTemporal(folder) as temporal:
        client = await Client.connect(temporal.address)
"""

import json
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Literal

from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process.child import ChildSpec
from deploy.local.process.embedded_server import EmbeddedServer
from deploy.local.process.probes import http_get
from workflows import search_attributes

NAMESPACE = "default"
# As the command line of Temporal wants them: KEYWORD_LIST is KeywordList there.
SEARCH_ATTRIBUTES = {
    key.name: key.indexed_value_type.name.title().replace("_", "") for key in search_attributes.ALL
}

_NO_LIMIT = 1_000_000
_DYNAMIC_CONFIG: dict[str, int | bool] = {
    # Attributes are registered once, at the start: no look-up in the database for every workflow.
    "system.forceSearchAttributesCacheRefreshOnRead": False,
    # One queue, one machine: partitions would only forward tasks to each other.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # The limiters protect a shared cluster from its tenants. Here there is one tenant.
    "frontend.rps": _NO_LIMIT,
    "frontend.namespaceRPS": _NO_LIMIT,
    "frontend.namespaceRPS.visibility": _NO_LIMIT,
    "frontend.namespaceCount": 100_000,  # long polls and waiting updates: one per open order
    "history.rps": _NO_LIMIT,
    "matching.rps": _NO_LIMIT,
    "frontend.persistenceMaxQPS": _NO_LIMIT,
    "history.persistenceMaxQPS": _NO_LIMIT,
    "matching.persistenceMaxQPS": _NO_LIMIT,
    # Larger than the number of open orders of a burst, or each step reloads its history.
    "history.hostLevelCacheMaxSize": 12_000,
}


class EmbeddedTemporal(EmbeddedServer):
    """`temporal server start-dev` whose state is `folder/temporal.db`, on loopback only.

    `ui_port=None` runs without the Web UI. `synchronous` is SQLite's: NORMAL keeps
    every step over the death of processes, FULL over a power cut, too, and is about a quarter
    slower. Orders need no more than NORMAL (docs/decisions/0008).
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        ui_port: int | None = None,
        synchronous: Literal["FULL", "NORMAL"] = "NORMAL",
        logs: Path | None = None,
    ) -> None:
        super().__init__(folder, logs or folder)
        self.port = port or free_port()
        self.ui_port = ui_port
        self.synchronous = synchronous
        self._http_port = free_port()

    @property
    def address(self) -> str:
        """`host:port` of the frontend."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def database(self) -> Path:
        """The file that holds every workflow."""
        return self.folder / "temporal.db"

    def spec(self) -> ChildSpec:
        options = {
            "--ip": LOOPBACK,
            "--port": str(self.port),
            "--http-port": str(self._http_port),
            "--db-filename": str(self.database),
            "--log-level": "error",
        }
        if self.ui_port is not None:
            options |= {"--ui-ip": LOOPBACK, "--ui-port": str(self.ui_port)}
        repeated = [
            ("--sqlite-pragma", "journal_mode=WAL"),
            ("--sqlite-pragma", f"synchronous={self.synchronous}"),
            *(("--search-attribute", f"{key}={kind}") for key, kind in SEARCH_ATTRIBUTES.items()),
            *(
                ("--dynamic-config-value", f"{key}={json.dumps(value)}")
                for key, value in _DYNAMIC_CONFIG.items()
            ),
        ]
        arguments = [part for pair in (*options.items(), *repeated) for part in pair]
        if self.ui_port is None:
            arguments.append("--headless")
        return ChildSpec(
            name="temporal",
            argv=(str(find_temporal()), "server", "start-dev", *arguments),
            ready=self._ready,
            env=_environment(self.folder),
            cwd=self.folder,
        )

    async def _ready(self) -> bool:
        """Tell whether the namespace answers and knows our search attributes.

        The Web UI follows a second later; nothing waits for it.
        """
        path = f"/api/v1/namespaces/{NAMESPACE}/search-attributes"
        answer = await http_get(self._http_port, path)
        if answer is None or answer[0] != 200:
            return False
        try:
            known = json.loads(answer[1]).get("customAttributes", {})
        except ValueError:
            return False
        return set(SEARCH_ATTRIBUTES) <= set(known)


def find_temporal() -> Path:
    """Return the program of the wheel, which puts it beside python, else one on PATH."""
    of_the_wheel = Path(sysconfig.get_path("scripts")) / "temporal"
    if of_the_wheel.is_file():
        return of_the_wheel
    if on_path := shutil.which("temporal"):
        return Path(on_path)
    raise StartRefused(
        problem=f"the program `temporal` is neither in {of_the_wheel.parent} nor on PATH",
        kept="nothing was started or changed",
        remedy="install the packages of requirements.lock again (make clean up)",
    )


def _environment(folder: Path) -> dict[str, str]:
    """Return a clean one: TEMPORAL_* of the terminal would point the server's tools elsewhere."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "TZ": "UTC",
        # Fewer collections: the server is the largest user of CPU, and memory is there.
        "GOGC": "400",
        # … but not all of it: beyond this much, the collector works harder instead.
        "GOMEMLIMIT": "500MiB",
    }
