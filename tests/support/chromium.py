"""Find a Chromium, or get one, or say why there is none."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 240


class NoChromium(Exception):
    """None here and none to be had; the message says what was tried."""


def find() -> str:
    """Return the path of a browser: of this system, Playwright's, or Debian's package."""
    tried = []
    if chosen := os.environ.get("CHROMIUM"):
        return chosen
    for name in NAMES:
        if found := shutil.which(name):
            return found
    tried.append(f"on PATH ({', '.join(NAMES)})")
    if found := _of_playwright():
        return found
    if _runs([sys.executable, "-m", "playwright", "install", "chromium"]) and (
        found := _of_playwright()
    ):
        return found
    tried.append("Playwright's download")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _runs(["apt-get", "update", "-qq"])
        if _runs(["apt-get", "install", "-y", "-qq", "chromium"]) and (
            found := shutil.which("chromium")
        ):
            return found
        tried.append("Debian's package")
    raise NoChromium(
        f"No Chromium. Tried: {'; '.join(tried)}. Install one, or set CHROMIUM to its path; "
        "without it the tests in a real browser do not run."
    )


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Run a browser without a window; NoChromium where there is none to be had."""
    executable = find()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        await browser.close()


def _of_playwright() -> str | None:
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright")
    for pattern in ("chromium-*/chrome-linux*/chrome", "chromium_headless*/*/headless_shell"):
        for found in sorted(folder.expanduser().glob(pattern)):
            return str(found)
    return None


def _runs(command: list[str]) -> bool:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
        return done.returncode == 0
    return False
