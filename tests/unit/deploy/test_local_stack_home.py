"""The folder of the stack: keys, state, what may be deleted."""

import json
from pathlib import Path

import httpx
import pytest

from deploy.cli import order
from deploy.local.errors import StartRefused
from deploy.local.state_dir import StateDir, StateDirLock


def test_keys_and_state_are_closed_to_others(tmp_path: Path) -> None:
    home = StateDir(tmp_path / "home").create()
    key = home.token_key()
    home.write_state({"children": {}})
    assert len(key.encode()) >= 32
    assert home.token_key() == key == home.existing_token_key()
    assert (home.folder.stat().st_mode & 0o777) == 0o700
    assert ((home.secrets / "token_key").stat().st_mode & 0o777) == 0o600
    assert (home.state_file.stat().st_mode & 0o777) == 0o600


def test_a_stack_that_never_ran_has_no_key(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="no signing key"):
        StateDir(tmp_path / "home").existing_token_key()
    assert not (tmp_path / "home").exists()


def test_a_state_file_cut_in_half_counts_as_none(tmp_path: Path) -> None:
    home = StateDir(tmp_path).create()
    home.state_file.write_text('{"children": {"or')
    assert home.read_state() is None


def test_reset_deletes_only_what_is_ours(tmp_path: Path) -> None:
    home = StateDir(tmp_path / "home").create()
    home.token_key()
    (home.folder / "notes.txt").write_text("mine")
    home.delete()
    assert [path.name for path in home.folder.iterdir()] == ["notes.txt"]


def test_the_second_stack_in_a_home_is_told_who_has_it(tmp_path: Path) -> None:
    home = StateDir(tmp_path).create()
    first = StateDirLock(home)
    first.acquire()
    try:
        with pytest.raises(StartRefused, match=r"is running in .* already") as refused:
            StateDirLock(home).acquire()
        assert "valerix stop" in refused.value.remedy
    finally:
        first.release()
    assert StateDirLock(home).holder() is None


def test_large_logs_are_put_aside_and_small_ones_stay(tmp_path: Path) -> None:
    home = StateDir(tmp_path).create()
    with (home.logs / "worker.log").open("wb") as log:
        log.truncate(64 * 1024 * 1024)
    (home.logs / "order_api.log").write_text("short")
    home.trim_logs()
    assert sorted(path.name for path in home.logs.iterdir()) == ["order_api.log", "worker.log.1"]


def test_orders_of_the_command_line_are_counted_one_by_one(tmp_path: Path) -> None:
    home = StateDir(tmp_path).create()
    assert order.coming_keys(home, 2) == ["cli-1", "cli-2"]
    assert [order.next_key(home) for _ in range(3)] == ["cli-1", "cli-2", "cli-3"]
    assert order.coming_keys(home, 2) == ["cli-4", "cli-5"]


@pytest.mark.parametrize("text", ["=2", "MUG=-1", "MUG=two", "MUG=", "MUG=1.5"])
def test_what_is_not_sku_and_quantity_is_refused(text: str) -> None:
    with pytest.raises(StartRefused, match="is not SKU=QTY"):
        order.read_line(text)


def test_a_sku_alone_means_one_of_it() -> None:
    assert order.read_line("MUG") == {"sku": "MUG", "quantity": 1}
    assert order.read_line("MUG=12") == {"sku": "MUG", "quantity": 12}


def test_server_sent_events_are_read_over_comments_and_unknown_fields() -> None:
    event = {"seq": 3, "at": "now", "type": "shipped", "detail": {}}
    body = f": hello\n\nid: 3\nretry: 5\ndata: {json.dumps(event)}\n\n:\n\ndata: [1]\n\n"
    response = httpx.Response(200, text=body)
    assert list(order.read_events(response)) == [event]
