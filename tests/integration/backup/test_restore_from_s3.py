"""The site is gone but for its key: `valerix restore --from` a bucket brings the orders back."""

import contextlib
import json
import os
import shutil
import signal
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from backup.durable import remove
from backup.stores.s3 import S3Settings
from backup.trail_folder import TrailFolder
from deploy.local.postgres.connection import connected
from tests.support.command_line import CommandLine
from tests.support.order_stack import eventually
from tests.support.s3_server import s3_server, why_not
from tests.support.trail.legacy import SetClock, serve_legacy
from tests.support.trail.restorable import shop
from tests.support.trail.time_of_day import day_with, no_minute_of_the_schedule

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]

WITHIN_S = 400.0
ORDERS = 3
_SHIPPED = "SELECT count(*) FROM orders WHERE status = 'shipped'"


def as_variable(stores: dict[str, S3Settings]) -> str:
    """Return what a person writes into BACKUP_S3_STORES."""
    told = {}
    for name, settings in stores.items():
        assert settings.secret_access_key is not None
        told[name] = {
            "bucket": settings.bucket,
            "endpoint": settings.endpoint,
            "access_key_id": settings.access_key_id,
            "secret_access_key": settings.secret_access_key.get_secret_value(),
        }
    return json.dumps(told)


async def killed(valerix: CommandLine) -> None:
    """Kill everything at once, the supervisor first: nothing is started or stopped by it."""
    pids = valerix.pids()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in valerix.running:
        await process.communicate()

    async def gone() -> bool:
        return not any(is_alive(pid) for pid in pids)

    assert await eventually(gone, 60.0)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def lose_all_but_the_key(home: Path, trail: TrailFolder) -> None:
    shutil.rmtree(home)
    for entry in trail.folder.iterdir():
        if entry != trail.keys:
            remove(entry)


async def test_orders_come_back_from_a_bucket_by_its_name(tmp_path: Path) -> None:
    today = await day_with(timedelta(minutes=12))
    await no_minute_of_the_schedule()
    home, trail = tmp_path / "home", TrailFolder(tmp_path / "home-backup")
    noon = SetClock(datetime.combine(today, time(12), UTC))
    async with s3_server(tmp_path / "s3") as bucket, CommandLine(home, backups=True) as valerix:
        valerix.within_s = WITHIN_S
        valerix.env["BACKUP_S3_STORES"] = as_variable({"far": bucket})
        with serve_legacy(tmp_path / "noon", noon) as told:
            valerix.env["BACKUP_LEGACY_CLOCK_URL"] = f"{told.url}/livez"
            await valerix.up()
            for number in range(ORDERS):
                code, said = await valerix.order("MUG-BLUE=1", "--key", f"order-{number}")
                assert code == 0, said
            code, said = await valerix.run("backup", "now")
            assert code == 0, said
            await killed(valerix)
        lose_all_but_the_key(home, trail)

        code, said = await valerix.run("restore", "--from", "far", BACKUP_S3_STORES="{far}")
        assert code == 1
        assert "BACKUP_S3_STORES: is not JSON" in said
        assert "Traceback" not in said
        # a terminal of somebody who works with another account
        elsewhere = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_SESSION_TOKEN": "other"}
        code, said = await valerix.run("restore", "--from", "far", **elsewhere)
        assert code == 0, said
        assert " in far" in said
        assert "Violations left: 0" in said
    async with (
        shop(home, trail) as cluster,
        connected(cluster.postgres.admin_dsn("orders")) as connection,
    ):
        assert await connection.fetchval(_SHIPPED) == ORDERS
