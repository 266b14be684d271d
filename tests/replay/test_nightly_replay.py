"""Every recorded history of a nightly comparison replays with the workflow as it is now."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from backup.nightly.contracts import NIGHTLY_RECONCILE, Comparison, Look
from backup.nightly.workflow import NightlyReconcile
from service_kit.temporal import DATA_CONVERTER
from tests.replay.record_nightly import NIGHTLY_HISTORIES, STORIES
from tests.replay.test_replay import history_in
from worker.temporal_worker import runner

FILES = sorted(NIGHTLY_HISTORIES.glob("*.json"))


def replayer(of: type[NightlyReconcile], *, sandboxed: bool = False) -> Replayer:
    return Replayer(
        workflows=[of],
        data_converter=DATA_CONVERTER,
        workflow_runner=runner(sandbox=sandboxed),
    )


@pytest.mark.parametrize("sandboxed", [False, True], ids=["plain", "sandboxed"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_comparison_replays(file: Path, sandboxed: bool) -> None:
    await replayer(NightlyReconcile, sandboxed=sandboxed).replay_workflow(history_in(file))


def test_there_is_a_history_of_every_story() -> None:
    assert {file.stem.rpartition("-")[0] for file in FILES} >= STORIES.keys()


@workflow.defn(name=NIGHTLY_RECONCILE)
class AccusesAtOnce(NightlyReconcile):
    """Does not look again at what may be on its way."""

    @workflow.run
    async def run(self) -> Comparison:
        return await self._compare(Look())


async def test_a_comparison_that_does_otherwise_is_caught() -> None:
    file = next(each for each in FILES if each.stem == "was-on-its-way-1")
    with pytest.raises(NondeterminismError):
        await replayer(AccusesAtOnce).replay_workflow(history_in(file))
