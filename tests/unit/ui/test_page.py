"""How long a page may take to be built."""

from pathlib import Path

from nicegui import ui

from ui.pages import page


def test_a_page_that_is_late_is_no_error() -> None:
    """Each gets longer than the three seconds after which NiceGUI shows an error instead."""
    found = page.page("/late")
    assert isinstance(found, ui.page)
    assert found.response_timeout == page.BUILT_WITHIN_S
    package = Path(page.__file__).parents[1]
    others = [path.name for path in package.rglob("*.py") if "ui.page(" in path.read_text()]
    assert others == ["page.py"]
