import contextlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backup.errors import ArchiveConflict, ArchiveIncomplete
from backup.restore_points import archive

NAME = "000000010000000000000003"
CONTENT = bytes(range(256)) * 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "pg_wal" / NAME
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "wal"
    made.mkdir()
    return made


def test_a_file_comes_back_as_it_was(source: Path, folder: Path, tmp_path: Path) -> None:
    archive.push(source, NAME, folder)
    assert archive.names(folder) == [NAME]
    assert archive.fetch(NAME, tmp_path / "out", folder)
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_archiving_again_changes_nothing(source: Path, folder: Path) -> None:
    archive.push(source, NAME, folder)
    before = (folder / f"{NAME}.zst").stat()
    archive.push(source, NAME, folder)
    after = (folder / f"{NAME}.zst").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_other_content_is_never_replaced(source: Path, folder: Path) -> None:
    archive.push(source, NAME, folder)
    source.write_bytes(CONTENT[::-1])
    with pytest.raises(ArchiveConflict, match="other content"):
        archive.push(source, NAME, folder)
    assert archive.read(folder, NAME) == CONTENT


def test_of_two_who_archive_at_a_time_the_second_compares(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def overtaken(fresh: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        archive.push(other, NAME, folder)
        link(fresh, target)

    other = source.with_name("other")
    other.write_bytes(b"of another cluster")
    monkeypatch.setattr(os, "link", overtaken)
    with pytest.raises(ArchiveConflict):
        archive.push(source, NAME, folder)
    assert archive.read(folder, NAME) == b"of another cluster"
    assert [entry.name for entry in folder.iterdir()] == [f"{NAME}.zst"]


@pytest.mark.parametrize("dies_in", ["fsync", "link"])
def test_one_that_is_killed_leaves_no_half_file_under_the_name(
    source: Path, folder: Path, dies_in: str
) -> None:
    script = (
        "import os, sys\n"
        "from backup.restore_points import archive\n"
        f"os.{dies_in} = lambda *_: os._exit(137)\n"
        "archive.main(sys.argv[1:])\n"
    )
    died = subprocess.run([sys.executable, "-c", script, "push", source, NAME, folder], check=False)
    assert died.returncode == 137
    assert archive.names(folder) == []
    archive.push(source, NAME, folder)
    assert archive.read(folder, NAME) == CONTENT
    assert archive.sweep(folder) == 1
    assert [entry.name for entry in folder.iterdir()] == [f"{NAME}.zst"]


def test_while_a_server_archives_only_what_is_old_is_cleared_away(folder: Path) -> None:
    old, new = (folder / f".{NAME}.partial-{name}" for name in ("old", "new"))
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 3700,) * 2)
    assert archive.sweep(folder, untouched_for_s=3600) == 1
    assert [entry.name for entry in folder.iterdir()] == [new.name]
    assert archive.sweep(folder) == 1


def test_one_flipped_bit_is_found(source: Path, folder: Path, tmp_path: Path) -> None:
    archive.push(source, NAME, folder)
    kept = folder / f"{NAME}.zst"
    whole = kept.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        kept.write_bytes(damaged)
        with pytest.raises(ArchiveIncomplete, match="damaged"):
            archive.fetch(NAME, tmp_path / "out", folder)
    assert not (tmp_path / "out").exists()


