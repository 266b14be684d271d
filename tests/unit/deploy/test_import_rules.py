"""Imports go one way; the contracts are in pyproject.toml."""

from pathlib import Path

from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_imports_go_one_way_and_workflow_code_does_no_io() -> None:
    configure()
    assert lint_imports(config_filename=str(PYPROJECT), cache_dir=None)
