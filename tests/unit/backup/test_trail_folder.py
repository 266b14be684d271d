"""The keys of capsules: a secret one that is there is never lost, and never another one's."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyrage
import pytest

from backup.errors import BackupProblem
from backup.trail_folder import TrailFolder


@pytest.fixture
def trail(tmp_path: Path) -> TrailFolder:
    return TrailFolder(tmp_path / "trail")


def secret_in(trail: TrailFolder) -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.from_str(trail.secret_key())


def test_the_first_seal_has_a_pair_of_keys(trail: TrailFolder) -> None:
    public = trail.public_key()
    assert str(secret_in(trail).to_public()) == public == trail.public_key()
    assert sorted(path.name for path in trail.keys.iterdir()) == ["public", "secret"]


def test_a_secret_key_that_was_put_back_stays(trail: TrailFolder) -> None:
    trail.keys.mkdir(parents=True)
    old = pyrage.x25519.Identity.generate()
    (trail.keys / "secret").write_text(f"{old}\n")
    assert trail.public_key() == str(old.to_public())
    assert trail.secret_key() == str(old)


def test_a_secret_key_can_be_kept_elsewhere(trail: TrailFolder) -> None:
    public = trail.public_key()
    (trail.keys / "secret").unlink()
    assert trail.public_key() == public
    with pytest.raises(BackupProblem, match="bring it from where it is kept"):
        trail.secret_key()


@pytest.mark.parametrize("folder", ["capsules", "copies"])
def test_there_is_no_new_pair_while_there_are_capsules_of_an_old_one(
    trail: TrailFolder, folder: str
) -> None:
    (trail.folder / folder).mkdir(parents=True)
    (trail.folder / folder / "2026-03-01.0000.capsule").touch()
    with pytest.raises(BackupProblem, match="bring the secret key back"):
        trail.public_key()
    assert not trail.keys.exists()


def test_two_keys_that_do_not_belong_together_seal_nothing(trail: TrailFolder) -> None:
    trail.public_key()
    (trail.keys / "secret").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    with pytest.raises(BackupProblem, match="do not belong together"):
        trail.public_key()


def test_what_is_no_key_is_not_shown(trail: TrailFolder) -> None:
    trail.keys.mkdir(parents=True)
    (trail.keys / "secret").write_text("AGE-SECRET-KEY-1ALMOST")
    with pytest.raises(BackupProblem, match="is not a secret key") as told:
        trail.public_key()
    assert "ALMOST" not in str(told.value)


def test_nobody_else_can_read_the_secret_key_at_any_time(
    trail: TrailFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    link = os.link

    def looks(source: Path, target: Path) -> None:
        modes.append(stat.S_IMODE(source.stat().st_mode))
        link(source, target)

    monkeypatch.setattr(os, "link", looks)
    before = os.umask(0)
    try:
        trail.public_key()
    finally:
        os.umask(before)
    modes.append(stat.S_IMODE((trail.keys / "secret").stat().st_mode))
    assert modes == [0o600, 0o600]


def test_who_makes_keys_at_the_same_time_gets_the_same(trail: TrailFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: trail.public_key(), range(32)))
    assert found == {str(secret_in(trail).to_public())}


def test_of_two_the_second_takes_what_the_first_has_written(
    trail: TrailFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        trail.public_key()
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    public = trail.public_key()
    assert str(secret_in(trail).to_public()) == public == trail.public_key()
