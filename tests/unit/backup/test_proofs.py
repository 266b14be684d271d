"""Proofs and the last drill, as files beside the capsules."""

from datetime import timedelta
from pathlib import Path

import pytest

from backup.capsule.manifest import SealedCapsule, capsule_name
from backup.restore.proofs import (
    Drill,
    Proof,
    all_proofs,
    delete_old_proofs,
    newest_proven,
    proof_file,
    read_drill,
    read_good_drill,
    read_proof,
    write_drill,
    write_proof,
)
from tests.support.small_capsules import DAY, MIDNIGHT


def _capsule(folder: Path, digit: str, hours: int) -> SealedCapsule:
    return SealedCapsule(
        day=DAY,
        path=folder / "any.capsule",
        sha256=digit * 64,
        size_bytes=1,
        covers_from=MIDNIGHT - timedelta(days=7),
        covers_to=MIDNIGHT + timedelta(hours=hours),
    )


def _proof(capsule: SealedCapsule, *differences: str) -> Proof:
    return Proof(
        capsule_sha256=capsule.sha256,
        day=capsule.day,
        from_store=None,
        proven_at=MIDNIGHT,
        seconds=1.5,
        covers_to=capsule.covers_to,
        differences=differences,
    )


def test_a_proof_is_read_as_it_was_written(tmp_path: Path) -> None:
    capsule = _capsule(tmp_path, "a", 0)
    write_proof(tmp_path, capsule, _proof(capsule))
    assert read_proof(tmp_path, capsule) == _proof(capsule)
    assert proof_file(tmp_path, capsule).name == f"{DAY}.{'a' * 64}.proof.json"


def test_what_was_not_proven_or_cannot_be_read_is_no_proof(tmp_path: Path) -> None:
    capsule = _capsule(tmp_path, "a", 0)
    assert read_proof(tmp_path, capsule) is None
    assert newest_proven(tmp_path / "not there") is None
    proof_file(tmp_path, capsule).write_text("{")
    assert read_proof(tmp_path, capsule) is None
    assert all_proofs(tmp_path) == []


def test_a_proof_of_another_capsule_under_its_name_is_none(tmp_path: Path) -> None:
    capsule, other = _capsule(tmp_path, "a", 0), _capsule(tmp_path, "b", 0)
    write_proof(tmp_path, capsule, _proof(other))
    assert read_proof(tmp_path, capsule) is None


def test_the_newest_that_holds_is_the_one_that_reaches_furthest(tmp_path: Path) -> None:
    for digit, hours, differences in (("a", 1, ()), ("b", 3, ()), ("c", 5, ("a row is missing",))):
        capsule = _capsule(tmp_path, digit, hours)
        write_proof(tmp_path, capsule, _proof(capsule, *differences))
    newest = newest_proven(tmp_path)
    assert newest is not None
    assert newest.capsule_sha256 == "b" * 64


@pytest.mark.parametrize("ok", [True, False])
def test_the_last_drill_is_kept(tmp_path: Path, ok: bool) -> None:
    assert read_drill(tmp_path) is None
    drill = Drill(at=MIDNIGHT, ok=ok, seconds=12.0, detail="copies: back in 12 s")
    write_drill(tmp_path / "new", drill)
    assert read_drill(tmp_path / "new") == drill


def test_a_failed_drill_leaves_the_date_of_the_last_good_one(tmp_path: Path) -> None:
    assert read_good_drill(tmp_path) is None
    failed = Drill(at=MIDNIGHT, ok=False, seconds=1.0, detail="copies: nothing")
    write_drill(tmp_path, failed)
    assert read_good_drill(tmp_path) is None
    good = failed.model_copy(update={"ok": True})
    write_drill(tmp_path, good)
    write_drill(tmp_path, failed)
    assert read_drill(tmp_path) == failed
    assert read_good_drill(tmp_path) == good


def test_a_good_drill_of_an_earlier_release_is_known(tmp_path: Path) -> None:
    good = Drill(at=MIDNIGHT, ok=True, seconds=1.0, detail="copies: back")
    (tmp_path / "last-drill.json").write_text(good.model_dump_json())
    assert read_good_drill(tmp_path) == good


def test_proofs_of_capsules_that_are_gone_for_long_go_too_and_no_others(tmp_path: Path) -> None:
    def proven(digit: str, days_ago: int, *differences: str) -> SealedCapsule:
        capsule = _capsule(tmp_path, digit, -24 * days_ago)
        capsule = capsule.model_copy(update={"day": DAY - timedelta(days=days_ago)})
        write_proof(tmp_path, capsule, _proof(capsule, *differences))
        return capsule

    old_and_there = proven("b", 300)
    (tmp_path / capsule_name(old_and_there.day, old_and_there.sha256)).touch()
    gone = [proven("c", 300), proven("d", 36, "something is missing")]
    assert delete_old_proofs(tmp_path / "not there") == 0
    kept = [old_and_there, proven("e", 35), proven("f", 0)]
    assert delete_old_proofs(tmp_path) == len(gone)
    assert [proof_file(tmp_path, each).exists() for each in gone] == [False, False]
    assert [read_proof(tmp_path, each) for each in kept] == [_proof(each) for each in kept]


def test_without_a_capsule_that_is_proven_no_proof_goes(tmp_path: Path) -> None:
    capsule = _capsule(tmp_path, "a", 0)
    write_proof(tmp_path, capsule, _proof(capsule, "something is missing"))
    assert delete_old_proofs(tmp_path) == 0
    assert all_proofs(tmp_path) == [_proof(capsule, "something is missing")]
