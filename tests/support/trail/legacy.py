"""The stand-in of the legacy service, served; a clock that tests set; capsules to send."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx

import legacy_service.main
from backup.capsule.manifest import SealedCapsule
from backup.legacy.client import LegacyClient
from backup.legacy.settings import LegacySettings
from legacy_service.contracts import Misbehaviour, Misdeed, digest_header
from legacy_service.settings import LegacyServiceSettings
from tests.support.serving import TOKEN_KEY, Served, bearer, serve, token

DAY = date(2028, 2, 29)
NOON = datetime.combine(DAY, time(12), UTC)


@dataclass
class SetClock:
    """A clock that stands still until it is set."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **how_far: float) -> None:
        self.now += timedelta(**how_far)


@dataclass
class LegacyStandIn:
    """A served stand-in: its address, its folder, and what it has counted itself."""

    served: Served
    folder: Path
    clock: SetClock = field(default_factory=SetClock)

    @property
    def url(self) -> str:
        return self.served.url

    def client(self, folder: Path, **changes: Any) -> LegacyClient:
        """Return a client of it; the claims that it could have are in `folder`."""
        settings = legacy_settings(**{"url": self.url, "folder": folder, **changes})
        return LegacyClient(settings, elapsed=stands_still)

    def misbehave(self, misdeed: Misdeed) -> None:
        """Tell it to, as staff does."""
        self.served.app.state.service.misdeeds.plan(Misbehaviour(misdeed=misdeed))

    def calls(self, day: date = DAY) -> int:
        """Return its own count, from the file: of any date, whoever asks."""
        return calls_in(self.folder, day)

    def kept(self, day: date = DAY) -> bytes | None:
        """Return what it keeps for a date."""
        file = self.folder / "capsules" / f"{day.isoformat()}.capsule"
        return file.read_bytes() if file.exists() else None


def calls_in(folder: Path, day: date = DAY) -> int:
    """Return how many calls the stand-in that has this folder has counted on a date."""
    file = folder / "calls" / day.isoformat()
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def service_settings(folder: Path, **changes: Any) -> LegacyServiceSettings:
    """Return the settings of a stand-in that may be told to misbehave."""
    changes = {"fault_injection": True, **changes}
    return LegacyServiceSettings(folder=folder, token_key=TOKEN_KEY, **changes)


@contextmanager
def serve_legacy(
    folder: Path, clock: SetClock | None = None, **changes: Any
) -> Iterator[LegacyStandIn]:
    """Serve a stand-in that lives by `clock`."""
    clock = clock or SetClock()
    app = legacy_service.main.create_app(service_settings(folder, **changes), clock)
    with serve(app) as served:
        yield LegacyStandIn(served, folder, clock)


def legacy_settings(url: str, folder: Path, **changes: Any) -> LegacySettings:
    """Return the settings of the caller."""
    settings: dict[str, Any] = {
        "url": url,
        "token": token("service", "backup"),
        "claims_folder": folder,
        # a machine may stand still for a second; what is tested here is what happens, not when
        "connect_within_s": 60.0,
        "look_within_s": 60.0,
        "call_within_s": 120.0,
        **changes,
    }
    return LegacySettings(**settings)


def stands_still() -> float:
    """Be the clock of a machine that is never too slow."""
    return 0.0


def sealed(folder: Path, day: date = DAY, content: bytes = b"a capsule") -> SealedCapsule:
    """Return a sealed capsule with this content; who made it is not what is tested."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day.isoformat()}.capsule"
    path.write_bytes(content)
    return SealedCapsule(
        day=day,
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        covers_from=datetime.combine(day - timedelta(days=6), time(), UTC),
        covers_to=datetime.combine(day, time(), UTC),
    )


def digest_of(content: bytes) -> str:
    """Return the header that announces this content."""
    return digest_header(hashlib.sha256(content).hexdigest())


def put(
    url: str, content: bytes, day: date = DAY, *, digest: str | None = None, timeout: float = 30.0
) -> httpx.Response:
    """Send a capsule as anybody could."""
    digest = digest_of(content) if digest is None else digest
    return httpx.put(
        f"{url}/v1/capsules/{day.isoformat()}",
        content=content,
        headers={**bearer("service"), "Repr-Digest": digest},
        timeout=timeout,
        trust_env=False,
    )
