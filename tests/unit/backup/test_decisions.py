"""Decisions of people about orders that no call can put right."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from backup.errors import BackupProblem
from backup.reconcile.contracts import ForPeople, Rule
from backup.reconcile.decisions import Decisions

ABOUT = ForPeople(
    order_id=UUID(int=1),
    rule=Rule.COMMITTED_UNORDERED,
    what="goods have left",
    advice="bill them",
    status=None,
    state="committed",
    lines=(),
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_decisions_are_kept_each_with_its_reason_and_note(tmp_path: Path) -> None:
    file = tmp_path / "trail" / "decisions.json"
    assert Decisions(file).known() == frozenset()
    Decisions(file).add(ABOUT, "billed by hand")
    Decisions(file).add(ABOUT.model_copy(update={"order_id": UUID(int=2)}), "a gift")
    assert Decisions(file).known() == {
        (UUID(int=1), Rule.COMMITTED_UNORDERED),
        (UUID(int=2), Rule.COMMITTED_UNORDERED),
    }
    assert [each.note for each in Decisions(file).all()] == ["billed by hand", "a gift"]


def test_a_file_that_is_something_else_is_neither_believed_nor_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    file.write_text("{")
    with pytest.raises(BackupProblem, match="not a list of decisions"):
        Decisions(file).add(ABOUT, "billed by hand")
    assert file.read_text() == "{"
