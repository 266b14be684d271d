"""A stand-in of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.trail.legacy import LegacyStandIn, serve_legacy


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[LegacyStandIn]:
    with serve_legacy(tmp_path / "legacy") as served:
        yield served
