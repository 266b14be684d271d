"""Build the backup application, with its Temporal worker, from its settings."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from temporalio.worker import Interceptor

from backup.contracts import Trail
from backup.daily.activities import BackupActivities, LegacyActivities
from backup.daily.parts import Prover
from backup.daily.worker import BackupWorker, FurtherWork
from backup.legacy.call import LegacyCall
from backup.legacy.calls import MIGRATIONS, TABLES, LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.client import LegacyClient
from backup.metrics import CountSteps
from backup.nightly import schedule as nightly_schedule
from backup.nightly.activities import NightlyActivities
from backup.nightly.compare import DatabaseComparer
from backup.nightly.kept import KeptComparison
from backup.nightly.workflow import NightlyReconcile
from backup.reconcile.decisions import Decisions
from backup.restore_points.programs import PostgresPrograms
from backup.settings import BackupSettings
from backup.status import TrailStatus
from backup.steps import BackedUp, CapsuleSealer, KeptStore, PruningProver
from backup.stores.settings import stores_by_name
from backup.trail_folder import TrailFolder
from service_kit.http import application
from service_kit.http.openapi import problems
from service_kit.http.tokens import Caller, TokenVerifier, verifier_for
from service_kit.observability.health import Health
from service_kit.postgres import database_health, pool
from service_kit.postgres.migrations import latest
from service_kit.postgres.pool import Pool
from service_kit.process import supervised
from service_kit.process.background import Background
from service_kit.process.supervised import Supervised
from service_kit.single_flight import SingleFlight

LOCK_TIMEOUT_S = 2.0
STATEMENT_TIMEOUT_S = 5.0
# By those who ask at the same time, and nobody else: what has just been copied is to be seen.
TRAIL_SHARED_FOR_S = 0.0

router = APIRouter(prefix="/v1", tags=["backup"])


@dataclass(frozen=True, slots=True)
class BackupState:
    """What the routes need of the running process."""

    health: Health
    verifier: TokenVerifier
    trail: SingleFlight[Trail]


class Parts(ABC):
    """Makes what a backup stands on; fault runs have parts of their own (`chaos`)."""

    def pool(self, settings: BackupSettings) -> AbstractAsyncContextManager[Pool]:
        """Give the connections to the database of the claims."""
        return pool.opened(
            pool.create(
                settings.database_url.get_secret_value(),
                name="backup",
                size=settings.pool_size,
                lock_timeout_s=LOCK_TIMEOUT_S,
                statement_timeout_s=STATEMENT_TIMEOUT_S,
            )
        )

    @abstractmethod
    def prover(self, settings: BackupSettings, trail: TrailFolder) -> Prover:
        """Return what restores capsules: it needs servers, which are made above this package."""

    def interceptors(self) -> Sequence[Interceptor]:
        """Return what stands around every activity."""
        return (CountSteps(),)


def create_app(settings: BackupSettings, parts: Parts) -> FastAPI:
    """Return an application that backs up for as long as it runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.service = await _start(settings, parts, stack)
            yield

    app = application.create("Valerix backup", lifespan, lambda: app.state.service.health)
    app.include_router(router)
    return app


async def staff(request: Request) -> Caller:
    """Let staff in. Async, or FastAPI would hand it to a thread."""
    return _state_of(request).verifier.caller(request, "staff")


@router.get("/trail", response_model=Trail, responses=problems(401, 403))
async def trail(request: Request, caller: Annotated[Caller, Depends(staff)]) -> Trail:
    """Return what is archived, sealed, proven and copied, and what became of each day's call."""
    return await _state_of(request).trail.get()


async def _start(settings: BackupSettings, parts: Parts, stack: AsyncExitStack) -> BackupState:
    folder = TrailFolder(settings.home)
    connections = await stack.enter_async_context(parts.pool(settings))
    calls = LegacyCalls(connections)
    claims = ClaimFolder(settings.legacy.claims_folder)
    backed_up = BackedUp(
        dsn=settings.database_url.get_secret_value(),
        databases=settings.databases(),
        programs=PostgresPrograms(settings.postgres_programs),
        trail=folder,
        within_s=settings.within_s,
        full_every=settings.full_every,
        reserve_bytes=settings.reserve_bytes,
    )
    sealer = CapsuleSealer(backed_up)
    stores = {
        name: KeptStore(store, folder.capsules)
        for name, store in stores_by_name(settings, folder).items()
    }
    worker = BackupWorker(
        BackupActivities(sealer, PruningProver(parts.prover(settings, folder), backed_up), stores),
        LegacyActivities(LegacyCall(LegacyClient(settings.legacy), calls, claims), calls),
        tuple(stores),
        parts.interceptors(),
        _nightly(settings, folder),
    )
    status = TrailStatus(connections, calls, claims, folder, tuple(stores.values()))
    tasks = (
        Supervised("schedule", worker.keep_schedule),
        Supervised("first base backup", sealer.keep_base),
        Supervised("trail status", status.watch),
        Supervised("stores", status.watch_stores),
    )
    await stack.enter_async_context(Background(worker.run(), *(task.run() for task in tasks)))
    return BackupState(
        _health(connections, worker, status, tasks),
        verifier_for(settings),
        SingleFlight(status.look, TRAIL_SHARED_FOR_S),
    )


def _nightly(settings: BackupSettings, trail: TrailFolder) -> FurtherWork:
    """Return the nightly comparison, by the role that can only read."""
    comparer = DatabaseComparer(
        settings.orders_database_url.get_secret_value(),
        settings.inventory_database_url.get_secret_value(),
        Decisions(trail.decisions),
    )
    steps = NightlyActivities(comparer, KeptComparison(trail.last_comparison))
    return FurtherWork(
        workflows=[NightlyReconcile],
        activities=[steps.compare],
        schedules={nightly_schedule.SCHEDULE_ID: nightly_schedule.nightly()},
    )


def _health(
    connections: Pool, worker: BackupWorker, status: TrailStatus, tasks: Sequence[Supervised]
) -> Health:
    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))
    trail_probes = {
        "archive:lag": status.archive_is_near,
        "capsules:newest_proven": status.proof_is_new,
    }
    return Health(
        "backup",
        application.own_version(),
        {
            "temporal:worker": worker.polls,
            "temporal:frontend": worker.temporal_answers,
            **database,
            **trail_probes,
            **supervised.probes(*tasks),
        },
        needed=frozenset({"temporal:worker", *database}),
        optional=frozenset(trail_probes),
    )


def _state_of(request: Request) -> BackupState:
    return cast("BackupState", request.app.state.service)
