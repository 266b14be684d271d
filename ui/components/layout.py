"""Layout of every page (header, navigation, who is here, light or dark) and shared pieces."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import app, ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from ui import labels
from ui.backend import Backend
from ui.browser_storage import refreshed
from ui.identity import Browser, Identity, become_staff, shopper, staff, stop_being_staff

LOCAL_STAFF_S = 30 * 24 * 3600.0
_THEMES: dict[str, tuple[bool | None, str, str]] = {
    "auto": (None, "brightness_auto", "Colours follow your system. Switch to light"),
    "light": (False, "light_mode", "Colours are light. Switch to dark"),
    "dark": (True, "dark_mode", "Colours are dark. Switch to those of your system"),
}
_NEXT_THEME = {"auto": "light", "light": "dark", "dark": "auto"}


class PageContext:
    """One page being shown: who is there, and what the server keeps for this browser."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.browser: Browser = refreshed(app.storage.user)
        self.shopper: Identity = shopper(self.browser, str(app.storage.browser["id"]))
        self.staff: Identity | None = staff(self.browser)


@contextmanager
def page_layout(backend: Backend, title: str, here: str) -> Iterator[PageContext]:
    """Build a page titled `title`; `here` is the address that the navigation marks."""
    context = PageContext(backend)
    ui.page_title(f"{title} · Valerix")
    theme = str(context.browser.get("theme", "auto"))
    mode = ui.dark_mode(_THEMES.get(theme, _THEMES["auto"])[0])
    with ui.header(elevated=False).classes("top"), ui.element("div").classes("bar"):
        html('<img src="/assets/logo.svg" alt="">Valerix', "a", "logo").props(
            'href=/ aria-label="Valerix, to the shop"'
        )
        with ui.element("nav").classes("nav").props('aria-label="Main"'):
            _links(context, here)
        ui.element("div").classes("grow")
        _who(context)
        _theme_button(context, theme, mode)
    with ui.element("div").classes("page") as content:
        yield context
    ui.skip_link("Skip to the content", target=content)


def _links(context: PageContext, here: str) -> None:
    places = [("/", "storefront", "Shop"), ("/orders", "receipt_long", "My orders")]
    if context.staff is not None:
        places += [
            ("/warehouse", "warehouse", "Warehouse"),
            ("/ops", "speed", "Operations"),
        ]
    for address, picture, words in places:
        is_here = address == here
        link = html(f"{labels.icon(picture)}<span>{words}</span>", "a")
        link.props(f"href={address}" + (" aria-current=page" if is_here else ""))
        if is_here:
            link.classes("here")


def _who(context: PageContext) -> None:
    def become() -> None:
        become_staff(context.browser, "", time.time() + LOCAL_STAFF_S)
        ui.navigate.to("/ops")

    def leave() -> None:
        stop_being_staff(context.browser)
        ui.navigate.to("/")

    if context.staff is not None:
        button("Staff", leave, icon="badge", tight=True).props(
            'aria-label="You act as staff. Go back to being a shopper"'
        )
    elif context.backend.is_local:
        button("Shopper", become, icon="person", tight=True).props(
            'aria-label="You are a shopper. Act as staff, on this local stack"'
        )


def _theme_button(context: PageContext, theme: str, mode: ui.dark_mode) -> None:
    def switch() -> None:
        following = _NEXT_THEME.get(str(context.browser.get("theme", "auto")), "auto")
        context.browser["theme"] = following
        value, picture, words = _THEMES[following]
        mode.value = value
        changer.props(f'icon={picture} aria-label="{words}"')

    _, picture, words = _THEMES.get(theme, _THEMES["auto"])
    changer = button("", switch, icon=picture, plain=True, tight=True)
    changer.props(f'aria-label="{words}"')


# --- pieces ----------------------------------------------------------------------------------


def text(words: str, tag: str = "p", classes: str = "") -> TextElement:
    """Add text in an element of the given tag."""
    return TextElement(tag=tag, text=words).classes(classes)


def html(markup: str, tag: str = "div", classes: str = "") -> ui.html:
    """Add markup of our own making; what comes from elsewhere in it has to be escaped already."""
    return ui.html(markup, sanitize=False, tag=tag).classes(classes)


def block(classes: str, tag: str = "div") -> Element:
    """Add an element to put others into."""
    return ui.element(tag).classes(classes)


def button(
    words: str,
    on_click: Callable[..., Any] | None = None,
    *,
    icon: str | None = None,
    primary: bool = False,
    danger: bool = False,
    plain: bool = False,
    tight: bool = False,
) -> ui.button:
    """Add a button in one of the few ways that buttons look here."""
    looks = {"primary": primary, "danger": danger, "plain": plain, "tight": tight}
    classes = " ".join(["btn", *(name for name, on in looks.items() if on)])
    return (
        ui.button(words, on_click=on_click, icon=icon, color=None)
        .props("flat no-caps")
        .classes(classes)
    )


def dialog(name: str) -> ui.dialog:
    """Add a dialog that screen readers announce as `name`; it is there at once, without motion."""
    return ui.dialog().props(f'aria-label="{name}" transition-duration=0')


def note(tone: str, picture: str, title: str, message: str = "") -> Element:
    """Add a message that screen readers say at once; `tone` is good, bad, warn, busy or idle."""
    with block(f"note {tone}").props("role=status") as box:
        html(labels.icon(picture), "span", "icon-only")
        with block("stack").style("gap: 4px"):
            text(title, "strong")
            if message:
                text(message)
    return box


def empty(picture: str, title: str, message: str) -> Element:
    """Add what stands where there is nothing to show."""
    with block("empty") as box:
        html(labels.icon(picture), "span")
        text(title, "h2")
        text(message)
    return box


def require_staff(context: PageContext) -> bool:
    """Tell whether this is staff; if not, say what to do instead of the page's contents."""
    if context.staff is not None:
        return True
    with empty("badge", "This page is for staff", "Shoppers find their orders under My orders."):
        if context.backend.is_local:
            text(
                "On this local stack you can act as staff: use the button at the top.", "p", "soft"
            )
        else:
            html("Sign in as staff", "a").props("href=/sign-in")
    return False
