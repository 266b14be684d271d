"""Application of the UI: settings in, ASGI application out."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import background_tasks, core, ui
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_kit.http import application
from service_kit.process.background import Background
from ui.backend import Backend
from ui.browser_storage import keep_in
from ui.pages import operations, order, orders, shop, sign_in, warehouse
from ui.settings import UiSettings

STATIC = Path(__file__).parent / "static"
PAGES = (shop, order, orders, warehouse, operations, sign_in)
A_YEAR_S = 365 * 24 * 3600
# Whoever is taken for gone loads the page anew, which is more work than any other: on a machine
# that is too busy to hear the answers in time, all of them would, at once.
ANSWERED_WITHIN_S = 20.0

# NiceGUI's own scripts are inline and compile templates; all else comes from here or not at all.
_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    b"connect-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
]


class OnlyFromHere:
    """Tells the browser to load nothing from elsewhere, and not to be framed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def create_app(settings: UiSettings) -> FastAPI:
    """Return the application; one for each process, since NiceGUI has one set of pages."""
    backend = Backend(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await backend.open()
        async with Background(*(task.run() for task in backend.tasks)):
            if settings.fault_injection:
                background_tasks.create(backend.verification.look_up(), name="scenarios")
            yield
        await backend.close()

    app = application.create("Valerix", lifespan, lambda: backend.health)
    app.add_middleware(OnlyFromHere)
    keep_in(settings.storage)
    register(backend)
    ui.run_with(
        app,
        title="Valerix",
        favicon=STATIC / "assets" / "logo.svg",
        dark=None,
        language="en-GB",
        # none of our elements is bound to plain data, so there is nothing to look for
        binding_refresh_interval=None,
        reconnect_timeout=10.0,
        message_history_length=30,
        tailwind=False,
        storage_secret=settings.session_secret(),
        session_middleware_kwargs={
            "max_age": A_YEAR_S,
            "same_site": "lax",
            "https_only": not backend.is_local,
        },
        show_welcome_message=False,
    )
    nicegui_app.on_startup(_wait_for_answers)
    return app


def _wait_for_answers() -> None:
    """Keep a browser that answers late; NiceGUI has just set four seconds."""
    core.sio.eio.ping_timeout = ANSWERED_WITHIN_S


def register(backend: Backend) -> None:
    """Add the pages and what they are made of to NiceGUI."""
    nicegui_app.router.redirect_slashes = False  # it would be to the host that the request names
    nicegui_app.add_static_files("/assets", STATIC / "assets")
    nicegui_app.add_static_files("/pictures", STATIC / "pictures")
    style = (STATIC / "assets" / "style.css").read_bytes()
    version = hashlib.sha256(style).hexdigest()[:12]
    ui.add_head_html(f'<link rel="stylesheet" href="/assets/style.css?v={version}">', shared=True)
    for page in PAGES:
        page.register(backend)
