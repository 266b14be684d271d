"""The section "Backups" of the operations page, in front of a backup process that may misbehave."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from nicegui import ui as nicegui

from service_kit.http.tokens import TokenVerifier
from tests.support.backup_process import BackupProcess, serve_backup_process
from tests.support.serving import TOKEN_KEY, Served
from tests.support.trail_answers import trail
from tests.support.ui_client import UiClient, ui_client, ui_settings
from ui.live import trail_poller

AS_STAFF = "You are a shopper. Act as staff, on this local stack"
NOBODY = Served(FastAPI(), 9)


@pytest.fixture
def process() -> Iterator[BackupProcess]:
    with serve_backup_process(TokenVerifier(TOKEN_KEY)) as served:
        yield served


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_poller, "POLL_INTERVAL_S", 0.2)


async def opens_operations(visitor: UiClient) -> None:
    await visitor.open("/ops")
    visitor.presses(AS_STAFF)
    await visitor.sees("Average response time", "Backups")


async def test_staff_see_how_far_what_is_kept_reaches_and_where_it_is(
    process: BackupProcess, tmp_path: Path
) -> None:
    settings = ui_settings(NOBODY, NOBODY, tmp_path, backup_url=process.url)
    async with ui_client(settings) as visitor:
        await opens_operations(visitor)
        await visitor.sees("Newest proven restore point", "3.8 h old", "Keeps up", "12 days ago")
        await visitor.sees("Copies of the last 30 days", "2026-11-26", "2026-10-28")
        await visitor.should_see(marker="backup-state", content="Backups: all is well.")


async def test_in_an_outage_the_last_known_stays_and_the_rest_of_the_page_goes_on(
    process: BackupProcess, tmp_path: Path
) -> None:
    settings = ui_settings(NOBODY, NOBODY, tmp_path, backup_url=process.url)
    async with ui_client(settings) as visitor:
        await opens_operations(visitor)
        await visitor.sees("3.8 h old")
        process.status = 503
        await visitor.sees("The backup process cannot be asked: it answers with status 503")
        await visitor.sees("Below is what it said", "3.8 h old", "As last told", "2026-11-26")
        process.status = 200
        process.answer = trail(newest_proven=None)
        await visitor.sees("No capsule was restored yet")
        await visitor.sees_no("cannot be asked")


async def test_a_process_that_never_answers_holds_nothing_up(
    process: BackupProcess, tmp_path: Path
) -> None:
    process.lets_go.clear()
    settings = ui_settings(NOBODY, NOBODY, tmp_path, backup_url=process.url)
    async with ui_client(settings) as visitor:
        await opens_operations(visitor)
        seen = {html.content for html in visitor.find(nicegui.html).elements}
        assert any("Asking the backup process" in content for content in seen)
        await visitor.sees("Last updated", "cannot be asked: no usable answer (TimeoutError)")
        await visitor.sees("What is kept, and since when, is not known.")
        process.lets_go.set()
        await visitor.sees("3.8 h old")


async def test_where_backups_are_off_a_line_says_so(tmp_path: Path) -> None:
    async with ui_client(ui_settings(NOBODY, NOBODY, tmp_path, backup_url="")) as visitor:
        await opens_operations(visitor)
        await visitor.sees("Backups are off here")
        await visitor.should_not_see("Newest proven restore point")
        await visitor.should_not_see("Copies of the last 30 days")
