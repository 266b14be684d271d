"""The folder of base backups: what is damaged there does not stand in the way of the others."""

from pathlib import Path

import pytest

from backup.errors import BaseUnusable
from backup.restore_points.base import FACTS, BaseBackup, BaseFolder
from backup.restore_points.programs import PostgresPrograms
from tests.support.small_capsules import reach


@pytest.fixture
def bases(tmp_path: Path) -> BaseFolder:
    return BaseFolder(tmp_path / "bases", PostgresPrograms(tmp_path))


def keep(bases: BaseFolder, name: str, parent: str | None = None) -> BaseBackup:
    kind = "full" if parent is None else "incremental"
    update = {"name": name, "parent": parent, "kind": kind}
    base = reach().base.model_copy(update=update)
    bases.data(base).mkdir(parents=True)
    (bases.folder / name / FACTS).write_text(base.model_dump_json())
    return base


@pytest.mark.parametrize("facts", ["", "{}", "not JSON", '{"name": "b"}'])
def test_one_whose_facts_are_damaged_hides_no_other(bases: BaseFolder, facts: str) -> None:
    for name in "abc":
        keep(bases, name)
    (bases.folder / "b" / FACTS).write_text(facts)
    assert {base.name for base in bases.all()} == {"a", "c"}


def test_what_builds_on_it_is_said_to_be_unusable(bases: BaseFolder) -> None:
    keep(bases, "a")
    second = keep(bases, "b", parent="a")
    (bases.folder / "a" / FACTS).write_text("")
    with pytest.raises(BaseUnusable, match="builds on a, which is not there any more"):
        bases.chain(second)
