"""Which variables of the terminal reach our processes; the rest is for other programs."""

import os
from collections.abc import Mapping

# What any program needs, and where traces go.
_PASSED_ON = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "POSTGRES_BIN"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    )
)
_SETTINGS = (
    *("LC_", "ORDER_", "INVENTORY_", "WORKER_", "SUBSCRIBERS_", "UI_", "SAGA_", "VALERIX_"),
    *("BACKUP_", "LEGACY_SERVICE_"),
)
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# Read by libraries, some of which then refuse to be imported.
_OF_LIBRARIES = ("OTEL_", "PG", "FASTAPI_")


def service_environment(terminal: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a service gets: what it needs to run, and settings of our own.

    All else would send it to a proxy, another database or another cluster, or not let it start.
    """
    terminal = os.environ if terminal is None else terminal
    level = terminal.get("LOG_LEVEL", "").upper()  # other programs have other levels
    return {
        **{name: terminal[name] for name in terminal if _is_for_services(name)},
        "LOG_LEVEL": level if level in _LOG_LEVELS else "INFO",
    }


def drop_foreign_variables() -> None:
    """Take out of this process's own environment what would change its libraries."""
    for name in [*os.environ]:
        if name.startswith(_OF_LIBRARIES) and not _is_for_services(name):
            del os.environ[name]


def _is_for_services(name: str) -> bool:
    return name in _PASSED_ON or name.startswith(_SETTINGS)
