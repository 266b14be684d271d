"""The command line: one for everything, with the older names of two commands."""

import os
import runpy
import sys

import pytest
from typer.testing import CliRunner

from chaos.scenarios.catalogue import SCENARIOS
from deploy.cli.__main__ import app

COMMANDS = ("up", "status", "order", "gremlin", "chaos", "bench", "migrate", "env", "cloud")


def test_help_names_every_command() -> None:
    said = CliRunner().invoke(app, ["--help"], prog_name="valerix")
    assert said.exit_code == 0
    assert all(f" {command} " in said.output for command in COMMANDS)


def test_scenarios_are_listed_as_programs_expect() -> None:
    said = CliRunner().invoke(app, ["chaos", "list"])
    assert [line.split()[0] for line in said.output.splitlines()] == list(SCENARIOS)


@pytest.mark.parametrize(
    "command", [["chaos", "run", "nonsense"], ["bench", "--only", "nonsense"]], ids=" ".join
)
def test_what_there_is_not_is_refused_with_what_there_is(command: list[str]) -> None:
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 2
    assert "nonsense" in said.output
    assert "there are" in said.output


@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [("chaos", ["list"], 0), ("chaos", ["run", "nonsense"], 2), ("bench", ["--only", "no"], 2)],
)
def test_older_names_are_the_same_commands(
    module: str, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*os.environ]:
        if name.startswith("PYTHON"):  # with these, the command begins again in a new process
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__")
    assert end.value.code == code