def test_no_single_bit_changes_what_is_read(folder: Path, source: Path) -> None:
    """Not even one of the header, which says how long it is, and whether there is more."""
    content = CONTENT + bytes(1024 * 1024)
    source.write_bytes(content)
    archive.push(source, NAME, folder)
    kept = folder / f"{NAME}.zst"
    whole = kept.read_bytes()
    for bit in range(8 * min(len(whole), 32)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        kept.write_bytes(damaged)
        with contextlib.suppress(ArchiveIncomplete):
            assert archive.read(folder, NAME) == content


def packed_elsewhere(source: Path, tmp_path: Path) -> bytes:
    """Return a file as another archive has packed it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    archive.push(source, NAME, elsewhere)
    return (elsewhere / f"{NAME}.zst").read_bytes()


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_file_is_replaced_by_a_whole_one_of_another_archive(
    source: Path, folder: Path, tmp_path: Path, damage: str
) -> None:
    packed, kept = packed_elsewhere(source, tmp_path), folder / f"{NAME}.zst"
    assert not archive.adopt(packed, NAME, folder)
    whole = bytearray(kept.read_bytes())
    whole[len(whole) // 2] ^= 1
    kept.write_bytes({"flipped": bytes(whole), "cut": packed[:-9], "empty": b""}[damage])
    assert archive.adopt(packed, NAME, folder)
    assert archive.read(folder, NAME) == CONTENT
    assert not archive.adopt(packed, NAME, folder)
    assert [entry.name for entry in folder.iterdir()] == [kept.name]


def test_nothing_that_can_be_read_is_replaced_and_nothing_by_what_is_damaged_itself(
    source: Path, folder: Path, tmp_path: Path
) -> None:
    packed, kept = packed_elsewhere(source, tmp_path), folder / f"{NAME}.zst"
    other = source.with_name("other")
    other.write_bytes(b"of another life")
    archive.push(other, NAME, folder)
    with pytest.raises(ArchiveConflict):
        archive.adopt(packed, NAME, folder)
    assert archive.read(folder, NAME) == b"of another life"
    kept.write_bytes(b"damaged")
    with pytest.raises(ArchiveIncomplete):
        archive.adopt(packed[:-1], NAME, folder)
    # What a server archives itself is a repeat of its own: damage under it stays for all to see.
    with pytest.raises(ArchiveIncomplete):
        archive.push(source, NAME, folder)
    assert kept.read_bytes() == b"damaged"


def run(command: str, place: Path, name: str = NAME) -> int:
    line = command.replace("%p", str(place)).replace("%f", name).replace("%%", "%")
    return subprocess.run(["/bin/sh", "-c", line], check=False, capture_output=True).returncode


def test_the_commands_of_the_server_say_what_it_understands(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's 100% safe"
    folder.mkdir()
    assert run(archive.archive_command(folder), source) == 0
    fetching = archive.restore_command(folder)
    assert run(fetching, tmp_path / "out") == 0
    assert run(fetching, tmp_path / "out", "000000010000000000000004") == 1  # the log ends here
    (folder / f"{NAME}.zst").write_bytes(b"damaged")
    assert run(fetching, tmp_path / "out") > 125  # recovery gives up
    broken = archive.restore_command(folder, Path("/bin/false"))
    assert run(broken, tmp_path / "out") > 125  # and does not take this for the end


def test_a_recovery_reads_no_file_behind_the_last_one_that_it_was_given(
    source: Path, folder: Path, tmp_path: Path
) -> None:
    """A server asks for the next one ahead of its time; damage there is none of its business."""
    out = tmp_path / "out"
    behind, same_part = "000000010000000000000004", "000000020000000000000003"
    for name in (behind, same_part):
        (folder / f"{name}.zst").write_bytes(b"damaged")
    archive.push(source, NAME, folder)
    fetching = archive.restore_command(folder, last=NAME)
    assert run(fetching, out) == 0
    assert run(fetching, out, behind) == 1
    assert run(fetching, out, "000000020000000000000004") == 1
    assert run(fetching, out, same_part) > 125
    (folder / "00000002.history.zst").write_bytes(b"damaged")
    assert run(fetching, out, "00000002.history") > 125


def test_a_full_disk_is_an_error_that_is_tried_again(source: Path, folder: Path) -> None:
    limited = f"ulimit -f 0; {shlex.join(_push(source, folder))}"
    tried = subprocess.run(["/bin/bash", "-c", limited], check=False, capture_output=True)
    assert tried.returncode == 1
    assert list(folder.iterdir()) == []
    archive.push(source, NAME, folder)


def _push(source: Path, folder: Path) -> list[str]:
    module = "backup.restore_points.archive"
    return [sys.executable, "-m", module, "push", str(source), NAME, str(folder)]
