"""A folder of migrations is numbered 1, 2, 3 and nothing else."""

from pathlib import Path

import pytest

import inventory_api.main
import order_api.db.schema
from service_kit.postgres.migration_files import MigrationError, read
from service_kit.postgres.migrations import latest


@pytest.mark.parametrize("folder", [inventory_api.main.MIGRATIONS, order_api.db.schema.MIGRATIONS])
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


def test_a_file_beside_the_traffic_is_read_statement_by_statement(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text(
        "-- concurrently\n-- Why: it is quicker.\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (b);\n"
        "DROP INDEX CONCURRENTLY IF EXISTS c;\n"
    )
    [migration] = read(tmp_path)
    assert migration.concurrently
    assert migration.statements == [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (b)",
        "DROP INDEX CONCURRENTLY IF EXISTS c",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX a ON t (b)",
        "CREATE INDEX CONCURRENTLY a ON t (b)",
        "DROP INDEX CONCURRENTLY a",
        "ALTER TABLE t ADD COLUMN c int",
    ],
)
def test_outside_a_transaction_only_what_can_be_repeated_is_let_in(
    tmp_path: Path, statement: str
) -> None:
    (tmp_path / "0001_a.sql").write_text(f"-- concurrently\n{statement};\n")
    with pytest.raises(MigrationError, match="outside a transaction"):
        read(tmp_path)
