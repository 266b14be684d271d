"""A run of the proof, started and stopped by somebody at the operations page."""

import re

import psutil
import pytest
from playwright.async_api import Page, expect

from tests.support.browser_users import People, Person

# Guards against a hang and nothing else: on a busy machine a run takes some minutes.
STARTED_MS = 180_000
ENDED_MS = 480_000
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]


def runs() -> list[psutil.Process]:
    """The processes of runs that a page has started here."""
    return [each for each in psutil.Process().children(recursive=True) if _is_run(each)]


def _is_run(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "chaos" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


async def start(otto: Person, scenario: str) -> Page:
    """Have somebody of the staff start a run, and see it send orders."""
    await otto.go("/")
    await otto.become_staff()
    page = otto.page
    await page.get_by_role("combobox", name="Scenario").click()
    await page.get_by_role("option", name=re.compile(rf"^{scenario}:")).click()
    await page.get_by_role("button", name="Start the run").click()
    status = page.get_by_text(re.compile(f"{scenario} runs for"))
    await expect(status).to_contain_text(re.compile(r"sent [1-9]"), timeout=STARTED_MS)
    return page


async def test_a_run_shows_its_progress_its_verdict_and_its_report(people: People) -> None:
    async with people.visitor() as otto:
        page = await start(otto, "calm")
        await expect(page.get_by_role("button", name="Start the run")).to_be_disabled()
        verdict = page.get_by_text("Last run: calm passed.")
        await expect(verdict).to_be_visible(timeout=ENDED_MS)
        row = page.get_by_role("table", name="Reports").get_by_role("row", name="calm")
        await expect(row).to_contain_text("Passed")
        await row.get_by_role("link").click()
        await expect(page.get_by_text("Every promise was kept.")).to_be_visible()


@pytest.mark.full
async def test_a_run_can_be_stopped_and_leaves_nothing_behind(people: People) -> None:
    async with people.visitor() as otto:
        page = await start(otto, "schrodinger")
        assert runs()
        await page.get_by_role("button", name="Stop the run").click()
        await expect(page.get_by_text("Last run: schrodinger was stopped.")).to_be_visible(
            timeout=STARTED_MS
        )
        assert not runs()
        await expect(page.get_by_role("button", name="Stop the run")).to_be_hidden()
