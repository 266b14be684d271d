"""OpenTelemetry traces, switched on by OTEL_EXPORTER_OTLP_ENDPOINT.

Without that variable nothing here is imported beyond the API, no span is made and no statement
is wrapped: a request pays one boolean.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

if TYPE_CHECKING:  # generic for the type checker only
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

_NAME = "valerix"
END_WITHIN_S = 3.0


def is_on() -> bool:
    """Tell whether traces have somewhere to go."""
    return bool(
        os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    )


_shut_down: Callable[[], None] | None = None


def configure(service: str) -> None:
    """Export this process's spans, if they have somewhere to go."""
    global _shut_down  # noqa: PLW0603  # a process has one, as it has one tracer provider
    if not is_on():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _shut_down = provider.shutdown


async def end() -> None:
    """Export the spans that have not left yet; a collector that is silent is not waited for."""
    if _shut_down is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(_shut_down), END_WITHIN_S)


@contextmanager
def start_trace(name: str, **attributes: str) -> Iterator[None]:
    """Begin a trace: what happens in the block and whatever it sets off, in any process.

    Always a trace of its own, even inside a connection that stays open for hours and has a span
    itself. Requests get theirs from FastAPI, calls of Temporal from its interceptor.
    """
    if not is_on():
        yield
        return
    tracer = trace.get_tracer(_NAME)
    with tracer.start_as_current_span(name, context=Context(), attributes=attributes):
        yield


class TracedConnection(_Connection):
    """A connection that makes a span of each statement. Values stay out: they may be personal."""

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """Execute, in a span."""
        with _statement(query):
            return await super().execute(query, *args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """Fetch all rows, in a span."""
        with _statement(query):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """Fetch one row, in a span."""
        with _statement(query):
            return await super().fetchrow(query, *args, **options)


@contextmanager
def _statement(query: str) -> Iterator[None]:
    if not trace.get_current_span().get_span_context().is_valid:
        yield  # nobody's request: the relay's or a probe's
        return
    text = " ".join(query.split())
    with trace.get_tracer(_NAME).start_as_current_span(
        f"SQL {text[:60]}",
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.text": text[:2000]},
    ):
        yield
