"""What a capsule promises: it comes back as it was, or it is refused before anything is written."""

import fcntl
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from backup.capsule.manifest import SealedCapsule, label_name
from backup.capsule.open import labelled, open_capsule, verify
from backup.capsule.seal import recipient
from backup.durable import LOCK
from backup.errors import (
    AlreadyUnderWay,
    ArchiveIncomplete,
    BackupProblem,
    CapsuleDamaged,
    TargetInUse,
    WrongCapsule,
    WrongKey,
)
from backup.restore_points.wal import segment_name
from tests.support.small_capsules import (
    DAY,
    FIRST,
    LAST,
    SEGMENT,
    Made,
    add_segment,
    content_of,
    make,
)

SECOND_SEGMENT = f"{segment_name(1, FIRST + 1, SEGMENT)}.zst"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "opened"


def test_what_was_sealed_comes_back(made: Made, target: Path) -> None:
    capsule = made.seal()
    assert labelled(capsule.path) == capsule
    opened = open_capsule(capsule, made.key, target, day=DAY)
    assert content_of(opened.base) == content_of(made.base)
    assert content_of(opened.wal) == content_of(made.wal)
    assert opened.manifest.contents.schema_versions == {"orders": "6"}
    assert opened.manifest.previous_sha256 is None


def test_a_capsule_names_the_one_before_it(made: Made) -> None:
    first = made.seal()
    second = made.seal(DAY + timedelta(days=1), first)
    assert verify(second, made.key).previous_sha256 == first.sha256


def test_nothing_of_the_content_can_be_read_without_the_key(made: Made) -> None:
    sealed = made.seal().path.read_bytes()
    assert b"PG_VERSION" not in sealed
    assert b"pg_control" not in sealed


def refused(
    capsule: SealedCapsule, key: str, target: Path, problem: type[BackupProblem], words: str
) -> None:
    """See a capsule refused in one sentence, with nothing written."""
    with pytest.raises(problem, match=words) as told:
        open_capsule(labelled(capsule.path), key, target, day=DAY)
    assert "\n" not in str(told.value)
    assert not target.exists()
    assert not list(target.parent.glob(".opened*"))


@pytest.mark.parametrize("place", [0.0, 0.01, 0.3, 0.6, 0.999_999])
def test_one_flipped_bit_in_the_capsule_is_found(made: Made, target: Path, place: float) -> None:
    capsule = made.seal()
    content = bytearray(capsule.path.read_bytes())
    content[int(place * len(content))] ^= 1
    capsule.path.write_bytes(content)
    refused(capsule, made.key, target, CapsuleDamaged, "not what was sealed")


@pytest.mark.parametrize("place", [30, 120, 220, 5_000, 20_000, -1])
def test_it_is_found_by_the_seal_itself_when_label_and_name_fit(
    made: Made, target: Path, place: int
) -> None:
    capsule = made.seal()
    content = bytearray(capsule.path.read_bytes())
    content[place % len(content)] ^= 1
    altered = made.relabel(capsule, bytes(content))
    # where the key is looked for, damage cannot be told from another key
    refused(altered, made.key, target, BackupProblem, "is damaged|another key")


@pytest.mark.parametrize("kept", [0, 100, 300, 20_000, -1])
def test_a_capsule_that_was_cut_off_is_found(made: Made, target: Path, kept: int) -> None:
    capsule = made.seal()
    altered = made.relabel(capsule, capsule.path.read_bytes()[:kept])
    refused(altered, made.key, target, CapsuleDamaged, "damaged")


def test_one_flipped_bit_in_the_label_is_found(made: Made, target: Path) -> None:
    capsule = made.seal()
    label = capsule.path.with_name(label_name(capsule.path.name))
    whole = label.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        label.write_bytes(damaged)
        if damaged.split() == whole.split():
            continue  # between the values, where nothing is said
        with pytest.raises((CapsuleDamaged, WrongCapsule)):
            open_capsule(labelled(capsule.path), made.key, target, day=DAY)
        assert not target.exists()


def test_another_key_does_not_open_it(made: Made, target: Path) -> None:
    other = str(pyrage.x25519.Identity.generate())
    refused(made.seal(), other, target, WrongKey, "another key")
    refused(made.seal(), made.recipient, target, WrongKey, "not a secret key")


def test_swapped_capsules_are_told_apart(made: Made, target: Path) -> None:
    one, other = made.seal(), made.seal(DAY + timedelta(days=1))
    content = one.path.read_bytes()
    one.path.write_bytes(other.path.read_bytes())
    refused(one, made.key, target, CapsuleDamaged, "not what was sealed")
    refused(other, made.key, target, WrongCapsule, "not that of 2026-03-01")
    # with a label and a name of the other day
    posing = made.relabel(one, other.path.read_bytes())
    refused(posing, made.key, target, WrongCapsule, "sealed as the capsule of 2026-03-02")
    one.path.write_bytes(content)
    label = one.path.with_name(label_name(one.path.name))
    label.write_bytes(other.label())
    refused(one, made.key, target, WrongCapsule, "of another capsule")


