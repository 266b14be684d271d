"""Imports go one way; the contracts are in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_imports_go_one_way_and_workflow_code_does_no_io() -> None:
    configure()
    assert lint_imports(config_filename=str(PYPROJECT), cache_dir=None)


def test_importing_workflow_code_reads_no_environment() -> None:
    program = "from workflows.policies import POLICIES; print(POLICIES.workflow_task)"
    done = subprocess.run(
        [sys.executable, "-c", f"import workflows.order; {program}"],
        env={"SAGA_WORKFLOW_TASK_S": "not a number"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "0:00:05", done.stderr
