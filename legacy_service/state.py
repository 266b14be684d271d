"""Objects that a running legacy_service holds, reachable from every route."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import Request

from legacy_service.call_log import CallLog
from legacy_service.capsule_files import CapsuleFiles
from legacy_service.misdeeds import Misdeeds
from service_kit.http.tokens import TokenVerifier
from service_kit.observability.health import Health

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class LegacyServiceState:
    """Made when the app starts, gone when it stops."""

    clock: Clock
    calls: CallLog
    files: CapsuleFiles
    misdeeds: Misdeeds
    verifier: TokenVerifier
    health: Health


def state_of(request: Request) -> LegacyServiceState:
    """Return the state of the app that serves `request`."""
    return cast("LegacyServiceState", request.app.state.service)
