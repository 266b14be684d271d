"""Postgres connection pool whose every statement has a deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import asyncpg

from service_kit.observability import metrics, tracing
from service_kit.postgres.connection import Primary, is_read_only

if TYPE_CHECKING:  # generic for the type checker only
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.pool.PoolConnectionProxy

# Returns a subclass of the class of connections that it is given.
Extension = Callable[[type[asyncpg.Connection]], type[asyncpg.Connection]]

# What a caller may see when the database is gone, slow, full or starting: nothing of the request
# itself was wrong, and unless a commit was on its way nothing was written.
POSTGRES_UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    # not there yet, moved away, or of another version: /health says which
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InsufficientPrivilegeError,
)

# The same, and whatever else Postgres may say: for callers who go on regardless.
POSTGRES_ERRORS: tuple[type[Exception], ...] = (*POSTGRES_UNAVAILABLE, asyncpg.PostgresError)


class Unreachable(TimeoutError):
    """No connection could be had: nothing was sent to the database."""


# What a database says, or leaves unsaid, that has nothing to do with the statement. One that takes
# too long is told so by the server (lock_timeout, statement_timeout) before the caller's deadline.
_OUTAGE: tuple[type[Exception], ...] = (
    OSError,  # TimeoutError and Unreachable among them
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


def is_outage(error: Exception) -> bool:
    """Tell whether `error` is the database's, and not that of what it was asked to do."""
    return isinstance(error, _OUTAGE)


def leaves_doubt(error: Exception) -> bool:
    """Tell whether `error` leaves open what became of the statement that met it."""
    return is_outage(error) and not isinstance(error, Unreachable)


# Said by a server, too, but for want of time, or because the connection is gone.
_NOT_IN_TIME: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
)


def is_refusal(error: BaseException | None) -> bool:
    """Tell whether the database has answered, and will not do this for a reason of its own."""
    if isinstance(error, Unreachable):
        error = error.__cause__
    answers = (asyncpg.PostgresError, asyncpg.TargetServerAttributeNotMatched)
    return isinstance(error, answers) and not isinstance(error, _NOT_IN_TIME)


# After these a session is of no more use: frozen, cut off, or on a server that takes no writes.
_ENDS_SESSION = (asyncio.CancelledError, OSError, asyncpg.ReadOnlySQLTransactionError)

# A connection costs some 20 ms of CPU (SCRAM). When a starved machine has to make a pool full of
# them, that takes longer than any request may.
CONNECT_S = 5.0
_MAX_LATE_CONNECTIONS = 64
_late_connections: "set[asyncio.Task[None]]" = set()


def as_it_is(connection_class: type[asyncpg.Connection]) -> type[asyncpg.Connection]:
    """Extend nothing."""
    return connection_class


async def create(
    dsn: str,
    *,
    name: str,
    size: int,
    lock_timeout_s: float,
    statement_timeout_s: float,
    min_size: int = 0,
    extended: Extension = as_it_is,
) -> Pool:
    """Return a pool of up to `size` connections that need not be able to connect yet.

    `lock_timeout_s` and `statement_timeout_s` are enforced by the server on every statement,
    so a caller that has stopped waiting has not left work behind. `dsn` may name several servers.
    `extended` gives the connections more than they can do by themselves.
    """
    pool: Pool = asyncpg.create_pool(
        dsn,
        connect=cast("Any", Primary(dsn).connect),
        min_size=min_size,
        max_size=size,
        max_inactive_connection_lifetime=60.0,
        timeout=CONNECT_S,
        reset=_end_if_read_only,
        connection_class=extended(
            tracing.TracedConnection if tracing.is_on() else asyncpg.Connection
        ),
        server_settings={
            "application_name": name,
            "lock_timeout": f"{round(lock_timeout_s * 1000)}ms",
            "statement_timeout": f"{round(statement_timeout_s * 1000)}ms",
            "idle_in_transaction_session_timeout": "15s",
            # JIT costs more than it saves on statements of a few milliseconds
            "jit": "off",
        },
    )
    await pool
    metrics.watch_pool(name, lambda: size_of(pool))
    return pool


@asynccontextmanager
async def opened(making: Awaitable[Pool]) -> AsyncIterator[Pool]:
    """Give the pool that `create` is making; its connections end with the block."""
    pool = await making
    try:
        yield pool
    finally:
        pool.terminate()


async def _end_if_read_only(connection: Any) -> None:
    """End a session that has become one on a standby: the next is opened where writes are taken.

    Asks nothing, and there is nothing to reset: our code leaves no session state.
    """
    if is_read_only(connection):
        connection.terminate()


@asynccontextmanager
async def within(pool: Pool, seconds: float) -> AsyncIterator[Connection]:
    """Give a connection for work that must end within `seconds`, waiting for one included.

    TimeoutError at the end of the time, Unreachable if no connection could be had. The connection
    is then closed, not returned: a frozen server would block whoever came next.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout_at(deadline):
            connection = await _acquire(pool)
    except POSTGRES_ERRORS as error:
        raise Unreachable(f"no connection: {type(error).__name__} {error}".rstrip()) from error
    async with asyncio.timeout_at(deadline):
        try:
            yield connection
        except BaseException as error:
            if isinstance(error, _ENDS_SESSION):
                connection.terminate()
            raise
        finally:
            # terminated or not, the pool wants its holder back; this does no I/O that can hang,
            # and asyncpg shields it against the cancellation that may be under way
            await pool.release(connection, timeout=1.0)


async def _acquire(pool: Pool) -> Connection:
    """Wait for a connection; one whose maker's time is over is made all the same, for the next.

    If it were thrown away, a machine too slow to connect within one request would begin anew with
    every request, and never serve again.
    """
    acquiring: asyncio.Future[Connection] = asyncio.ensure_future(pool.acquire())
    try:
        return await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        # A connection that came in the very moment in which the time was over has to go back: it
        # is nobody's to cancel any more, and a pool that loses it here is never whole again.
        if acquiring.done() or len(_late_connections) < _MAX_LATE_CONNECTIONS:
            task = asyncio.create_task(_give_back(pool, acquiring))
            _late_connections.add(task)
            task.add_done_callback(_late_connections.discard)
        else:
            acquiring.cancel()
        raise


async def _give_back(pool: Pool, acquiring: "asyncio.Future[Connection]") -> None:
    with contextlib.suppress(*POSTGRES_ERRORS):
        await pool.release(await acquiring)


def size_of(pool: Pool) -> dict[str, Any]:
    """Return how full the pool is: connections in use, open and allowed."""
    open_now = pool.get_size()
    return {"in_use": open_now - pool.get_idle_size(), "open": open_now, "max": pool.get_max_size()}
