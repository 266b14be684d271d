"""Histories that orders wrote under faults: today's workflow code has to agree with each."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from workflows.connection import DATA_CONVERTER
from workflows.order import OrderWorkflow

HISTORIES = {
    file.stem: file.read_text() for file in (Path(__file__).parent / "histories").glob("*.json")
}


@pytest.mark.parametrize("runner", [UnsandboxedWorkflowRunner, SandboxedWorkflowRunner])
@pytest.mark.parametrize("name", sorted(HISTORIES))
async def test_a_history_written_under_faults_replays(
    name: str, runner: type[UnsandboxedWorkflowRunner] | type[SandboxedWorkflowRunner]
) -> None:
    replayer = Replayer(
        workflows=[OrderWorkflow], data_converter=DATA_CONVERTER, workflow_runner=runner()
    )
    await replayer.replay_workflow(WorkflowHistory.from_json(name, HISTORIES[name]))


def test_there_are_histories_to_replay() -> None:
    assert HISTORIES