def manifest_with(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def alter(found: dict[str, bytes]) -> None:
        manifest = json.loads(found["manifest.json"])
        change(manifest)
        found["manifest.json"] = json.dumps(manifest).encode()

    return alter


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda found: found.__delitem__(name)


def with_file(name: str) -> Callable[[dict[str, bytes]], None]:
    def alter(found: dict[str, bytes]) -> None:
        manifest = found.pop("manifest.json")
        found[name] = b"added"
        found["manifest.json"] = manifest

    return alter


def listed(manifest: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = next(file for file in manifest["files"] if file["path"] == path)
    return found


ALTERED = {
    "a byte of the base": lambda found: found.update({"base/PG_VERSION": b"17\n"}),
    "a byte of the log": lambda found: found.update({f"wal/{SECOND_SEGMENT}": b"x"}),
    "a hash": manifest_with(lambda m: listed(m, "base/PG_VERSION").update(sha256="0" * 64)),
    "a size": manifest_with(lambda m: listed(m, "base/PG_VERSION").update(size_bytes=4)),
    "the end": manifest_with(lambda m: m["reach"].update(covers_to="2026-03-02T00:00:00Z")),
    "the beginning": manifest_with(lambda m: m["reach"].update(covers_from="2026-02-01T00:00:00Z")),
    "the base's place": manifest_with(lambda m: m["reach"]["base"].update(end_lsn="0/30100")),
    "the cluster": manifest_with(
        lambda m: m["reach"]["base"]["cluster"].update(system_identifier="78")
    ),
    "a listed file left out": manifest_with(lambda m: m["files"].pop(0)),
    "a file of the log left out": without(f"wal/{SECOND_SEGMENT}"),
    "the log left out everywhere": manifest_with(
        lambda m: m["files"].remove(listed(m, f"wal/{SECOND_SEGMENT}"))
    ),
    "an empty folder left out": without("base/pg_notify/"),
    "no manifest": without("manifest.json"),
    "a file added": with_file("base/added"),
    "a file outside": with_file("../outside"),
    "a file at the root": with_file("/tmp/outside"),  # noqa: S108
    "a file after the manifest": lambda found: found.update({"base/late": b"late"}),
    "no manifest at all": manifest_with(lambda m: m.clear()),
}


@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_capsule_is_found_even_if_it_was_sealed_again(
    made: Made, target: Path, what: str
) -> None:
    altered = made.alter(made.seal(), ALTERED[what])
    with pytest.raises(CapsuleDamaged, match="cannot be trusted"):
        open_capsule(labelled(altered.path), made.key, target)
    assert not target.exists()
    assert not list(target.parent.glob(".opened*"))
    assert not Path("/tmp/outside").exists()  # noqa: S108


def test_a_place_that_is_taken_is_left_alone(made: Made, target: Path) -> None:
    capsule = made.seal()
    target.mkdir()
    with pytest.raises(TargetInUse, match="nothing was changed"):
        open_capsule(capsule, made.key, target)
    assert list(target.iterdir()) == []


def test_a_log_with_a_gap_is_not_sealed(made: Made) -> None:
    (made.wal / SECOND_SEGMENT).unlink()
    with pytest.raises(ArchiveIncomplete, match=f"{SECOND_SEGMENT[:24]} is missing"):
        made.seal()
    assert [path.name for path in made.folder.iterdir()] == [LOCK]


def test_a_damaged_log_is_not_sealed(made: Made) -> None:
    file = made.wal / SECOND_SEGMENT
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArchiveIncomplete, match="damaged"):
        made.seal()
    assert [path.name for path in made.folder.iterdir()] == [LOCK]


def test_the_log_of_another_cluster_is_not_sealed(made: Made) -> None:
    (made.wal / SECOND_SEGMENT).unlink()
    add_segment(made.wal, FIRST + 1, system=78)
    with pytest.raises(ArchiveIncomplete, match="another cluster"):
        made.seal()


def test_the_log_behind_the_end_stays_out(made: Made) -> None:
    add_segment(made.wal, LAST + 1)
    add_segment(made.wal, FIRST - 1)
    capsule = made.seal()
    logs = [file.path for file in verify(capsule, made.key).files if file.path.startswith("wal/")]
    assert len(logs) == LAST - FIRST + 1


def test_what_a_killed_sealing_left_is_cleared_away_by_the_next(made: Made) -> None:
    made.folder.mkdir()
    (made.folder / ".2026-02-28.capsule.0000.partial").write_bytes(b"half")
    capsule = made.seal()
    names = {path.name for path in made.folder.iterdir()}
    assert names == {LOCK, capsule.name, label_name(capsule.name)}


def test_only_one_seals_at_a_time(made: Made) -> None:
    made.seal()
    with (made.folder / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AlreadyUnderWay):
            made.seal()


@pytest.mark.parametrize("text", ["age1nonsense", "AGE-SECRET-KEY-1ALMOST", ""])
def test_sealing_needs_a_public_key(text: str) -> None:
    with pytest.raises(BackupProblem, match="not a public key") as told:
        recipient(text)
    # it may be a secret one, given by mistake
    assert not text or text not in str(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
