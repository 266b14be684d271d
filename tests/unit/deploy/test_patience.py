import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.process import patience


class Ended:
    """What the kernel says of a process that has just ended."""

    def glob(self, pattern: str) -> Iterator[Path]:
        raise FileNotFoundError(pattern)


def test_a_command_that_ends_while_it_is_looked_at_has_done_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A recovery runs one for each file of the log: in a week of it there is always one."""
    monkeypatch.setattr(patience, "_PROC", Ended())
    waited_for = patience.Patience(60.0, os.getpid)
    assert not waited_for.is_over()
