"""Order page: how it stands and what has happened to it, live from its event log."""

from html import escape
from typing import Any
from uuid import UUID

from nicegui import ui

from activities.contracts import TERMINAL
from order_api.contracts import Order, TimelineEvent
from ui import labels
from ui.backend import Backend
from ui.clients.http import NoAnswer, Refusal
from ui.components.layout import PageContext, block, button, dialog, empty, html, page_layout, text
from ui.live.event_streams import LiveOrder
from ui.pages.page import page

_DONE = {"received": 1, "reserved": 2, "shipped": 3}
NOT_HERE = ("search_off", "We do not know this order", "Check the address, or see My orders.")
NO_ANSWER = ("cloud_off", "We cannot look it up right now", "Your order is safe. Look again soon.")


def register(backend: Backend) -> None:
    """Add the page."""

    @page("/orders/{order_id}")
    async def order_page(order_id: str) -> None:
        with page_layout(backend, "Order", "/orders") as context:
            try:
                found = await backend.orders.order(context.staff or context.shopper, UUID(order_id))
                products = await backend.orders.products_of([line.sku for line in found.lines])
            except (ValueError, Refusal):
                ui.status_code(404)
                with empty(*NOT_HERE):
                    html("My orders", "a").props("href=/orders")
                return
            except NoAnswer:
                with empty(*NO_ANSWER):
                    button("Look again", ui.navigate.reload, icon="refresh", primary=True)
                return
            OrderView(context, backend.event_streams.watch(found), products).build()


class OrderView:
    """One page's view of a live order."""

    def __init__(self, context: PageContext, live: LiveOrder, products: dict[str, Any]) -> None:
        self.context = context
        self.live = live
        self.products = products

    def build(self) -> None:
        """Build the page and keep it up to date."""
        order = self.live.order
        with block("heading"):
            with block("stack").style("gap: 4px"):
                text(f"Order {labels.short(order.order_id)}", "h1")
                text(f"Placed on {labels.when(order.created_at)} UTC", "p", "soft")
            self.badge = html("", "div")
        with block("two"):
            with block("stack").style("gap: 24px"):
                with block("card", "section").props("aria-label=Status"):
                    self.message = html("").props("role=status")
                    self.steps = html("", "div")
                with block("card", "section").props('aria-label="What has happened"'):
                    with block("line spread"):
                        text("What has happened", "h2")
                        self.connection = html("", "span")
                    self.timeline = html("", "ol", "timeline")
            with block("stack").style("gap: 24px"):
                self._contents(order)
                self._actions(order)
        self.show()
        self.live.changed.subscribe(self.show)

    def _contents(self, order: Order) -> None:
        with block("card", "section").props('aria-label="What you ordered"'):
            text("What you ordered", "h2")
            for line in order.lines:
                product = self.products.get(line.sku)
                with block("cart-line"):
                    html(f'<img src="{product.image_url if product else ""}" alt="">')
                    with block("stack").style("gap: 0"):
                        text(product.name if product else line.sku, "strong")
                        each = labels.money(line.unit_price_minor, order.currency)
                        text(f"{line.quantity} × {each}", "span", "small soft number")
                    price = labels.money(line.unit_price_minor * line.quantity, order.currency)
                    text(price, "span", "number")
            with block("total"):
                text("Total", "span")
                text(labels.money(order.total_minor, order.currency), "span", "number")

    def _actions(self, order: Order) -> None:
        with block("stack"):
            self.cancel_button = button(
                "Cancel this order", self._ask, icon="close", danger=True
            ).mark("cancel")
            self.cancel_note = html("", "div").props("role=status")
            with block("line"):
                html(f"{labels.icon('storefront')}Back to the shop", "a", "link").props("href=/")
            if self.context.backend.is_local or self.context.staff:
                base = self.context.backend.settings.temporal_ui_url.rstrip("/")
                address = f"{base}/namespaces/default/workflows/{order.workflow_id}"
                html(
                    f"{labels.icon('account_tree')}For engineers: this run in Temporal",
                    "a",
                    "small link",
                ).props(f"href={address} target=_blank rel=noopener")
                html(f"<span class=soft>Order number</span><br>{order.order_id}", "p", "small mono")
        with dialog("Cancel this order?") as self.dialog, ui.card():
            text("Cancel this order?", "h2")
            text("If it has not left the warehouse yet, nothing will be sent.")
            with block("line"):
                button("Yes, cancel it", self._cancel, danger=True)
                button("Keep it", self.dialog.close, primary=True)

    def _ask(self) -> None:
        self.dialog.open()

    async def _cancel(self) -> None:
        self.dialog.close()
        self.cancel_button.set_enabled(False)
        who = self.context.staff or self.context.shopper
        try:
            order = await self.context.backend.orders.cancel(who, self.live.order.order_id)
        except Refusal as refusal:
            self.cancel_note.content = f"<p>{escape(refusal.title)}. {escape(refusal.detail)}</p>"
            self.cancel_button.set_enabled(self.live.order.status not in TERMINAL)
        except NoAnswer:
            self.cancel_note.content = "<p>We could not ask just now. Try again in a moment.</p>"
            self.cancel_button.set_enabled(True)
        else:
            self.cancel_note.content = f"<p>{escape(order.message)}</p>"

    def show(self) -> None:
        """Show the order as it stands."""
        order = self.live.order
        label = labels.order_status(order.status, order.reason)
        self.badge.content = labels.badge(label)
        self.message.content = (
            f'<div class="note {label.tone}">{labels.icon(label.icon)}'
            f"<strong>{escape(order.message)}</strong></div>"
        )
        self.steps.content = steps(order.status)
        self.timeline.content = "".join(entry(event) for event in self.live.events)
        self.connection.content = connection(ended=self.live.ended, connected=self.live.connected)
        self.cancel_button.set_visibility(order.status not in TERMINAL)


