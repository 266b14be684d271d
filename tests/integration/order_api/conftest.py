"""Order stacks here are patient, unless a module is about what is answered how soon."""

import pytest


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    return {"patient": True}
