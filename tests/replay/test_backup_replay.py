"""Every recorded history of a daily backup replays with the workflow as it is now."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from backup.capsule.manifest import SealedCapsule
from backup.daily.contracts import DAILY_BACKUP, BackupPlan, BackupReport
from backup.daily.worker import WORKFLOWS
from backup.daily.workflow import DailyBackup, StartDailyBackup
from service_kit.temporal import DATA_CONVERTER
from tests.replay.record_backup import BACKUP_HISTORIES, STORIES
from tests.replay.test_replay import history_in
from worker.temporal_worker import runner

FILES = sorted(BACKUP_HISTORIES.glob("*.json"))


@pytest.mark.parametrize("sandboxed", [False, True], ids=["plain", "sandboxed"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_backup_replays(file: Path, sandboxed: bool) -> None:
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=DATA_CONVERTER,
        workflow_runner=runner(sandbox=sandboxed),
    )
    await replayer.replay_workflow(history_in(file))


def test_there_is_a_history_of_every_story() -> None:
    recorded = {file.stem.rpartition("-")[0] for file in FILES}
    assert recorded >= {story.__name__.replace("_", "-") for story in STORIES}


@workflow.defn(name=DAILY_BACKUP)
class SendsUnproven(DailyBackup):
    """Spends the call on a capsule that nobody has tried."""

    @workflow.run
    async def run(self, plan: BackupPlan) -> BackupReport:
        return await super().run(plan)

    async def _prove(self, capsule: SealedCapsule, *, is_last: bool = False) -> None:
        pass


async def test_a_backup_that_does_otherwise_is_caught() -> None:
    replayer = Replayer(
        workflows=[SendsUnproven, StartDailyBackup],
        data_converter=DATA_CONVERTER,
        workflow_runner=runner(sandbox=False),
    )
    file = next(each for each in FILES if each.stem == "called-1")
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history_in(file))
