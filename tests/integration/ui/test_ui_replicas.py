"""Two replicas of the UI on one storage folder take a browser for one customer."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from tests.support.serving import TOKEN_KEY

STARTS_WITHIN_S = 60.0


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[str]]:
    ports = [free_port(), free_port()]
    common = {**os.environ, "TOKEN_KEY": TOKEN_KEY, "UI_STORAGE": str(tmp_path / "ui")}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "ui"],
            env={**common, "UI_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in ports
    ]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    try:
        for url in urls:
            until_it_lives(url)
        yield urls
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(STARTS_WITHIN_S)


def until_it_lives(url: str) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            httpx.get(f"{url}/livez", timeout=5)
            return
        except httpx.HTTPError:
            assert time.monotonic() < end, "it did not start"
            time.sleep(0.1)  # nobody announces it


def test_a_new_browser_that_meets_both_is_one_customer(replicas: list[str], tmp_path: Path) -> None:
    with httpx.Client(timeout=30) as browser:
        for url in replicas:  # as pictures of the first page may come from either
            assert browser.get(f"{url}/assets/logo.svg").status_code == 200
        customers = []
        for url in [*replicas, *replicas]:
            assert browser.get(f"{url}/").status_code == 200
            [kept] = (tmp_path / "ui").glob("storage-user-*.json")
            customers.append(json.loads(kept.read_text())["customer"])
    assert len(set(customers)) == 1
