"""Our own processes: command, environment and readiness probe of each."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process.child import ChildSpec
from deploy.local.process.environment import service_environment
from deploy.local.process.probes import answers_ok
from deploy.local.settings import PROJECT, StackSettings

# Services are named as their packages; of replicas, all but the first have a number: `-2`.
INVENTORY = "inventory_api"
ORDER = "order_api"
WORKER = "worker"
SUBSCRIBERS = "subscribers"
UI = "ui"

_SERVICE_TOKEN_TTL_S = 366 * 24 * 3600


def service_of(name: str) -> str:
    """Return `inventory_api` for `inventory_api-2`."""
    return name.partition("-")[0]


class Services:
    """The children that are services; `dsn` gives the address of a database by its name."""

    def __init__(self, settings: StackSettings, token_key: str, dsn: Callable[[str], str]) -> None:
        self._settings = settings
        self._token_key = token_key
        self._dsn = dsn
        self.ports = {
            INVENTORY: settings.ports.inventory,
            ORDER: settings.ports.order,
            WORKER: settings.ports.worker,
            SUBSCRIBERS: settings.ports.subscribers,
            UI: settings.ports.ui,
        }
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
        from service_kit.http.tokens import issue

        token = issue(self._token_key, "worker", "service", _SERVICE_TOKEN_TTL_S)
        return {
            **temporal_environment(self._settings.ports.temporal),
            "ORDERS_DATABASE_URL": self._dsn("orders"),
            "INVENTORY_URL": self.url(INVENTORY),
            "INVENTORY_TOKEN": token,
        }

    def _subscribers(self) -> dict[str, str]:
        return {"ORDERS_DATABASE_URL": self._dsn("orders")}

    def _ui(self) -> dict[str, str]:
        return {
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
