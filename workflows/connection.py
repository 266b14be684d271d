"""The connection to Temporal, one way for every process; TEMPORAL_* variables say where to."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.service import GrpcCompression

DEFAULT_ADDRESS = "127.0.0.1:7233"


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
    return await Client.connect(
        **config, grpc_compression=compression, data_converter=pydantic_data_converter, lazy=lazy
    )
