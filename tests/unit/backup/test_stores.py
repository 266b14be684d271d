"""Stores whose content has suffered: a damaged copy hides no other, and is never taken for one."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from backup.capsule.manifest import SealedCapsule, label_name
from backup.durable import ABANDONED_AFTER_S
from backup.errors import StoreUnavailable
from backup.stores.folder import FolderStore
from tests.support.small_capsules import DAY, Made, make


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore("disk", tmp_path / "disk", reserve_bytes=0)


@pytest.fixture
def capsules(made: Made) -> list[SealedCapsule]:
    return [made.seal(DAY + timedelta(days=number)) for number in range(3)]


@pytest.mark.parametrize("damage", ["empty", "of another", "no label"])
async def test_one_bad_label_hides_no_other_copy(
    store: FolderStore, capsules: list[SealedCapsule], damage: str
) -> None:
    copies = [await store.put(capsule) for capsule in capsules]
    label = store.folder / label_name(copies[1].name)
    if damage == "no label":
        label.unlink()
    else:
        label.write_bytes(b"" if damage == "empty" else capsules[0].label())
    assert await store.list_copies() == [copies[0], copies[2]]


async def test_a_store_that_cannot_be_read_is_not_taken_for_an_empty_one(
    store: FolderStore,
) -> None:
    assert await store.list_copies() == []
    store.folder.write_text("what is there instead of a disk")
    with pytest.raises(StoreUnavailable, match="the store disk cannot be read"):
        await store.list_copies()


@pytest.mark.parametrize("content", [b"", b"another", None], ids=["empty", "short", "damaged"])
async def test_a_file_of_that_name_is_read_before_it_is_taken_for_a_copy(
    store: FolderStore, capsules: list[SealedCapsule], content: bytes | None, tmp_path: Path
) -> None:
    whole = capsules[0].path.read_bytes()
    if content is None:
        content = bytes([whole[0] ^ 1]) + whole[1:]
    store.folder.mkdir()
    (store.folder / capsules[0].name).write_bytes(content)
    copy = await store.put(capsules[0])
    assert (store.folder / copy.name).read_bytes() == whole
    assert (await store.get(copy, tmp_path / "back")).path.read_bytes() == whole


async def test_a_copy_that_is_there_is_not_written_again(
    store: FolderStore, capsules: list[SealedCapsule]
) -> None:
    copy = await store.put(capsules[0])
    before = (store.folder / copy.name).stat()
    assert await store.put(capsules[0]) == copy
    assert (store.folder / copy.name).stat().st_ino == before.st_ino


@pytest.mark.parametrize("age_s", [ABANDONED_AFTER_S - 60, ABANDONED_AFTER_S + 60])
async def test_what_killed_copies_left_is_cleared_away_when_nobody_can_be_at_it_any_more(
    store: FolderStore, capsules: list[SealedCapsule], age_s: float, tmp_path: Path
) -> None:
    copy = await store.put(capsules[0])
    left = [tmp_path / where / f".{copy.name}.0000.partial" for where in ("disk", "back")]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age_s,) * 2)
    await store.put(capsules[1])
    await store.get(copy, tmp_path / "back")
    assert [file.exists() for file in left] == [age_s < ABANDONED_AFTER_S] * 2
