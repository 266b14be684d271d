"""Settings of the local stack: ports, where it keeps its things, and how many of what.

A plain dataclass: the process that supervises everything else should cost next to no memory.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, Self

from deploy.local.errors import StartRefused
from deploy.local.ports import free_port

PROJECT = Path(__file__).resolve().parents[2]
MIN_FREE_DISK_BYTES = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports by field; the environment variable is the field's name in capitals with `_PORT`."""

    ui: int = 8080
    order: int = 8101
    inventory: int = 8102
    worker: int = 8103
    subscribers: int = 8104
    legacy_service: int = 8106
    backup: int = 8107
    temporal: int = 7233
    temporal_ui: int = 8233
    postgres: int = 5439

    @classmethod
    def free(cls) -> Self:
        """Return ports that nobody uses now, for tests that run beside a stack."""
        return cls(**{each.name: free_port() for each in fields(cls)})

    def by_variable(self) -> dict[str, int]:
        """Return each port under the name of its environment variable."""
        return {variable(each.name): getattr(self, each.name) for each in fields(self)}


def variable(name: str) -> str:
    """Return the environment variable of a field of `Ports`."""
    return f"{name.upper()}_PORT"


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Settings of one stack; `extra_env` adds to the environment of children, by their names.

    `inventory_replicas` beyond the first get free ports and the names `inventory_api-2`, ….
    `only` limits what is started; Postgres and Temporal are servers like the others there.
    Without `backup_home`, which is never inside `home`, there are no backups.
    """

    home: Path
    backup_home: Path | None = None
    ports: Ports = field(default_factory=Ports)
    inventory_replicas: int = 1
    temporal_synchronous: Literal["FULL", "NORMAL"] = "NORMAL"
    fault_injection: bool = True
    extra_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    only: frozenset[str] | None = None
    put_damaged_temporal_file_aside: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read where everything is, the ports and the few switches; refuse what makes no sense."""
        environ = os.environ if environ is None else environ
        synchronous = environ.get("TEMPORAL_SQLITE_SYNCHRONOUS", "NORMAL").upper()
        if synchronous not in ("FULL", "NORMAL"):
            raise _bad("TEMPORAL_SQLITE_SYNCHRONOUS", synchronous, "FULL or NORMAL")
        return cls(
            home=home_from(environ),
            backup_home=backup_home_from(environ) if _is_on(environ, "BACKUP") else None,
            ports=_ports_from(environ),
            inventory_replicas=_number(environ, "INVENTORY_REPLICAS", 1, 1, 16),
            temporal_synchronous="FULL" if synchronous == "FULL" else "NORMAL",
            fault_injection=_is_on(environ, "FAULT_INJECTION"),
        )

    def with_env(self, child: str, **variables: str) -> Self:
        """Return a copy in which one child gets more environment variables."""
        mine = {**self.extra_env.get(child, {}), **variables}
        return replace(self, extra_env={**self.extra_env, child: mine})


def home_from(environ: Mapping[str, str]) -> Path:
    """Return VALERIX_HOME, else `.valerix` in the checkout, wherever the command is given."""
    if wish := environ.get("VALERIX_HOME"):
        return Path(wish).expanduser().absolute()
    is_checkout = (PROJECT / "pyproject.toml").exists()
    return (PROJECT if is_checkout else Path.cwd()) / ".valerix"


def backup_home_from(environ: Mapping[str, str]) -> Path:
    """Return VALERIX_BACKUP_HOME, else a folder beside VALERIX_HOME that outlives it."""
    home = home_from(environ)
    wish = environ.get("VALERIX_BACKUP_HOME")
    if not wish:
        return home.with_name(f"{home.name}-backup")
    folder = Path(wish).expanduser().absolute()
    if folder.resolve().is_relative_to(home.resolve()):
        raise _bad("VALERIX_BACKUP_HOME", wish, f"a folder outside of {home}, to be there after it")
    return folder


def _is_on(environ: Mapping[str, str], switch: str) -> bool:
    return environ.get(switch, "true").lower() in ("true", "1", "yes")


def _ports_from(environ: Mapping[str, str]) -> Ports:
    defaults = Ports()
    chosen = {
        each.name: _number(environ, variable(each.name), getattr(defaults, each.name), 1, 65535)
        for each in fields(Ports)
    }
    taken_by: dict[int, str] = {}
    for name, port in chosen.items():
        if port in taken_by:
            raise StartRefused(
                problem=f"{variable(taken_by[port])} and {variable(name)} are both {port}",
                kept="nothing was started or changed",
                remedy=f"give {variable(name)} another number",
            )
        taken_by[port] = name
    return Ports(**chosen)


def _number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise _bad(name, text, f"a whole number from {low} to {high}")
    return int(text)


def _bad(name: str, value: str, wanted: str) -> StartRefused:
    return StartRefused(
        problem=f"{name} is {value!r}, it has to be {wanted}",
        kept="nothing was started or changed",
        remedy=f"set {name} to {wanted}, or unset it",
    )
