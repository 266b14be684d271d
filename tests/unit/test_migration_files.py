"""A folder of migrations is numbered 1, 2, 3 and nothing else."""

from pathlib import Path

import pytest

import inventory_api.main
import order_api.schema
from service_kit.migrations import MigrationError, latest, read


@pytest.mark.parametrize("folder", [inventory_api.main.MIGRATIONS, order_api.schema.MIGRATIONS])
def test_our_own_folders_can_be_read(folder: Path) -> None:
    assert latest(folder) == len(list(folder.glob("*.sql"))) > 0


@pytest.mark.parametrize(
    "names",
    [
        ["0001_a.sql", "0003_b.sql"],
        ["0002_a.sql"],
        ["0001_a.sql", "0001_b.sql"],
        ["0000_a.sql"],
        ["first.sql"],
        ["0001.sql"],
        ["1a_b.sql"],
    ],
)
def test_a_gap_a_double_or_a_name_without_number_is_refused(
    tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError):
        read(tmp_path)


def test_the_order_is_that_of_the_numbers(tmp_path: Path) -> None:
    for name in ("0002_b.sql", "0001_z.sql", "0003_a.sql", "README.md"):
        (tmp_path / name).write_text("SELECT 1")
    assert [migration.name for migration in read(tmp_path)] == ["z", "b", "a"]
