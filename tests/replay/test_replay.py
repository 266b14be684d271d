"""Every history that was ever recorded replays with the saga as it is now."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from chaos.nemesis.workflow_release import release
from service_kit.temporal import DATA_CONVERTER
from tests.replay.mutants import MUTANTS
from tests.replay.record import HISTORIES, STORIES, next_file
from worker.temporal_worker import runner
from workflows.order import OrderWorkflow

FILES = sorted(HISTORIES.glob("*.json"))


def history_in(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, json.loads(file.read_text()))


def replayer(workflow: type, *, sandboxed: bool) -> Replayer:
    return Replayer(
        workflows=[workflow],
        data_converter=DATA_CONVERTER,
        workflow_runner=runner(sandbox=sandboxed),
    )


@pytest.mark.parametrize("sandboxed", [False, True], ids=["plain", "sandboxed"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_history_replays(file: Path, sandboxed: bool) -> None:
    await replayer(OrderWorkflow, sandboxed=sandboxed).replay_workflow(history_in(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_later_release_goes_on_with_older_orders(file: Path) -> None:
    await replayer(release(2), sandboxed=False).replay_workflow(history_in(file))


def test_there_is_a_history_of_every_story() -> None:
    recorded = {file.stem.rpartition("-")[0] for file in FILES}
    assert recorded >= {story.__name__.replace("_", "-") for story in STORIES}


@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_saga_that_does_otherwise_is_caught(mutant: type) -> None:
    results = await replayer(mutant, sandboxed=False).replay_workflows(
        _all(), raise_on_replay_failure=False
    )
    found = results.replay_failures.values()
    assert any(isinstance(failure, NondeterminismError) for failure in found), found


async def _all() -> AsyncIterator[WorkflowHistory]:
    for file in FILES:
        yield history_in(file)


def test_a_new_recording_never_writes_over_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "story-1.json").write_text("old")
    (tmp_path / "story-2.json").write_text("newer")
    assert next_file("story", tmp_path) == tmp_path / "story-3.json"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_history_tells_nothing_about_the_machine_it_was_recorded_on(file: Path) -> None:
    text = file.read_text()
    assert "site-packages" not in text
    assert not re.search(r'"\d+@', text)
