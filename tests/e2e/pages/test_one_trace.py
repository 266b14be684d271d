"""One trace from the shopper's click through workflow and activities to the SQL, in a collector."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.async_api import Browser, expect

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.services import INVENTORY, ORDER, UI, WORKER
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.support.browser_users import People

pytestmark = pytest.mark.asyncio(loop_scope="session")

ON_THE_WAY = {UI, ORDER, WORKER, INVENTORY}
STEPS = {
    "checkout",
    "POST /v1/orders",
    "RunWorkflow:OrderWorkflow",
    "RunActivity:reserve",
    "PUT /v1/reservations/{order_id}",
    "RunActivity:commit",
    "RunActivity:record",
}


@dataclass
class Collector:
    """What an OTLP collector has received: by trace, the services and the names of the spans."""

    services: defaultdict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
    names: defaultdict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    texts: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """Take one export."""
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.texts.append(str(message))
        for resource in message.resource_spans:
            (service,) = (
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.services[span.trace_id].add(service)
                    self.names[span.trace_id].append(span.name)
        self.arrived.set()
        return web.Response()

    async def until_whole(self) -> bytes:
        """Return the one trace that begins with a checkout, once every step of it is there."""
        async with asyncio.timeout(30):
            while True:
                self.arrived.clear()
                for trace, names in self.names.items():
                    if "checkout" in names and not self.missing(trace):
                        return trace
                await self.arrived.wait()

    def missing(self, trace: bytes) -> set[str]:
        """Return what the trace lacks."""
        names = set(self.names[trace])
        statements = {"SQL": any(name.startswith("SQL ") for name in names)}
        return (
            (STEPS - names)
            | (ON_THE_WAY - self.services[trace])
            | {name for name, there in statements.items() if not there}
        )


@asynccontextmanager
async def collecting(port: int) -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield collector
    finally:
        await runner.cleanup()


async def test_one_trace_leads_from_the_click_to_the_sql(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    settings = StackSettings(home=tmp_path / "home", ports=Ports.free())
    for name in ON_THE_WAY:
        settings = settings.with_env(
            name,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{LOOPBACK}:{port}",
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
    async with collecting(port) as collector, Stack(settings) as stack:
        async with People(browser, stack.url(UI)).visitor() as alice:
            await alice.go("/")
            await alice.add("Blue mug")
            await alice.buy.click()
            await alice.page.wait_for_url("**/orders/*")
            await expect(alice.page.get_by_text("Your order is on its way.").first).to_be_visible()
        try:
            await collector.until_whole()
        except TimeoutError:
            begun = [t for t, names in collector.names.items() if "checkout" in names]
            lacking = {t.hex(): collector.missing(t) for t in begun}
            pytest.fail(
                f"no trace is whole: {lacking}; names {[collector.names[t] for t in begun]}"
            )
        key = stack.token_key
    told = "\n".join(collector.texts)
    assert key not in told
    assert "eyJ" not in told, "a token is in the traces"
