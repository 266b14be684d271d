"""Fault panel: faults on and off, whom they will hit, load, and killing a service."""

from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from chaos.injection.admin_client import Hit
from order_api.contracts import order_id_for
from ui import labels
from ui.clients.fault_admin import Faults, Preset
from ui.clients.http import NoAnswer, Refusal
from ui.components.layout import PageContext, block, button, html, text
from ui.components.operations_view import SERVICE_NAMES
from ui.shop.cart import Cart, key_of

SHARES = {0.2: "a fifth of orders", 0.5: "half of orders", 1.0: "every order"}
AHEAD = 20
# Services that have no fault controls.
NOT_KILLED = {"subscribers", "backup"}


class FaultPanel:
    """One page's fault controls."""

    def __init__(self, context: PageContext) -> None:
        assert context.staff is not None
        self.context = context
        self.staff = context.staff
        self.backend = context.backend
        self.presets: list[Preset] = []
        self.shares: dict[str, float] = {}
        self.switches: dict[str, ui.switch] = {}
        self.shown: Faults | None = None

    async def build(self) -> None:
        """Build the panel."""
        self.presets = await self.backend.faults.presets()
        with block("card", "section").props('aria-label="Break it on purpose"'):
            with block("stack").style("gap: 4px"):
                text("Break it on purpose", "h2")
                text(
                    "Every fault strikes orders that can be named beforehand, and every order "
                    "still ends exactly once. Switch something on, start some orders, and watch "
                    "the tiles above.",
                    "p",
                    "soft",
                )
            with block("grid wide"):
                with block("stack"):
                    self._load()
                    self._kill()
                    text("Whom it will hit", "h3")
                    self.prediction = html("", "div", "stack")
                    text("What has struck", "h3")
                    self.fired = html("", "div")
                with block("stack"):
                    text("Faults", "h3")
                    for preset in self.presets:
                        self._fault(preset)
        await self.show()
        self.backend.operations.changed.subscribe(self.show)

    def _fault(self, preset: Preset) -> None:
        offer = preset.offer
        self.shares[preset.name] = offer.rule.share
        with block("fault"):
            with block("stack").style("gap: 0"):
                text(offer.title, "strong")
                text(offer.description, "p", "small soft")
            ui.select(
                SHARES, value=self.shares[preset.name], on_change=partial(self._share, preset)
            ).props(f'outlined dense options-dense aria-label="{offer.title}: whom"').mark(
                f"share-{preset.name}"
            )
            switch = ui.switch(value=False, on_change=partial(self._switch, preset))
            switch.props(f'aria-label="{offer.title}" color=negative').mark(f"fault-{preset.name}")
            self.switches[preset.name] = switch

    async def _share(self, preset: Preset, event: Any) -> None:
        self.shares[preset.name] = event.value
        if self._in_force(preset):
            await self._ask(self.backend.faults.switch_on(self.staff, preset, event.value))

    async def _switch(self, preset: Preset, event: Any) -> None:
        if event.value == self._in_force(preset):
            return  # the poller has set the switch, nobody clicked
        faults = self.backend.faults
        if event.value:
            await self._ask(faults.switch_on(self.staff, preset, self.shares[preset.name]))
        else:
            await self._ask(faults.switch_off(self.staff, preset))

    async def _ask(self, call: Any) -> None:
        try:
            await call
        except (NoAnswer, Refusal) as trouble:
            ui.notify(f"That did not work: {trouble}", type="negative")
        await self.backend.operations.poll(everything=True)
        self.backend.operations.changed.emit()

    def _in_force(self, preset: Preset) -> bool:
        rules = self.backend.operations.now.faults.rules
        return any(rule.name == preset.name for rule in rules)

    def _load(self) -> None:
        text("Orders to watch", "h3")
        with block("line"):
            rate = ui.select({2: "2 a second", 5: "5 a second", 20: "20 a second"}, value=5)
            rate.props('outlined dense options-dense aria-label="Orders a second"')
            span = ui.select({15: "for 15 s", 30: "for 30 s", 60: "for 60 s"}, value=30)
            span.props('outlined dense options-dense aria-label="For how long"')
            burst = self.backend.burst
            self.start = button(
                "Start orders", lambda: burst.start(rate.value, span.value), icon="play_arrow"
            ).mark("start-load")
            self.stop = button("Stop", burst.stop, icon="stop", plain=True)
        self.burst_line = text("", "p", "small soft number")

    def _kill(self) -> None:
        text("Kill a process", "h3")
        with block("line"):
            names = [name for name in self.backend.services if name not in NOT_KILLED]
            for name in names:
                button(
                    SERVICE_NAMES[name],
                    partial(self._kill_one, name),
                    icon="power_settings_new",
                    danger=True,
                ).props(f'aria-label="Kill the process of: {SERVICE_NAMES[name]}"')
        text("It is gone at once (SIGKILL); the local stack starts another.", "p", "small soft")

    async def _kill_one(self, name: str) -> None:
        try:
            await self.backend.faults.kill(self.staff, self.backend.services[name])
        except (NoAnswer, Refusal) as trouble:
            ui.notify(f"That did not work: {trouble}", type="negative")
        else:
            ui.notify(f"{SERVICE_NAMES[name]}: killed. Watch its tile.", type="warning")

    async def show(self) -> None:
        """Show rules, prediction and evidence as last seen."""
        burst = self.backend.burst
        self.start.set_enabled(not burst.running)
        self.stop.set_visibility(burst.running)
        answers = ", ".join(f"{n:,} {what}" for what, n in sorted(burst.answers.items()))
        left = f"{burst.left:,} to come. " if burst.running else ""
        self.burst_line.set_text(f"{left}Answers: {answers}" if answers else left or "None yet.")
        faults = self.backend.operations.now.faults
        for preset in self.presets:
            self.switches[preset.name].set_value(self._in_force(preset))
        if self.shown is None or self.shown.fired != faults.fired:
            self.fired.content = fired(faults)
        self.shown = faults
        self.prediction.content = await self._predicted(faults)

    async def _predicted(self, faults: Faults) -> str:
        if not faults.rules:
            return "<p class=soft>No fault is switched on.</p>"
        number = Cart(self.context.browser).number
        own = {
            str(order_id_for(self.context.shopper.subject, key_of(n))): n - number + 1
            for n in range(number, number + AHEAD)
        }
        coming = self.backend.burst.coming(AHEAD)
        crowd = {str(order_id_for(who.subject, key)): n for n, (who, key) in enumerate(coming, 1)}
        try:
            hits = await self.backend.faults.predict([*own, *crowd])
        except (NoAnswer, Refusal):
            return "<p class=soft>The services do not tell right now.</p>"
        return told("your own next orders", own, hits) + told(
            "the next orders started here", crowd, hits
        )


def told(whose: str, orders: dict[str, int], hits: list[Hit]) -> str:
    """Return in words which of the coming orders will be hit."""
    struck = sorted({orders[hit.order_id] for hit in hits if hit.order_id in orders})
    if not struck:
        return f"<p>Of {whose}: none of {len(orders)}.</p>"
    numbers = " ".join(f'<span class="badge bad">no. {number}</span>' for number in struck)
    return f"<p>Of {whose} ({len(struck)} of {len(orders)}):</p><div class=line>{numbers}</div>"


def fired(faults: Faults) -> str:
    """Return the newest faults that have struck."""
    if not faults.recent:
        return "<p class=soft>Nothing yet.</p>"
    rows = "".join(
        f"<tr><td class=number>{each.at[11:19]}<td>{escape(each.rule)}"
        f'<td><a class=mono href="/orders/{each.order_id}">{labels.short(each.order_id)}</a>'
        f"<td>{escape(each.operation)}, attempt {each.attempt}</tr>"
        for each in faults.recent
    )
    return (
        f'<div class=tablebox><table class="list" aria-label="Faults that have struck"><thead><tr>'
        f"<th scope=col>At (UTC)<th scope=col>Fault<th scope=col>Order<th scope=col>Step</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
