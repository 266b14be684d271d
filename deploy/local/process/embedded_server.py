"""A server of the local stack that can also run by itself, as integration tests have it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from deploy.local.process.child import ChildSpec
from deploy.local.process.supervisor import SupervisedProcess


class EmbeddedServer(ABC):
    """Runs in its with block; whoever supervises it otherwise takes the steps one by one.

    What it keeps is in `folder`.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self._logs = logs
        self._process: SupervisedProcess | None = None

    async def __aenter__(self) -> Self:
        await self.prepare()
        self._process = SupervisedProcess(self.spec(), self._logs)
        try:
            await self._process.start()
            await self._process.wait_ready()
            await self.set_up()
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self._process.stop()

    @property
    def process(self) -> SupervisedProcess:
        """The server, to be killed or stopped by a test."""
        assert self._process is not None, "only while it runs as a context manager"
        return self._process

    async def prepare(self) -> None:
        """Make everything that must be there before the server starts; safe on every start."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)

    @abstractmethod
    def spec(self) -> ChildSpec:
        """Return how the server is run, for whoever supervises it."""

    async def set_up(self) -> None:
        """Make everything that the running server has to have; safe on every start."""
        return
