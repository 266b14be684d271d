"""The verification reports that are there, newest first."""

from ui.frame import Visit


class ReportsPanel:
    """Shows what `python -m chaos run` has left in the reports folder."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit

    def build(self) -> None:
        """Build the panel."""
