"""Connection to Temporal, set up by `TEMPORAL_*` variables, the same in every process."""

import asyncio
import socket
import sys
from datetime import timedelta
from functools import partial
from typing import ClassVar, Self

import aiohttp
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import GrpcCompression

from service_kit.observability import logs, metrics, tracing
from service_kit.observability.health import PROBE_LIMIT_S, CheckResult

DEFAULT_ADDRESS = "127.0.0.1:7233"
SDK_METRICS_WITHIN_S = 0.4
RECONNECT_DELAY_S = 0.5

_log = logs.get(__name__)


class SharedPayloadConverter(PydanticPayloadConverter):
    """The SDK's converter for pydantic models, made once.

    The SDK makes one for each workflow and two for each of its tasks, and every one would work
    out again how to read our messages. It has no state but that knowledge.
    """

    _made: ClassVar[Self | None] = None

    def __new__(cls) -> Self:
        """Return the one there is."""
        if cls._made is None:
            cls._made = super().__new__(cls)
            PydanticPayloadConverter.__init__(cls._made)
        return cls._made

    def __init__(self) -> None:
        """Leave it as it was made."""


DATA_CONVERTER = DataConverter(payload_converter_class=SharedPayloadConverter)


async def connect(*, lazy: bool = False) -> Client:
    """Return a client; with `lazy`, one that connects when first used.

    Settings come from TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_* or
    a profile file, as the SDK documents them, so that a cloud account is settings and not code.
    """
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", DEFAULT_ADDRESS)
    local = config["target_host"].startswith(("127.0.0.1:", "localhost:"))
    # CPU is what a single machine is short of, not bandwidth on its loopback.
    compression = GrpcCompression.NONE if local else GrpcCompression.GZIP
    interceptors = []
    if tracing.is_on():
        from temporalio.contrib.opentelemetry import TracingInterceptor

        interceptors.append(TracingInterceptor())
    return await Client.connect(
        **config,
        grpc_compression=compression,
        data_converter=DATA_CONVERTER,
        interceptors=interceptors,
        lazy=lazy,
    )


async def connect_patiently() -> Client:
    """Return a client that is connected, however long that takes."""
    while True:
        try:
            return await connect()
        except RuntimeError as error:  # what the SDK raises when nobody answers
            _log.warning("Temporal is not there yet", reason=str(error)[:200])
            await asyncio.sleep(RECONNECT_DELAY_S)


async def answers(client: Client | None) -> CheckResult:
    """Probe: does Temporal answer? None is a client that is not connected yet."""
    if client is None:
        return CheckResult("fail", "not connected")
    timeout = timedelta(seconds=PROBE_LIMIT_S)
    serving = await client.service_client.check_health(timeout=timeout)
    return CheckResult() if serving else CheckResult("fail", "not serving")


def expose_sdk_metrics() -> None:
    """Show the SDK's own metrics on this process's metrics page; once, before `connect`.

    The SDK serves them itself. It does so on a loopback port that nobody has to know of.
    """
    port = _reserved_port()
    serving = PrometheusConfig(
        bind_address=f"127.0.0.1:{port}",
        durations_as_seconds=True,
        counters_total_suffix=True,
        unit_suffix=True,
    )
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(metrics=serving)))
    metrics.add_source(partial(_read, f"http://127.0.0.1:{port}/metrics"))


def _reserved_port() -> int:
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    if sys.platform == "linux":
        # Bound for ever: no outgoing connection can take it, and a server's bind gets past it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.detach()
    else:
        held.close()
    return port


async def _read(url: str) -> bytes:
    try:
        async with (
            asyncio.timeout(SDK_METRICS_WITHIN_S),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            return await answer.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return b""
