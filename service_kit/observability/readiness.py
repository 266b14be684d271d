"""Health probe of another service's `/readyz`."""

import aiohttp

from service_kit.observability.health import CheckResult, Probe


def readiness_of(session: aiohttp.ClientSession, base_url: str) -> Probe:
    """Return the probe of the `/readyz` behind `base_url`.

    Never `/health`: two services that asked each other deeply would ask in circles.
    """
    url = f"{base_url.rstrip('/')}/readyz"

    async def is_ready() -> CheckResult:
        async with session.get(url, allow_redirects=False) as response:
            ok = response.status == 200
        return CheckResult() if ok else CheckResult("fail", f"/readyz answers {response.status}")

    return is_ready
