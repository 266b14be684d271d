"""Stores give back what they were given, or say that they cannot: a folder, and a real S3."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import GenericError
from pydantic import SecretStr

from backup.capsule.manifest import SealedCapsule, label_name
from backup.capsule.open import labelled, verify
from backup.errors import CopyDamaged, CopyMissing, StoreUnavailable
from backup.stores.folder import FolderStore
from backup.stores.s3 import S3Settings, S3Store
from backup.stores.store import Copy, Store
from deploy.local.ports import LOOPBACK, free_port
from tests.support.s3_server import s3_server, why_not
from tests.support.small_capsules import DAY, Made, make

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Settings]:
    async with s3_server(tmp_path / "s3") as settings:
        yield settings


async def keeps_copies(store: Store, made: Made, folder: Path) -> None:
    """See what every store promises."""
    first, second = made.seal(), made.seal(DAY + timedelta(days=1))
    assert await store.list_copies() == []
    copies = [await store.put(capsule) for capsule in (second, first)]
    assert await store.put(first) == copies[1]  # again: nothing changes
    assert await store.list_copies() == [copies[1], copies[0]]

    back = await store.get(copies[1], folder)
    assert back.path.read_bytes() == first.path.read_bytes()
    assert labelled(back.path) == back
    assert verify(back, made.key, day=DAY).day == DAY

    await store.delete(copies[1])
    await store.delete(copies[1])
    assert await store.list_copies() == [copies[0]]
    with pytest.raises(CopyMissing):
        await store.get(copies[1], folder / "again")
    assert not [path for path in (folder / "again").glob("*") if path.is_file()]


def damaged(capsule: SealedCapsule) -> bytes:
    content = bytearray(capsule.path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


async def test_a_folder_keeps_copies(made: Made, tmp_path: Path) -> None:
    await keeps_copies(
        FolderStore("disk", tmp_path / "disk", reserve_bytes=0), made, tmp_path / "back"
    )


async def test_where_capsules_are_sealed_can_be_read_as_a_store(made: Made) -> None:
    capsule = made.seal()
    [copy] = await FolderStore("here", made.folder).list_copies()
    assert copy.capsule(capsule.path) == capsule


async def test_a_folder_that_damaged_a_copy_does_not_give_it_back(
    made: Made, tmp_path: Path
) -> None:
    store, capsule = FolderStore("disk", tmp_path / "disk", reserve_bytes=0), made.seal()
    copy = await store.put(capsule)
    (store.folder / copy.name).write_bytes(damaged(capsule))
    with pytest.raises(CopyDamaged, match="is damaged"):
        await store.get(copy, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


async def test_a_folder_that_is_away_is_said_to_be(made: Made, tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("not a folder")
    store = FolderStore("disk", tmp_path / "disk", reserve_bytes=0)
    with pytest.raises(StoreUnavailable, match="the store disk"):
        await store.put(made.seal())


async def test_s3_keeps_copies_and_finds_damaged_ones(
    s3: S3Settings, made: Made, tmp_path: Path
) -> None:
    """In one test: the server takes seconds to start."""
    store = S3Store("s3", s3)
    warm = made.seal(DAY - timedelta(days=9))
    await store.delete(await store.put(warm))  # makes the bucket
    await keeps_copies(store, made, tmp_path / "back")

    large = made.seal(DAY + timedelta(days=2))
    copy = await store.put(large)
    key = f"{s3.prefix}/{copy.name}"
    await obstore.put_async(store.bucket, key, damaged(large))
    with pytest.raises(CopyDamaged, match="is damaged"):
        await store.get(copy, tmp_path / "damaged")
    assert list((tmp_path / "damaged").iterdir()) == []

    whole = [each for each in await store.list_copies() if each != copy]
    label = f"{s3.prefix}/{label_name(copy.name)}"
    await obstore.put_async(store.bucket, label, b"of nothing")
    assert await store.list_copies() == whole != []

    # cut off between the two: not whole, so not a copy
    await obstore.delete_async(store.bucket, label)
    assert await store.list_copies() == whole
    await deleted_while_it_is_listed(store, whole)
    await deletion_that_is_cut_off(store, made)

    stranger = s3.model_copy(update={"secret_access_key": SecretStr("wrong")})
    with pytest.raises(StoreUnavailable, match="the store s3"):
        await S3Store("s3", stranger).put(large)


async def deleted_while_it_is_listed(store: S3Store, copies: list[Copy]) -> None:
    """See a label that is deleted after its name was listed leave out that one copy."""
    first, *others = copies
    get = obstore.get_async

    async def too_late(bucket: Any, path: str) -> Any:
        if path.endswith(label_name(first.name)):
            await obstore.delete_async(bucket, path)
        return await get(bucket, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(obstore, "get_async", too_late)
        assert await store.list_copies() == others


async def deletion_that_is_cut_off(store: S3Store, made: Made) -> None:
    """See what is large be gone first: nobody would ever find it again without its label."""
    copy = await store.put(made.seal(DAY + timedelta(days=3)))
    delete = obstore.delete_async
    deleted = list[str]()

    async def once(bucket: Any, path: str) -> None:
        if deleted:
            raise GenericError("cut off")
        deleted.append(path)
        await delete(bucket, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(obstore, "delete_async", once)
        with pytest.raises(StoreUnavailable):
            await store.delete(copy)
    assert copy not in await store.list_copies()
    with pytest.raises(FileNotFoundError):
        await obstore.head_async(store.bucket, f"capsules/{copy.name}")
    await store.delete(copy)


async def test_s3_that_is_away_is_said_to_be_at_once(made: Made) -> None:
    nobody = S3Settings(
        bucket="kept",
        endpoint=f"http://{LOOPBACK}:{free_port()}",
        access_key_id="some",
        secret_access_key=SecretStr("body"),
    )
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable, match="the store s3"):
            await S3Store("s3", nobody).put(made.seal())
