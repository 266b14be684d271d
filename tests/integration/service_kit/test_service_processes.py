"""Services as processes of their own: they answer, log and trace, and end when told to."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import inventory_api.seed
from deploy.local.ports import LOOPBACK, free_port
from tests.support.order_stack import eventually
from tests.support.processes import bare_environment
from tests.support.serving import TOKEN_KEY, bearer, token

# Each service, and how /readyz answers while Temporal is away: only the worker has nothing to do.
SERVICES = {"inventory_api": 200, "order_api": 200, "worker": 503}


@dataclass
class ServiceProcess:
    """A service that runs; `code` and `log` are known when it has ended."""

    address: str
    code: int | None = None
    log: list[str] = field(default_factory=list)


@asynccontextmanager
async def started(module: str, **variables: str) -> AsyncIterator[ServiceProcess]:
    """Run `python -m module`, wait until it answers, and end it with SIGTERM."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=bare_environment(
            INVENTORY_PORT=str(port), ORDER_PORT=str(port), WORKER_PORT=str(port), **variables
        ),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    service = ServiceProcess(f"http://{LOOPBACK}:{port}")
    try:
        await eventually(lambda: _answers(service.address), 60.0)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        service.code = await asyncio.wait_for(process.wait(), 30)
        service.log = (await said).decode().splitlines()


async def _answers(address: str) -> bool:
    async with httpx.AsyncClient(base_url=address) as http:
        try:
            return (await http.get("/livez")).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def environment(orders_database: str, inventory_database: str) -> dict[str, str]:
    """What every service gets; nobody is at the addresses of Temporal and of the warehouse."""
    return {
        "ORDERS_DATABASE_URL": orders_database,
        "INVENTORY_DATABASE_URL": inventory_database,
        "INVENTORY_URL": f"http://{LOOPBACK}:{free_port()}",
        "INVENTORY_TOKEN": token("service", "worker"),
        "TEMPORAL_ADDRESS": f"{LOOPBACK}:{free_port()}",
        "TEMPORAL_CONFIG_FILE": "/dev/null",
        "TOKEN_KEY": TOKEN_KEY,
    }


@pytest.mark.parametrize("module", SERVICES)
async def test_a_service_says_who_it_is_and_ends_when_told_to(
    environment: dict[str, str], module: str
) -> None:
    async with (
        started(module, **environment) as service,
        httpx.AsyncClient(base_url=service.address, timeout=30) as http,
    ):

        async def as_ready_as_it_gets() -> bool:
            # its first session may take longer than a probe on a busy machine
            return (await http.get("/readyz")).status_code == SERVICES[module]

        await eventually(as_ready_as_it_gets)
        alive, ready, health, metrics = [await http.get(f"/{page}") for page in PAGES]
        assert alive.json()["service"] == module
        assert ready.json()["checks"].keys() < health.json()["checks"].keys()
        assert 'http_server_request_duration_seconds_count{method="GET",route="/livez"' in (
            metrics.text
        )
    assert service.code in (0, -signal.SIGTERM), service.log[-20:]
    entries = [json.loads(line) for line in service.log]
    assert entries, "it has said nothing"
    assert {entry["service"] for entry in entries} == {module}
    assert not [entry for entry in entries if entry["level"] in ("error", "critical")]


PAGES = ("livez", "readyz", "health", "metrics")


class Collector:
    """An OTLP collector: the spans that it was sent, by name, and all that was said in them."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.text = ""

    async def take(self, request: web.Request) -> web.Response:
        """Take one export."""
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.text += str(message)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.spans |= {span.name: span for span in scope.spans}
        return web.Response()

    async def statements_in(self, name: str) -> list[Span]:
        """Return the statements in the trace of the span `name`, none before all of it is there."""
        if name not in self.spans:
            return []
        trace = self.spans[name].trace_id
        return [
            span
            for span in self.spans.values()
            if span.trace_id == trace and span.name.startswith("SQL ")
        ]


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    """A collector, and its address."""
    found = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, port := free_port())
    await site.start()
    yield found, f"http://{LOOPBACK}:{port}"
    await runner.cleanup()


async def test_a_request_is_traced_down_to_its_statements_but_not_to_their_values(
    environment: dict[str, str], inventory_database: str, collector: tuple[Collector, str]
) -> None:
    traces, address = collector
    await inventory_api.seed.seed(inventory_database)
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    async with (
        started("inventory_api", **environment, **tracing) as service,
        httpx.AsyncClient(base_url=service.address, timeout=30) as http,
    ):
        headers = bearer("staff") | {"Idempotency-Key": "known-to-nobody-else"}
        path = "/v1/stock/MUG-BLUE/restock"

        async def restocked() -> bool:
            answer = await http.post(path, json={"quantity": 3}, headers=headers)
            assert answer.status_code in (200, 503)  # which a busy machine may say first
            return answer.status_code == 200

        await eventually(restocked)
        statements = await eventually(
            lambda: traces.statements_in("POST /v1/stock/{sku}/restock"), 60.0
        )
    for span in statements:
        attributes = {each.key: each.value.string_value for each in span.attributes}
        assert attributes["db.system.name"] == "postgresql"
        assert span.name.removeprefix("SQL ") in attributes["db.query.text"]
    for secret in ("known-to-nobody-else", headers["Authorization"], TOKEN_KEY, "eyJ"):
        assert secret not in traces.text


async def test_what_was_traced_last_leaves_before_the_process_ends(
    environment: dict[str, str], collector: tuple[Collector, str]
) -> None:
    traces, address = collector
    an_hour = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    async with (
        started("inventory_api", **environment, **an_hour) as service,
        httpx.AsyncClient(base_url=service.address, timeout=30) as http,
    ):
        await http.get("/v1/stock", headers=bearer("staff"))
        assert not traces.spans
    assert "GET /v1/stock" in traces.spans


@pytest.mark.parametrize("module", SERVICES)
async def test_a_service_without_settings_names_them_and_does_not_start(module: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=bare_environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert "TOKEN_KEY: Field required" in said.decode()
