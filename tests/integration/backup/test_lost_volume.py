"""B4: the database's volume is lost under load; its archive has all but the last minute at most.

`test_restore_command.py` restores from the archive in each run of the tests, without a load.
"""

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import FIGURES
from tests.support.command_line import CommandLine
from tests.support.trail.lost_volume import LosableShop, Loss

# The promise. The log is archived every 30 s, so half of it is for an archiver that is behind.
MOST_LOST_S = 60.0
LOSSES = 10
PER_SECOND = 20
# What clients have answers to when it is lost, at least and at most: after 10 to 45 s, so that the
# archive is behind by any part of its 30 s.
ANSWERS = (200, 900)


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_a_lost_volume_costs_a_minute_at_most_and_no_order_in_the_end(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    dice = random.Random(11)
    losses: list[Loss] = []
    async with (
        CommandLine(tmp_path / "home", backups=True) as valerix,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        valerix.within_s = 300.0
        shop = LosableShop(valerix, session)
        await shop.open()
        await shop.has_a_base_backup()
        for number in range(1, LOSSES + 1):
            count = dice.randint(*ANSWERS)
            ordering = asyncio.create_task(
                # and a second more: of those, nobody ever hears
                shop.order(f"customer-{number}", PER_SECOND, count + PER_SECOND)
            )
            await shop.answers(count)
            await shop.lose_everything()
            await ordering
            losses.append(await shop.restore())
            assert losses[-1].seconds <= MOST_LOST_S
            await shop.send_again()
            await shop.assert_each_is_one_order()
    pytestconfig.stash[FIGURES].append(
        f"the volume lost {LOSSES} times under {PER_SECOND} orders/s: "
        f"{' '.join(f'{loss.seconds:.1f}' for loss in losses)} s of commits lost, "
        f"{sum(loss.orders for loss in losses)} of {len(shop.sent)} orders, all there once sent "
        f"again; restored in {max(loss.restored_in_s for loss in losses):.1f} s at most"
    )
