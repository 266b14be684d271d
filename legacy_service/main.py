"""Build the legacy_service application from its settings."""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.types import Scope

from legacy_service import misdeed_routes
from legacy_service.call_log import CallLog
from legacy_service.capsule_files import CapsuleFiles
from legacy_service.date_header import DateHeader
from legacy_service.misdeeds import Misdeeds
from legacy_service.routes import UPLOADS, router
from legacy_service.settings import LegacyServiceSettings
from legacy_service.state import Clock, LegacyServiceState
from service_kit.http import application
from service_kit.http.request_middleware import BodyLimits
from service_kit.http.tokens import verifier_for
from service_kit.observability.health import CheckResult, Health

WRITABLE = "folder:writable"
LITTLE_FREE = 0.05  # of the disk


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


def create_app(settings: LegacyServiceSettings, clock: Clock = utc_now) -> FastAPI:
    """Return the application, which lives by `clock`; nothing is opened until it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _alone_in(settings.folder):
            calls = CallLog(settings.folder / "calls")
            files = CapsuleFiles(settings.folder / "capsules")
            calls.create()
            files.create()
            app.state.service = LegacyServiceState(
                clock=clock,
                calls=calls,
                files=files,
                misdeeds=Misdeeds(),
                verifier=verifier_for(settings),
                health=_health(settings.folder),
            )
            yield

    def limits_of(scope: Scope) -> BodyLimits | None:
        if scope["method"] == "PUT" and scope["path"].startswith(UPLOADS):
            return BodyLimits(settings.max_capsule_bytes, settings.upload_within_s)
        return None

    app = application.create(
        "Legacy backup service",
        lifespan,
        lambda: app.state.service.health,
        limits_of=limits_of,
    )
    app.add_middleware(DateHeader, clock=clock)
    app.include_router(router)
    if settings.fault_injection:
        app.include_router(misdeed_routes.router)
    return app


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder`: two that count calls would count each its own."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another process keeps its capsules in {folder}") from None
        yield
    finally:
        os.close(handle)


def _health(folder: Path) -> Health:
    return Health(
        "legacy_service",
        application.own_version(),
        {WRITABLE: partial(_writable, folder), "folder:free": partial(_room, folder)},
        needed=frozenset({WRITABLE}),
        optional=frozenset({"folder:free"}),
    )


async def _writable(folder: Path) -> CheckResult:
    await asyncio.to_thread(_write_and_sync, folder / "probe")
    return CheckResult()


def _write_and_sync(file: Path) -> None:
    with file.open("wb") as probe:
        probe.write(b"writable")
        probe.flush()
        os.fsync(probe.fileno())
    with contextlib.suppress(FileNotFoundError):
        file.unlink()


async def _room(folder: Path) -> CheckResult:
    disk = await asyncio.to_thread(shutil.disk_usage, folder)
    little = disk.free < LITTLE_FREE * disk.total
    output = "the disk is nearly full" if little else ""
    return CheckResult("warn" if little else "pass", output, disk.free, "bytes")
