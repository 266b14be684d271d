"""What the tests of deployments share."""

import pytest

from tests.support import promtool as tool


@pytest.fixture(scope="session")
def promtool() -> str:
    found = tool.find()
    if found is None:
        pytest.skip("No promtool: not on PATH, and Debian's package prometheus could not be had.")
    return found
