"""Our own processes: command, environment and readiness probe of each."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres.server import BACKUP as BACKUP_ROLE
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.process.child import ChildSpec
from deploy.local.process.environment import service_environment
from deploy.local.process.probes import answers_ok
from deploy.local.settings import PROJECT, StackSettings

if TYPE_CHECKING:  # pyrage, for who seals and opens
    from backup.trail_folder import TrailFolder

# Services are named as their packages; of replicas, all but the first have a number: `-2`.
INVENTORY = "inventory_api"
ORDER = "order_api"
WORKER = "worker"
SUBSCRIBERS = "subscribers"
UI = "ui"
LEGACY = "legacy_service"
BACKUP = "backup"

_SERVICE_TOKEN_TTL_S = 366 * 24 * 3600


def service_of(name: str) -> str:
    """Return `inventory_api` for `inventory_api-2`."""
    return name.partition("-")[0]


class Services:
    """The children that are services, whose databases are in `postgres`."""

    def __init__(self, settings: StackSettings, token_key: str, postgres: EmbeddedPostgres) -> None:
        self._settings = settings
        self._token_key = token_key
        self._postgres = postgres
        self._dsn = postgres.dsn
        self.ports = {
            INVENTORY: settings.ports.inventory,
            ORDER: settings.ports.order,
            WORKER: settings.ports.worker,
            SUBSCRIBERS: settings.ports.subscribers,
            UI: settings.ports.ui,
        }
        if settings.backup_home is not None:
            self.ports[LEGACY] = settings.ports.legacy_service
            self.ports[BACKUP] = settings.ports.backup
        for number in range(2, settings.inventory_replicas + 1):
            self.ports[f"{INVENTORY}-{number}"] = free_port()

    @staticmethod
    def is_installed(name: str) -> bool:
        """Tell whether this process can be started at all: its package has an entry point."""
        try:
            return importlib.util.find_spec(f"{service_of(name)}.__main__") is not None
        except ModuleNotFoundError:
            return False

    def url(self, name: str) -> str:
        """Return where a service answers."""
        return f"http://{LOOPBACK}:{self.ports[name]}"

    def spec(self, name: str) -> ChildSpec:
        """Return how a service is run; the environment is made now, settings of the stack win."""
        service = service_of(name)
        port = self.ports[name]
        own = {
            INVENTORY: self._inventory,
            ORDER: self._order,
            WORKER: self._worker,
            SUBSCRIBERS: self._subscribers,
            UI: self._ui,
            LEGACY: self._legacy,
            BACKUP: self._backup,
        }[service]()
        prefix = service.removesuffix("_api").upper()
        address = {f"{prefix}_HOST": LOOPBACK, f"{prefix}_PORT": str(port)}
        extra = {**self._settings.extra_env.get(service, {})}
        extra |= self._settings.extra_env.get(name, {})

        async def ready() -> bool:
            return await answers_ok(port)

        return ChildSpec(
            name=name,
            argv=(sys.executable, "-m", service),
            ready=ready,
            env={**self._shared(), **address, **own, **extra},
            cwd=_folder_to_run_in(),
        )

    def _shared(self) -> dict[str, str]:
        return {
            **service_environment(),
            "LOG_FORMAT": "json",
            # One arena a thread is memory for nothing in processes that have one busy thread.
            "MALLOC_ARENA_MAX": "2",
            "ENVIRONMENT": "local",
            "TOKEN_KEY": self._token_key,
            "FAULT_INJECTION": "true" if self._settings.fault_injection else "false",
            # What a process that is killed had to say must be in its log by then.
            "PYTHONUNBUFFERED": "1",
        }

    def _inventory(self) -> dict[str, str]:
        return {"INVENTORY_DATABASE_URL": self._dsn("inventory")}

    def _order(self) -> dict[str, str]:
        return {
            **temporal_environment(self._settings.ports.temporal),
            "ORDERS_DATABASE_URL": self._dsn("orders"),
            "INVENTORY_URL": self.url(INVENTORY),
        }

    def _worker(self) -> dict[str, str]:
        return {
            **temporal_environment(self._settings.ports.temporal),
            "ORDERS_DATABASE_URL": self._dsn("orders"),
            "INVENTORY_URL": self.url(INVENTORY),
            "INVENTORY_TOKEN": self._service_token("worker"),
        }

    def _subscribers(self) -> dict[str, str]:
        return {"ORDERS_DATABASE_URL": self._dsn("orders")}

    def _legacy(self) -> dict[str, str]:
        return {"LEGACY_SERVICE_FOLDER": str(self._trail().legacy_service)}

    def _backup(self) -> dict[str, str]:
        trail = self._trail()
        told = {
            **temporal_environment(self._settings.ports.temporal),
            "BACKUP_HOME": str(trail.folder),
            "BACKUP_POSTGRES_PROGRAMS": str(self._postgres.binaries.folder),
            "BACKUP_DATABASE_URL": self._dsn("backup", BACKUP_ROLE),
            "BACKUP_ORDERS_DATABASE_URL": self._dsn("orders", BACKUP_ROLE),
            "BACKUP_INVENTORY_DATABASE_URL": self._dsn("inventory", BACKUP_ROLE),
            "BACKUP_LEGACY_CLAIMS_FOLDER": str(trail.claims),
        }
        if "BACKUP_LEGACY_URL" in os.environ:
            return told  # a service of somebody's own, with a token of its own
        return {
            **told,
            "BACKUP_LEGACY_URL": self.url(LEGACY),
            "BACKUP_LEGACY_TOKEN": self._service_token("backup"),
        }

    def _trail(self) -> "TrailFolder":
        from backup.trail_folder import TrailFolder

        assert self._settings.backup_home is not None, "without it, no ports, and nobody asks"
        return TrailFolder(self._settings.backup_home)

    def _service_token(self, subject: str) -> str:
        from service_kit.http.tokens import issue

        return issue(self._token_key, subject, "service", _SERVICE_TOKEN_TTL_S)

    def _ui(self) -> dict[str, str]:
        return {
            "BACKUP_URL": self.url(BACKUP) if BACKUP in self.ports else "",
            "ORDER_API_URL": self.url(ORDER),
            "INVENTORY_API_URL": self.url(INVENTORY),
            "WORKER_URL": self.url(WORKER),
            "SUBSCRIBERS_URL": self.url(SUBSCRIBERS),
            "TEMPORAL_UI_URL": f"http://{LOOPBACK}:{self._settings.ports.temporal_ui}",
            "UI_STORAGE": str(self._settings.home / "ui"),
        }


def temporal_environment(port: int) -> dict[str, str]:
    """Return what sends a process to the stack's own Temporal."""
    return {
        "TEMPORAL_ADDRESS": f"{LOOPBACK}:{port}",
        "TEMPORAL_NAMESPACE": "default",
        # A profile in the person's own configuration file must not add a cloud's TLS to this.
        "TEMPORAL_CONFIG_FILE": os.devnull,
    }


def _folder_to_run_in() -> Path:
    return PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()
