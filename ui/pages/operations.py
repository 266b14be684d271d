"""Operations page: is the system well, how fast is it, and what happens if we break it?"""

from fastapi.responses import FileResponse, PlainTextResponse
from nicegui import app
from starlette.responses import Response

from ui.backend import Backend
from ui.components.backup_panel import BackupPanel
from ui.components.fault_panel import FaultPanel
from ui.components.layout import PageContext, block, html, page_layout, require_staff, text
from ui.components.operations_view import drawing
from ui.components.reports_panel import ReportsPanel
from ui.identity import staff
from ui.pages.page import page


def register(backend: Backend) -> None:
    """Add the page."""

    @page("/ops")
    async def operations() -> None:
        with page_layout(backend, "Operations", "/ops") as context:
            if require_staff(context):
                if not backend.operations.now.health:
                    await backend.operations.poll(everything=True)
                await OperationsPage(context).build()

    @app.get("/reports/{name}/{file}", include_in_schema=False)
    def report(name: str, file: str) -> Response:
        path = backend.verification.file(name, file) if staff(app.storage.user) else None
        if path is None:
            return PlainTextResponse("There is no such report, or it is not for you.", 404)
        return FileResponse(path)


class OperationsPage:
    """One page's view of what the shared poller has seen."""

    def __init__(self, context: PageContext) -> None:
        self.context = context
        self.poller = context.backend.operations

    async def build(self) -> None:
        """Build the page and keep it up to date."""
        with block("heading"):
            text("Operations", "h1")
            self.updated = html("", "p", "small soft number")
        with block("grid wide"):
            self.alert = html("", "section", "alert-box").props('aria-label="Response time alert"')
            # said aloud when the state changes, and only then
            self.spoken = text("", "p", "spoken").props("role=alert").mark("alert-state")
            with block("card", "section").props("aria-label=Figures"):
                text("Right now", "h2")
                self.figures = html("", "dl", "figures")
        with block("card", "section").props("aria-label=Services"):
            text("Services", "h2")
            self.health = html("", "ul", "services")
        BackupPanel(self.context).build()
        if self.context.backend.settings.fault_injection:
            await FaultPanel(self.context).build()
        self.charts = html("", "div", "grid wide")
        with block("card", "section").props('aria-label="Orders by status"'):
            text("Orders of the last 5 minutes", "h2")
            self.statuses = html("", "ul", "bars")
        await ReportsPanel(self.context).build()
        self.show()
        self.poller.changed.subscribe(self.show)

    def show(self) -> None:
        """Show what the poller has seen; only what has changed travels to the browser."""
        drawn = drawing(self.poller.now)
        self.updated.content = drawn.updated
        self.alert.content = drawn.alert
        self.spoken.text = drawn.spoken
        self.figures.content = drawn.figures
        self.health.content = drawn.health
        self.charts.content = drawn.charts
        self.statuses.content = drawn.statuses
