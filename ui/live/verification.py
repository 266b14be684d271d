"""Verification runs: start one, know how it goes, and list the reports that runs have left.

A run is `valerix chaos run …` in a process of its own, with a whole system of its own beside
this one: it attacks that, not the shop that people are using.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN_REPORTS = 12
# When we are stopped ourselves: less than our own supervisor gives us.
SHUTDOWN_GRACE_S = 8.0
# Of a line of progress, what is shown besides the stage.
_COUNTS = ("sent", "settled", "slow", "unknown", "faults", "violations")
_VERDICTS = {0: "passed", 1: "did not pass", 130: "was stopped"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
FILES = frozenset({"report.html", "report.json", "junit.xml"})
# What a program needs of its surroundings; none of our settings, which are not the run's.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "POSTGRES_BIN")


@dataclass(frozen=True, slots=True)
class Report:
    """What the list says of a run; `passed` is its verdict."""

    name: str
    scenario: str
    passed: bool
    orders: int
    seconds: float
    started_at: str
    broken: tuple[str, ...]


class Verification:
    """At most one run at a time, for all pages together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenarios: dict[str, str] = {}
        self.running: str | None = None
        self.began = 0.0
        self.progress = ""
        self.last: str | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def look_up(self) -> None:
        """Find out which scenarios there are, and what each is about; none if there is no chaos.

        Starting a Python takes its time: pages show what is known and do not wait for this.
        """
        if not self.scenarios:
            process = await self._chaos("list")
            said, _ = await process.communicate()
            for line in said.decode(errors="replace").splitlines():
                name, _, about = line.partition(" ")
                if process.returncode == 0 and _NAME.fullmatch(name):
                    self.scenarios[name] = about.strip()

    async def run(self, scenario: str) -> None:
        """Carry out a run to its end, unless one is under way."""
        if self.running is not None or scenario not in self.scenarios:
            return
        self.running, self.began, self.progress = scenario, time.time(), "starting"
        seed = int(self.began) % 100_000
        name = f"{scenario}-{seed}"
        options = ["--seed", str(seed), "--out", str(self.folder / name), "--json-lines"]
        try:
            self._process = await self._chaos("run", scenario, *options)
            assert self._process.stdout is not None
            async for line in self._process.stdout:
                with contextlib.suppress(ValueError):  # somebody else has printed something
                    self.progress = _in_words(json.loads(line))
            code = await self._process.wait()
            self.last = f"{scenario} {_VERDICTS.get(code, f'ended with exit code {code}')}"
        finally:
            # However this ends: a run without anybody who knows of it could not be stopped.
            await self.stop(SHUTDOWN_GRACE_S)
            self.running, self._process = None, None

    async def stop(self, within_s: float | None = None) -> None:
        """End a run that is under way; what it has started ends with it.

        One that has not ended `within_s` is killed; None leaves it the time that it needs.
        """
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def reports(self) -> list[Report]:
        """Return the newest reports, newest first; what is not a whole report is left out."""
        found = []
        for file in self.folder.glob("*/report.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.append(_read(file))
        return sorted(found, key=lambda each: each.started_at, reverse=True)[:SHOWN_REPORTS]

    def file(self, name: str, file: str) -> Path | None:
        """Return a file of a report, None if there is none of that name."""
        if file not in FILES or not _NAME.fullmatch(name):
            return None
        path = self.folder / name / file
        return path if path.is_file() else None

    @staticmethod
    async def _chaos(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )


def _in_words(progress: dict[str, Any]) -> str:
    return " ".join([progress["stage"], *(f"{name} {progress[name]}" for name in _COUNTS)])


def _read(file: Path) -> Report:
    data: dict[str, Any] = json.loads(file.read_text())
    return Report(
        name=file.parent.name,
        scenario=str(data["scenario"]),
        passed=bool(data["passed"]),
        orders=int(data["orders"]),
        seconds=float(data["seconds"]),
        started_at=str(data["started_at"]),
        broken=tuple(str(check["name"]) for check in data["checks"] if not check["holds"]),
    )
