"""Stores whose content has suffered: a damaged copy hides no other, and is never taken for one."""

from datetime import timedelta
from pathlib import Path

import pytest

from backup.capsule.manifest import SealedCapsule, label_name
from backup.stores.folder import FolderStore
from tests.support.small_capsules import DAY, Made, make


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore("disk", tmp_path / "disk")


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
