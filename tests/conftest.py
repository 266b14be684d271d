"""What tests measured, printed at the end of a run, whichever process ran them."""

from collections import Counter
from typing import Any

import pytest

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse two tests with one id: run side by side, only the first of them would be run."""
    counted = Counter(item.nodeid for item in items)
    if twice := [nodeid for nodeid, count in counted.items() if count > 1]:
        raise pytest.UsageError(f"tests share an id: {', '.join(twice)}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of a process that runs a part of the tests: hand the figures to the one that reports."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = session.config.stash[FIGURES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take them, unless that process died."""
    node.config.stash[FIGURES] += getattr(node, "workeroutput", {}).get("figures", [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if figures := config.stash[FIGURES]:
        terminalreporter.section("what was measured", "-")
        for line in figures:
            terminalreporter.write_line(line)
