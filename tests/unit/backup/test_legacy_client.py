"""What the answers of the legacy service to a look at its count are taken for."""

from pathlib import Path

import httpx
import pytest

from backup.legacy.client import LegacyClient
from backup.legacy.outcomes import NotCalled
from tests.support.trail.legacy import DAY, legacy_settings, stands_still


class Looking(LegacyClient):
    """A client to whose looks there is one answer."""

    def __init__(self, folder: Path, answer: httpx.Response) -> None:
        super().__init__(legacy_settings("http://127.0.0.1:1", folder), stands_still)
        self._answer = answer

    async def _look(self, url: str, headers: dict[str, str]) -> httpx.Response:
        return self._answer


def counted(calls: int) -> dict[str, object]:
    return {"date": DAY.isoformat(), "calls": calls}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_service_that_cannot_tell_now_is_asked_again(tmp_path: Path, status: int) -> None:
    client = Looking(tmp_path, httpx.Response(status, json=counted(0)))
    with pytest.raises(NotCalled, match=str(status)):
        await client.calls_on(DAY)


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [(200, counted(0), 0), (200, counted(1), 1), (200, {}, None), (404, {}, None), (403, {}, None)],
)
async def test_what_it_tells_is_believed_and_nothing_else(
    tmp_path: Path, status: int, content: dict[str, object], expected: int | None
) -> None:
    client = Looking(tmp_path, httpx.Response(status, json=content))
    assert await client.calls_on(DAY) == expected
