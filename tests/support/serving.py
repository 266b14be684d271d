"""Serve a real application through real uvicorn, with the services' own protocol settings."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

import inventory_api.main
import order_api.main
import worker.main
from inventory_api.settings import InventorySettings
from order_api.settings import OrderSettings
from service_kit.http import server, tokens
from worker.settings import WorkerSettings

TOKEN_KEY = "a key for tests that is long enough to sign with"


def token(role: str = "shopper", subject: str = "alice") -> str:
    """Return a good token, valid for an hour."""
    return tokens.issue(TOKEN_KEY, subject, role, 3600)


def bearer(role: str = "shopper", subject: str = "alice") -> dict[str, str]:
    """Return the header that says who is calling."""
    return {"Authorization": f"Bearer {token(role, subject)}"}


@dataclass(frozen=True, slots=True)
class Served:
    """A running application: `url` without a slash at the end, `thread` as the kernel calls it."""

    app: FastAPI
    port: int
    thread: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Announced(uvicorn.Server):
    """A server that says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.over = threading.Event()  # the start, well or not

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.over.set()


@contextmanager
def serve(app: FastAPI) -> Iterator[Served]:
    """Serve `app` on a free loopback port, in a thread of its own, until the block ends."""
    config = server.config(app, "127.0.0.1", 0)
    running = _Announced(config)
    listener = socket.create_server(("127.0.0.1", 0), backlog=config.backlog)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=server.event_loop()) as runner:
                runner.run(running.serve([listener]))
        except BaseException as error:
            failures.append(error)
        finally:
            running.over.set()

    thread = threading.Thread(target=run, name="served app")
    thread.start()
    running.over.wait()
    try:
        if running.should_exit or failures:
            raise RuntimeError(f"the application did not start: {failures}")
        yield Served(app, listener.getsockname()[1], thread.native_id)
    finally:
        running.should_exit = True
        thread.join()
        listener.close()
    if failures:
        raise failures[0]


def inventory_settings(dsn: str, **changes: Any) -> InventorySettings:
    """Return the settings of an inventory_api on the database at `dsn`."""
    return InventorySettings(database_url=dsn, token_key=TOKEN_KEY, **changes)


def order_settings(dsn: str, inventory_url: str, **changes: Any) -> OrderSettings:
    """Return the settings of an order_api on the database at `dsn`."""
    return OrderSettings(
        database_url=dsn, token_key=TOKEN_KEY, inventory_url=inventory_url, **changes
    )


# For tests of what is answered and not of when: a machine may stand still for a second.
PATIENT: Mapping[str, Any] = {
    "lock_timeout_s": 10.0,
    "statement_timeout_s": 15.0,
    "request_deadline_s": 20.0,
}


@contextmanager
def patient_store() -> Iterator[None]:
    """Let order stores of this process take as long for a call as PATIENT services, meanwhile."""
    limits = (
        "order_api.db.store.STORE_DEADLINE_S",
        "order_api.db.store.FIGURES_DEADLINE_S",
        "service_kit.postgres.group_commit.SPLIT_FOR_S",
        "service_kit.postgres.pool.CONNECT_S",
    )
    with pytest.MonkeyPatch.context() as patch:
        for limit in limits:
            patch.setattr(limit, PATIENT["request_deadline_s"])
        yield


@contextmanager
def serve_inventory(dsn: str, **changes: Any) -> Iterator[Served]:
    """Serve inventory_api."""
    with serve(inventory_api.main.create_app(inventory_settings(dsn, **changes))) as served:
        yield served


@contextmanager
def serve_orders(
    dsn: str, inventory_url: str, *, patient: bool = False, **changes: Any
) -> Iterator[Served]:
    """Serve order_api; TEMPORAL_ADDRESS in the environment says where Temporal is.

    `patient` gives its database all the time that a machine standing still for some seconds takes:
    no 503 is owed to that. What is left of the answer budget by then is still kept to.
    """
    settings = order_settings(dsn, inventory_url, **changes)
    with ExitStack() as stack:
        if patient:
            stack.enter_context(patient_store())
            # a copy is not checked: here it may exceed the answer budget, of which it is a part
            patience = {"accept_deadline_s": 2 * PATIENT["statement_timeout_s"]}
            settings = settings.model_copy(update=patience)
        yield stack.enter_context(serve(order_api.main.create_app(settings)))


@contextmanager
def serve_worker(dsn: str, inventory_url: str, **changes: Any) -> Iterator[Served]:
    """Run the real worker, with its health page; TEMPORAL_ADDRESS says where Temporal is."""
    settings = WorkerSettings(
        orders_database_url=dsn,
        token_key=TOKEN_KEY,
        inventory_url=inventory_url,
        inventory_token=token("service", "worker"),
        **changes,
    )
    with serve(worker.main.create_app(settings)) as served:
        yield served
