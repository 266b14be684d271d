"""The connection to Temporal, one way for every process; TEMPORAL_* variables say where to."""

from typing import ClassVar, Self

from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.service import GrpcCompression

DEFAULT_ADDRESS = "127.0.0.1:7233"


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
    return await Client.connect(
        **config, grpc_compression=compression, data_converter=DATA_CONVERTER, lazy=lazy
    )
