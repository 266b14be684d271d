"""State folder of the stack: data, keys, logs, its lock and its published state."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Self

from deploy.local.errors import StartRefused

_LOG_KEPT_BYTES = 16 * 1024 * 1024
# What `reset` may delete. Anything else in the folder is somebody's own.
_OWN_ENTRIES = (
    *("postgres", "temporal", "ui", "secrets", "logs", "state.json"),
    *("cli-orders", "cli-unanswered", "lock"),
)


class StateDir:
    """`VALERIX_HOME`: paths, the lock, the signing key and the state that other commands read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = folder / "postgres"
        self.temporal = folder / "temporal"
        self.logs = folder / "logs"
        self.secrets = folder / "secrets"
        self.lock_file = folder / "lock"
        self.state_file = folder / "state.json"

    def create(self) -> Self:
        """Make what is missing, closed to everybody else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for each in (self.logs, self.secrets):
                each.mkdir(exist_ok=True, mode=0o700)
            if not os.access(self.secrets, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "not yours", str(self.secrets))
        except OSError as error:
            raise StartRefused(
                problem=f"{self.folder} cannot be used: {error.strerror} ({error.filename})",
                kept="nothing was started or changed",
                remedy="set VALERIX_HOME to a folder of your own, or use the account that owns it",
            ) from error
        return self

    def grant_passage(self, gid: int) -> None:
        """Let one group (the database server's account) walk through to its own folder."""
        os.chown(self.folder, -1, gid)
        self.folder.chmod(0o710)

    def trim_logs(self) -> None:
        """Put large logs of earlier runs aside; one older copy of each is kept."""
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > _LOG_KEPT_BYTES:
                log.replace(log.with_suffix(".log.1"))

    def token_key(self) -> str:
        """Return the key that signs every token of this stack; made once."""
        file = self.secrets / "token_key"
        with contextlib.suppress(FileNotFoundError):
            if key := file.read_text().strip():
                return key
        write_private(file, secrets.token_hex(32))
        return file.read_text().strip()

    def existing_token_key(self) -> str:
        """Return the key, for commands that must not create a stack by looking at it."""
        try:
            return (self.secrets / "token_key").read_text().strip()
        except OSError as error:
            raise StartRefused(
                problem=f"there is no signing key in {self.secrets}",
                kept="nothing was changed",
                remedy="start the stack once (make up), or set VALERIX_HOME to the one you mean",
            ) from error

    def write_state(self, state: dict[str, Any]) -> None:
        """Publish what runs now; gone after a clean end."""
        write_private(self.state_file, json.dumps(state, indent=1), durable=False)

    def read_state(self) -> dict[str, Any] | None:
        """Return what the running stack, or one that was killed, published last."""
        try:
            found = json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def contents(self) -> list[Path]:
        """Return what of ours is there."""
        return [self.folder / name for name in _OWN_ENTRIES if (self.folder / name).exists()]

    def delete(self) -> None:
        """Delete all of it, and the folder unless something else is in it."""
        for path in self.contents():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class StateDirLock:
    """Lock of the one running stack. The kernel lets go of it when the holder dies, however."""

    def __init__(self, state_dir: StateDir) -> None:
        self._file = state_dir.lock_file
        self._folder = state_dir.folder
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise `StartRefused` with the pid of the stack that has it."""
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _flock(fd, tries=3):
            os.close(fd)
            raise StartRefused(
                problem=f"a stack is running in {self._folder} already (pid {self.holder()})",
                kept="it goes on undisturbed; nothing else was started",
                remedy="look at it with `valerix status`, end it with `valerix stop`, "
                "or set VALERIX_HOME (and other ports) for a second one",
            )
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        """Let the next stack in."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> int | None:
        """Return the pid that holds the lock now; None when nobody does."""
        try:
            fd = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if _flock(fd):
                return None
            text = os.read(fd, 32).decode().strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(fd)


def _flock(fd: int, tries: int = 1) -> bool:
    """Try more than once: who only asks for the holder has the lock for some microseconds."""
    for attempt in range(tries):
        if attempt:
            time.sleep(0.01)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def write_private(file: Path, text: str, *, durable: bool = True) -> None:
    """Replace `file` in one step, readable by its owner only."""
    fresh = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        if durable:
            out.flush()
            os.fsync(out.fileno())
    fresh.replace(file)
