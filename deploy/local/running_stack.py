"""The running stack as other processes see it: where it is, and a token to talk to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local.errors import StartRefused
from deploy.local.ports import LOOPBACK
from deploy.local.settings import StackSettings
from deploy.local.state_dir import StateDir, StateDirLock

if TYPE_CHECKING:  # a command that talks to no database need not wait for its modules
    from deploy.local.postgres.server import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class RunningStack:
    """The supervisor's pid and its last published state."""

    state_dir: StateDir
    pid: int
    state: dict[str, Any]

    @property
    def children(self) -> dict[str, dict[str, Any]]:
        """What the supervisor last said of each process."""
        found: dict[str, dict[str, Any]] = self.state.get("children", {})
        return found

    @property
    def temporal_ui_port(self) -> int:
        """Where Temporal's Web UI answers."""
        return int(self.state.get("temporal_ui_port", 0))

    @property
    def backup_home(self) -> Path | None:
        """The folder of its trail, if it has backups."""
        folder = self.state.get("backup_home")
        return Path(folder) if folder else None

    def postgres(self) -> "EmbeddedPostgres":
        """Return its cluster, for whoever only wants to talk to it."""
        from deploy.local.postgres.server import EmbeddedPostgres
        from deploy.local.stack import POSTGRES

        found = EmbeddedPostgres(
            self.state_dir.postgres,
            port=self.children[POSTGRES]["port"],
            logs=self.state_dir.logs,
            passwords=self.state_dir.secrets / "postgres",
            trail=self.backup_home,
        )
        found.read_passwords()
        return found

    def url(self, name: str) -> str:
        """Return where a service answers."""
        child = self.children.get(name)
        if child is None:
            raise StartRefused(
                problem=f"{name} is not part of the running stack",
                kept="nothing was changed",
                remedy="see what runs with: valerix status",
            )
        return f"http://{LOOPBACK}:{child['port']}"


def find_state_dir() -> StateDir:
    """Return the folder that VALERIX_HOME names; it is not made by looking at it."""
    return StateDir(StackSettings.from_environment().home)


def find_running_stack() -> RunningStack | None:
    """Return the stack of this home, if one runs."""
    state_dir = find_state_dir()
    pid = StateDirLock(state_dir).holder()
    return None if pid is None else RunningStack(state_dir, pid, state_dir.read_state() or {})


def require_running_stack() -> RunningStack:
    """Return the stack of this home; StartRefused if none runs."""
    stack = find_running_stack()
    if stack is None:
        raise StartRefused(
            problem=f"no stack is running in {find_state_dir().folder}",
            kept="nothing was changed",
            remedy="start it with `make up`, or set VALERIX_HOME to the one you mean",
        )
    return stack


def issue_token(subject: str, role: str, ttl_s: int = 86_400) -> str:
    """Return a token signed with this stack's key; it need not be running."""
    from service_kit.http.tokens import issue

    key = find_state_dir().existing_token_key()
    try:
        return issue(key, subject, role, ttl_s)
    except ValueError as error:
        raise StartRefused(
            problem=f"no token was made: {error}",
            kept="nothing was changed",
            remedy="see: valerix token --help",
        ) from error
