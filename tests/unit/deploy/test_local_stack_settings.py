"""What the stack is told, and what it says when that cannot be."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import preflight
from deploy.local.errors import StartRefused
from deploy.local.ports import _reserved, free_port, is_taken, reserve
from deploy.local.process.environment import service_environment
from deploy.local.settings import PROJECT, Ports, StackSettings
from deploy.local.stack import Stack


def test_without_settings_the_ports_of_the_contract_are_used() -> None:
    ports = StackSettings.from_environment({}).ports.by_variable()
    assert ports == {
        "UI_PORT": 8080,
        "ORDER_PORT": 8101,
        "INVENTORY_PORT": 8102,
        "WORKER_PORT": 8103,
        "SUBSCRIBERS_PORT": 8104,
        "LEGACY_SERVICE_PORT": 8106,
        "BACKUP_PORT": 8107,
        "TEMPORAL_PORT": 7233,
        "TEMPORAL_UI_PORT": 8233,
        "POSTGRES_PORT": 5439,
    }


def test_the_home_is_in_the_checkout_unless_told() -> None:
    assert StackSettings.from_environment({}).home == PROJECT / ".valerix"
    told = StackSettings.from_environment({"VALERIX_HOME": "/somewhere/else"})
    assert told.home == Path("/somewhere/else")


def test_backups_outlive_the_home_unless_there_are_to_be_none() -> None:
    read = StackSettings.from_environment
    assert read({}).backup_home == PROJECT / ".valerix-backup"
    assert read({"VALERIX_HOME": "/a/shop"}).backup_home == Path("/a/shop-backup")
    told = read({"VALERIX_HOME": "/a/shop", "VALERIX_BACKUP_HOME": "/disk/two"})
    assert told.backup_home == Path("/disk/two")
    assert read({"BACKUP": "false"}).backup_home is None
    assert StackSettings(home=Path("/a/shop")).backup_home is None


@pytest.mark.parametrize("inside", ["/a/shop", "/a/shop/backup", "/a/other/../shop/x"])
def test_backups_in_the_folder_that_they_are_to_outlive_are_refused(inside: str) -> None:
    with pytest.raises(StartRefused, match="VALERIX_BACKUP_HOME"):
        StackSettings.from_environment({"VALERIX_HOME": "/a/shop", "VALERIX_BACKUP_HOME": inside})


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "1e3", "٣"])
def test_a_port_that_is_none_is_refused_by_its_variable(text: str) -> None:
    with pytest.raises(StartRefused, match="ORDER_PORT"):
        StackSettings.from_environment({"ORDER_PORT": text})


def test_two_settings_with_one_port_are_refused_with_both_names() -> None:
    with pytest.raises(StartRefused, match="UI_PORT and WORKER_PORT are both 8080"):
        StackSettings.from_environment({"WORKER_PORT": "8080"})


def test_an_unknown_durability_is_refused() -> None:
    with pytest.raises(StartRefused, match="TEMPORAL_SQLITE_SYNCHRONOUS"):
        StackSettings.from_environment({"TEMPORAL_SQLITE_SYNCHRONOUS": "OFF"})


def test_extra_environment_is_added_to_one_child_only() -> None:
    settings = StackSettings(home=Path("/x")).with_env("worker", LOG_LEVEL="DEBUG")
    settings = settings.with_env("worker", OTHER="1")
    assert settings.extra_env == {"worker": {"LOG_LEVEL": "DEBUG", "OTHER": "1"}}


def test_free_ports_are_free_and_different() -> None:
    ports = Ports.free().by_variable().values()
    assert len(set(ports)) == len(ports)
    assert not any(is_taken(port) for port in ports)


def test_a_free_port_is_not_handed_out_by_another_process() -> None:
    port = free_port()
    code = f"from deploy.local.ports import reserve; print(reserve({port}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert other.stdout.strip() == ("False" if sys.platform == "linux" else "True")


def test_a_configured_port_is_not_chosen_for_anything_else(tmp_path: Path) -> None:
    wanted = free_port()
    held = _reserved.pop(wanted)  # as if nobody had chosen it
    if held >= 0:
        os.close(held)
    Stack(StackSettings(home=tmp_path, ports=Ports(worker=wanted)))
    assert not reserve(wanted)


async def test_a_server_starts_on_its_reserved_port_and_starts_again() -> None:
    port = free_port()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
            assert is_taken(port)


def test_a_taken_port_is_named_with_its_holder_and_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartRefused) as refused:
            preflight.ports_are_free({"UI_PORT": free_port(), "ORDER_PORT": port})
    message = str(refused.value)
    assert f"port {port} is taken" in message
    assert "pid" in message
    assert "(ORDER_PORT)" in message
    assert "nothing was started" in message
    other = port + 10_000 if port < 55_536 else port - 10_000
    assert f"ORDER_PORT={other} make up" in message


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet"
    with pytest.raises(StartRefused, match="MB are free"):
        preflight.disk_has_room(home, needed=2**62)
    assert not home.exists()


def test_an_old_python_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"this is Python 3\.10"):
        preflight.python_is_new_enough((3, 10))


def test_services_get_their_own_settings_and_nothing_meant_for_other_programs() -> None:
    ours = {
        "PATH": "/bin",
        "SAGA_FAST_HTTP_S": "0.5",
        "ORDER_WAIT_SLOTS": "5",
        "LOG_LEVEL": "DEBUG",
    }
    others = {
        "HTTP_PROXY": "http://proxy",
        "PGSSLMODE": "require",
        "PYTHONPATH": "/x",
        "order_port": "1",
    }
    assert service_environment({**ours, **others}) == ours


@pytest.mark.parametrize(("told", "used"), [("debug", "DEBUG"), ("verbose", "INFO"), ("", "INFO")])
def test_a_log_level_that_only_other_programs_know_is_not_passed_on(told: str, used: str) -> None:
    assert service_environment({"LOG_LEVEL": told}) == {"LOG_LEVEL": used}
