"""The section "Backups" in a real browser: readable by all, also on a phone and in an outage."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from deploy.local.services import UI
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.e2e.pages.test_accessibility import findings
from tests.support.backup_process import BackupProcess, serve_backup_process
from tests.support.browser_users import People, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def served() -> Iterator[BackupProcess]:
    with serve_backup_process() as found:
        yield found


@pytest.fixture
def process(served: BackupProcess) -> BackupProcess:
    """A backup process that answers, until a test has it stop."""
    served.status = 200
    return served


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def people(
    served: BackupProcess, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[People]:
    """The pages alone, in front of a backup process and nobody else."""
    settings = StackSettings(
        home=tmp_path_factory.mktemp("backups") / "home",
        ports=Ports.free(),
        only=frozenset({UI}),
        fault_injection=False,
    )
    async with Stack(settings.with_env(UI, BACKUP_URL=served.url)) as stack:
        yield People(browser, stack.url(UI))


async def opens_operations(alice: Person) -> Page:
    await alice.go("/orders")
    await alice.become_staff()
    await expect(alice.page.get_by_role("region", name="Backups", exact=True)).to_be_visible()
    return alice.page


async def fits(page: Page) -> bool:
    """Tell whether nothing makes the page wider than the screen."""
    widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return bool(widths[0] <= widths[1])


@pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param((1280, 900), False, id="desktop light"),
        pytest.param((390, 844), True, id="phone dark", marks=pytest.mark.full),
    ],
)
async def test_everybody_can_read_what_is_kept_and_that_nobody_answers(
    people: People, process: BackupProcess, size: tuple[int, int], *, dark: bool
) -> None:
    async with people.visitor(*size, dark=dark) as alice:
        page = await opens_operations(alice)
        section = page.get_by_role("region", name="Backups", exact=True)
        await expect(section).to_contain_text("3.8 h old")
        table = section.get_by_role("table", name="Backups of each day")
        await expect(table.get_by_role("row")).to_have_count(31)
        await expect(table.get_by_role("rowheader").first).to_have_text("2026-11-26")
        assert not await findings(page)
        assert await fits(page)
        process.status = 503
        await expect(section).to_contain_text("cannot be asked")
        await expect(section).to_contain_text("As last told")
        assert not await findings(page)
        assert await fits(page)


async def test_the_days_can_be_read_with_the_keyboard_alone(
    people: People, process: BackupProcess
) -> None:
    async with people.visitor() as alice:
        page = await opens_operations(alice)
        days = page.get_by_role("region", name="Backups of each day")
        await days.focus()
        await page.keyboard.press("End")
        await expect(days.get_by_role("rowheader").last).to_be_in_viewport()
