import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from backup.restore_points import archive, read_ahead
from backup.restore_points.read_ahead import FILES, ReadAhead

SEGMENT_BYTES = 1 << 20
LOG = [f"0000000100000000{number:08X}" for number in range(3, 43)]


def content(name: str) -> bytes:
    """Return what is in a file: little, and zeros, as in one that was closed early."""
    return name.encode() * 300 + bytes(SEGMENT_BYTES - 300 * len(name))


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    folder = tmp_path / "it's 100% safe"
    folder.mkdir()
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    for name in LOG:
        (folder / f"{name}.zst").write_bytes(pack(content(name)))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "it's 100% new" / "data"
    (made / "pg_wal").mkdir(parents=True)
    return made


@pytest.fixture
def ahead(wal: Path, data: Path) -> ReadAhead:
    found = ReadAhead(LOG, wal, archive.ahead_of(data))
    found.folder.mkdir()
    return found


def all_steps(ahead: ReadAhead) -> list[str]:
    """Return what lies ready once there is nothing more to do."""
    while ahead.step():
        pass
    there = {entry.name for entry in ahead.folder.iterdir()}
    return sorted(there - {archive.ASKED_FOR})


Ask = Callable[[str], int]


@pytest.fixture
def ask(wal: Path, data: Path) -> Ask:
    """Ask as the server does."""
    command = archive.restore_command(wal, ahead=archive.ahead_of(data))
    return lambda name: run(command, data, name)


@pytest.fixture
def ask_cheaply(wal: Path, data: Path) -> Ask:
    """Ask as the server does, where no interpreter could be started."""
    command = archive.restore_command(wal, Path("/bin/false"), ahead=archive.ahead_of(data))
    return lambda name: run(command, data, name)


PLACE = "pg_wal/RECOVERYXLOG"


def run(command: str, data: Path, name: str) -> int:
    line = command.replace("%p", PLACE).replace("%f", name).replace("%%", "%")
    (data / PLACE).unlink(missing_ok=True)
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=data, check=False, capture_output=True
    ).returncode


def test_all_of_a_log_is_taken_without_an_interpreter(
    ahead: ReadAhead, ask_cheaply: Ask, data: Path
) -> None:
    for number, name in enumerate(LOG):
        assert all_steps(ahead) == LOG[number : number + FILES]
        assert ask_cheaply(name) == 0
        assert (data / PLACE).read_bytes() == content(name)
    assert all_steps(ahead) == []


def test_what_does_not_lie_ready_is_fetched(ask: Ask, ask_cheaply: Ask, data: Path) -> None:
    """There may be no reader at all, or one that has just begun, or is behind."""
    assert ask(LOG[20]) == 0
    assert (data / PLACE).read_bytes() == content(LOG[20])
    assert ask_cheaply(LOG[20]) > 125


def test_the_end_and_a_history_are_told_from_an_error(
    ahead: ReadAhead, ask: Ask, ask_cheaply: Ask, wal: Path
) -> None:
    before = all_steps(ahead)
    for name in ("00000002.history", "0000000100000000000000FF"):
        assert ask(name) == 1
        assert ask_cheaply(name) > 125
        assert all_steps(ahead) == before
    wal.rename(wal.with_name("away"))
    assert ask(LOG[30]) > 125


def test_a_file_is_there_for_who_asks_twice_or_in_another_order(
    ahead: ReadAhead, ask: Ask, ask_cheaply: Ask, data: Path
) -> None:
    all_steps(ahead)
    for name in (LOG[1], LOG[1], LOG[0], LOG[0], LOG[30], LOG[5]):
        assert ask(name) == 0
        assert (data / PLACE).read_bytes() == content(name)
        all_steps(ahead)
    assert all_steps(ahead) == LOG[6 : 6 + FILES]
    assert ask_cheaply(LOG[6]) == 0


def test_a_damaged_file_never_lies_ready_and_holds_up_no_other(
    ahead: ReadAhead, ask: Ask, ask_cheaply: Ask, wal: Path
) -> None:
    kept = wal / f"{LOG[2]}.zst"
    whole = bytearray(kept.read_bytes())
    whole[len(whole) // 2] ^= 1
    kept.write_bytes(whole)
    assert all_steps(ahead) == [*LOG[:2], *LOG[3:FILES]]
    assert ask(LOG[2]) > 125
    assert all_steps(ahead) == LOG[3 : 3 + FILES]
    assert ask_cheaply(LOG[3]) == 0


def test_a_file_that_comes_late_is_waited_for(ahead: ReadAhead, wal: Path) -> None:
    (wal / f"{LOG[2]}.zst").rename(wal / "later")
    assert all_steps(ahead) == LOG[:2]
    (wal / "later").rename(wal / f"{LOG[2]}.zst")
    assert all_steps(ahead) == LOG[:FILES]


def test_long_files_lie_ready_in_smaller_numbers(
    ahead: ReadAhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "_AT_MOST_BYTES", 3 * SEGMENT_BYTES)
    assert all_steps(ahead) == LOG[:3]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count blocks otherwise")
def test_zeros_at_the_end_take_no_room(tmp_path: Path) -> None:
    for some in (content(LOG[0]), bytes(SEGMENT_BYTES), b"x" * SEGMENT_BYTES, b"", b"short"):
        read_ahead.write_sparse(some, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == some
    read_ahead.write_sparse(content(LOG[0]), tmp_path / "file")
    assert (tmp_path / "file").stat().st_blocks * 512 <= SEGMENT_BYTES // 4


def test_nothing_is_left_behind(wal: Path, data: Path, ask_cheaply: Ask) -> None:
    given: list[Path] = []
    with read_ahead.read_ahead(LOG, wal, data, given.append):
        folder = archive.ahead_of(data)
        for name in LOG:
            while not (folder / name).exists():
                pass
            assert ask_cheaply(name) == 0
    assert {path.name for path in data.parent.iterdir()} == {"data"}
    assert given[0] == folder
    assert {path.name.partition(".")[0] for path in given[1:]} == set(LOG)
