"""A capsule comes back over a line that is slower than a request may be, or is cut."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from backup.capsule.manifest import SealedCapsule
from backup.errors import CopyDamaged, StoreUnavailable
from backup.stores import ranges
from backup.stores.s3 import S3Settings, S3Store
from backup.stores.store import Copy
from chaos.nemesis.tcp_proxy import CHUNK, TcpProxy
from deploy.local.ports import LOOPBACK
from tests.support.s3_server import s3_server, why_not
from tests.support.small_capsules import DAY, MIDNIGHT

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

MIB = 1024 * 1024
SIZE_BYTES = 3 * MIB


class SlowProxy(TcpProxy):
    """Carries so many bytes a second, in each direction of each connection."""

    def __init__(self, upstream: int, bytes_per_s: float) -> None:
        super().__init__(upstream)
        self._bytes_per_s = bytes_per_s

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK // 4):
            sink.write(chunk)
            await sink.drain()
            await asyncio.sleep(len(chunk) / self._bytes_per_s)


class CutProxy(TcpProxy):
    """Cuts a connection in the middle of an answer, so many times."""

    def __init__(self, upstream: int, *, times: int) -> None:
        super().__init__(upstream)
        self.times_left = times

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        passed = 0
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
            passed += len(chunk)
            if passed > MIB // 2 and self.times_left:
                self.times_left -= 1
                raise ConnectionResetError("cut")


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Settings]:
    async with s3_server(tmp_path / "s3") as settings:
        yield settings


@pytest.fixture
async def copy(s3: S3Settings, tmp_path: Path) -> Copy:
    """A copy of some megabytes in the store."""
    content = Random(1).randbytes(SIZE_BYTES)
    path = tmp_path / "capsule"
    path.write_bytes(content)
    capsule = SealedCapsule(
        day=DAY,
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=SIZE_BYTES,
        covers_from=MIDNIGHT - timedelta(days=7),
        covers_to=MIDNIGHT,
    )
    return await S3Store("s3", s3).put(capsule)


def behind(proxy: TcpProxy, settings: S3Settings, timeout_s: float) -> S3Store:
    update = {
        "endpoint": f"http://{LOOPBACK}:{proxy.port}",
        "timeout": timedelta(seconds=timeout_s),
    }
    return S3Store("far", settings.model_copy(update=update))


def port_of(settings: S3Settings) -> int:
    assert settings.endpoint is not None
    return int(settings.endpoint.rpartition(":")[2])


async def test_what_takes_longer_than_a_request_may_comes_back(
    s3: S3Settings, copy: Copy, tmp_path: Path
) -> None:
    async with SlowProxy(port_of(s3), SIZE_BYTES / 3.0) as proxy:
        back = await behind(proxy, s3, 1.0).get(copy, tmp_path / "back")
    assert back.path.stat().st_size == SIZE_BYTES


async def test_a_line_that_is_cut_goes_on_where_it_was(
    s3: S3Settings, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", MIB)
    async with CutProxy(port_of(s3), times=1) as proxy:
        back = await behind(proxy, s3, 30.0).get(copy, tmp_path / "back")
        assert proxy.times_left == 0
    assert back.path.stat().st_size == SIZE_BYTES


async def test_a_line_that_is_cut_again_and_again_is_said_to_be(
    s3: S3Settings, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_PAUSES_S", (0.0, 0.0))
    async with CutProxy(port_of(s3), times=99) as proxy:
        with pytest.raises(StoreUnavailable, match="3 times in a row; nothing of it is kept here"):
            await behind(proxy, s3, 30.0).get(copy, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


async def test_a_copy_of_another_size_is_not_even_fetched(
    s3: S3Settings, copy: Copy, tmp_path: Path
) -> None:
    other = copy.model_copy(update={"size_bytes": SIZE_BYTES + 1})
    with pytest.raises(CopyDamaged, match="kept 3145728 of the 3145729 bytes"):
        await S3Store("s3", s3).get(other, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []
