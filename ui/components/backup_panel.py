"""Backup panel: what is kept of the platform's data, where, and whether it can be relied on."""

from ui.components.backup_view import TrailDrawing
from ui.components.layout import PageContext, block, html, text


class BackupPanel:
    """One page's view of the trail."""

    def __init__(self, context: PageContext) -> None:
        self.poller = context.backend.trail

    def build(self) -> None:
        """Build the panel; a line where backups are off."""
        with block("card", "section").props("aria-label=Backups"):
            text("Backups", "h2")
            if self.poller is None:
                text("Backups are off here: this page asks nobody about them.", "p", "soft")
                return
            # said aloud when something turns well or bad, and only then
            self.spoken = text("", "p", "spoken").props("role=status").mark("backup-state")
            self.news = html("", "div")
            self.figures = html("", "dl", "figures told")
            self.problems = html("", "div", "stack")
            text("Copies of the last 30 days", "h3")
            self.strip = html("", "ol", "trail").props("aria-hidden=true")
            self.days = html("", "div", "tablebox tall").props(
                'tabindex=0 role=region aria-label="Backups of each day"'
            )
        self.show()
        self.poller.changed.subscribe(self.show)

    def show(self) -> None:
        """Show what the poller has seen; only what has changed travels to the browser."""
        assert self.poller is not None
        drawn = TrailDrawing(self.poller.now)
        self.spoken.text = drawn.spoken
        self.news.content = drawn.news
        self.figures.content = drawn.figures
        self.problems.content = drawn.problems
        self.strip.content = drawn.strip
        self.days.content = drawn.days
