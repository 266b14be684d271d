"""The front door: a page that says where everything is, until the shop itself opens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import escape

import aiohttp
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from service_kit import application
from service_kit.health import Health
from service_kit.readiness import readiness_of
from ui.settings import UiSettings

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Valerix</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 12vh auto; padding: 0 1rem }}
  a {{ color: #0b5fff }}
  @media (prefers-color-scheme: dark) {{ body {{ background: #14161a; color: #eee }} a {{ color: #8ab4ff }} }}
</style></head><body>
<h1>Valerix</h1>
<p>Orders are being taken. The shop window is not open yet; this is what there is:</p>
<ul>
  <li><a href="{orders}/openapi.json">Order service</a>: place orders and follow them</li>
  <li><a href="{inventory}/openapi.json">Inventory service</a>: what is on the shelf</li>
  <li><a href="{temporal}">Temporal Web UI</a>: the story of every order</li>
</ul>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class State:
    """What the health routes need."""

    health: Health


def create_app(settings: UiSettings) -> FastAPI:
    """Return the application."""
    page = _PAGE.format(
        orders=escape(settings.order_api_url),
        inventory=escape(settings.inventory_api_url),
        temporal=escape(settings.temporal_ui_url),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:
            probes = {
                "order_api:readiness": readiness_of(session, settings.order_api_url),
                "inventory_api:readiness": readiness_of(session, settings.inventory_api_url),
            }
            app.state.service = State(
                Health("ui", application.own_version(), probes, optional=frozenset(probes))
            )
            yield

    app = application.create("Valerix", lifespan, lambda: app.state.service.health)

    @app.get("/", include_in_schema=False)
    async def front_page() -> HTMLResponse:
        return HTMLResponse(page)

    return app
