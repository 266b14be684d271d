"""The pair of keys in the folder of the trail."""

from pathlib import Path

import pyrage
import pytest

from backup.errors import BackupProblem
from backup.trail_folder import TrailFolder


def test_a_pair_of_keys_is_made_once(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path / "trail")
    with pytest.raises(BackupProblem, match="bring it from where it is kept"):
        trail.secret_key()
    public = trail.public_key()
    secret = pyrage.x25519.Identity.from_str(trail.secret_key())
    assert str(secret.to_public()) == public == trail.public_key()


def test_a_secret_key_that_was_brought_back_is_never_replaced(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path)
    brought = pyrage.x25519.Identity.generate()
    trail.keys.mkdir()
    (trail.keys / "secret").write_text(f"{brought}\n")
    assert trail.public_key() == str(brought.to_public())
    assert trail.secret_key() == str(brought)


def test_what_is_no_key_is_not_taken_for_one(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path)
    trail.keys.mkdir()
    (trail.keys / "secret").write_text("lost\n")
    with pytest.raises(BackupProblem, match="is not a secret key"):
        trail.public_key()
