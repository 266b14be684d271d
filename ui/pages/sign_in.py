"""Sign-in page for staff with a token, where the local stack's switch does not exist."""

import time

from nicegui import ui

from service_kit.http.problems import Problem
from ui.backend import Backend
from ui.components.layout import block, button, html, page_layout, text
from ui.identity import become_staff, stop_being_staff
from ui.pages.page import page

LONGEST_S = 8 * 3600.0


def register(backend: Backend) -> None:
    """Add the page."""

    @page("/sign-in")
    def sign_in() -> None:
        with (
            page_layout(backend, "Sign in", "/sign-in") as context,
            block("card").style("max-width: 480px"),
        ):
            text("Staff sign-in", "h1")
            text(
                "Paste an access token for the role staff. It is checked and not kept.", "p", "soft"
            )
            token = ui.input("Access token").props(
                "outlined type=password autocomplete=off maxlength=4096"
            )
            said = html("", "p").props("role=status")

            def check() -> None:
                given, token.value = token.value.strip(), ""
                try:
                    caller, expires = backend.verifier.verify(given)
                except Problem as problem:
                    said.content = problem.detail
                    return
                if caller.role != "staff":
                    said.content = "The token is good, but not for staff."
                    return
                become_staff(context.browser, caller.subject, min(expires, time.time() + LONGEST_S))
                ui.navigate.to("/ops")

            def leave() -> None:
                stop_being_staff(context.browser)
                ui.navigate.reload()

            button("Sign in", check, icon="login", primary=True)
            if context.staff is not None:
                button("Sign out", leave, icon="logout")
