"""The decorator of every page."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

# NiceGUI's own three seconds end in an error page: while two hundred pages are opened at once on a
# busy machine, some take longer, and late is better than never.
BUILT_WITHIN_S = 30.0


def page(path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator of the function that builds the page of `path`."""
    return ui.page(path, response_timeout=BUILT_WITHIN_S)