def connection(*, ended: bool, connected: bool) -> str:
    """Return whether more is to come."""
    if ended:
        return '<span class="badge">Complete</span>'
    if connected:
        return labels.badge(labels.Label("Live", "sensors", "good"))
    return labels.badge(labels.Label("Reconnecting", "sync_problem", "warn"))


def steps(status: str) -> str:
    """Return the three steps of an order with how far it has come.

    Of a status that a later release has added, only what is certain: the order was received.
    """
    stopped = status in TERMINAL and status != "shipped"
    done = 0 if stopped else _DONE.get(status, 1)
    known = stopped or status in _DONE
    names = ("Received", "Set aside for you", "On its way")
    items = []
    for number, name in enumerate(names, 1):
        if done:
            css = "done" if number <= done else "now" if number == done + 1 and known else ""
            spoken = {"done": "done", "now": "next", "": "later"}[css]
        else:
            css, spoken = ("done", "done") if number == 1 else ("stop", "will not happen")
        items.append(f'<li class="{css}">{name}<span class="spoken"> ({spoken})</span></li>')
    return f'<ol class="steps">{"".join(items)}</ol>'


def entry(event: TimelineEvent) -> str:
    """Return one line of the timeline."""
    label = labels.event(event.type)
    message = escape(str(event.detail.get("message", "")))
    more = ""
    if attempts := event.detail.get("attempts"):
        words = escape(f"attempt {attempts}")
        more = f' <span class="badge warn">{labels.icon("replay")}{words}</span>'
    if step := event.detail.get("step"):
        more += f' <span class="badge">step: {escape(str(step))}</span>'
    at = f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03d}"
    return (
        f'<li><span class="dot {label.tone}">{labels.icon(label.icon)}</span>'
        f"<div><strong>{escape(label.words)}</strong>{more}<p class=soft>{message}</p></div>"
        f'<span class="time small soft number">{at}</span></li>'
    )
