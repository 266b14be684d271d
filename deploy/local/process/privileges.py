"""The account that a child process runs as, and how it dies with its parent.

Postgres refuses to run as root. When the stack is started by root, Postgres runs as an unprivileged
account; folders on the way that this account may not enter (`/root`, a `mktemp -d`) are bridged
with one ambient capability instead of opening them to everybody.
"""

import contextlib
import ctypes
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StartRefused

LINUX = sys.platform == "linux"

# <linux/prctl.h> and <linux/capability.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522

# Loaded once here: between fork and exec a child must not start importing or allocating more than
# it has to.
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a child runs as.

    `bridge` keeps the one capability that lets it pass folders closed to it.
    """

    uid: int
    gid: int
    bridge: bool = False

    def take(self, path: Path) -> None:
        """Give `path` to this account (the caller is root)."""
        os.chown(path, self.uid, self.gid)


def unprivileged_account(data_folder: Path, must_read: Iterable[Path]) -> Account | None:
    """Return the account for a process that refuses root; None means: as whoever started us.

    An existing data folder keeps its owner, so that a folder first made by an ordinary user can be
    served by root as well.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return None
    uid, gid = _owner(data_folder) or _account_of_the_machine()
    paths = [data_folder, *must_read]
    bridge = not all(_enters(uid, gid, path) for path in paths)
    if bridge and not LINUX:
        raise StartRefused(
            problem=f"Postgres refuses root, and uid {uid} cannot enter {data_folder}",
            kept="nothing was started",
            remedy="start as an ordinary user, or set VALERIX_HOME to a folder open to everybody",
        )
    return Account(uid, gid, bridge)


def _owner(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return (found.st_uid, found.st_gid) if found.st_uid != 0 else None


def _account_of_the_machine() -> tuple[int, int]:
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    return 65534, 65534


def _enters(uid: int, gid: int, path: Path) -> bool:
    """Tell whether the mode bits let this account read and enter `path`.

    Parts that do not exist yet are ours to make.
    """
    path = path.resolve()
    for part in (path, *path.parents):
        try:
            found = part.stat()
        except FileNotFoundError:
            continue
        need = stat.S_IXOTH if part != path or part.is_file() else stat.S_IXOTH | stat.S_IROTH
        if found.st_uid == uid:
            need <<= 6
        elif found.st_gid == gid:
            need <<= 3
        if found.st_mode & need != need:
            return False
    return True


def before_exec(account: Account | None, death_signal: signal.Signals) -> Callable[[], None]:
    """Return the function that runs in the child between fork and exec.

    The order matters: the kernel forgets the death signal when the uid changes, so it is set last;
    and a parent that died before it was set would never be noticed, so the parent is compared once
    more after that. The signal follows the *thread* that started the child: start children from a
    thread that lives as long as the stack, the event loop's.
    """
    parent = os.getpid()

    def prepare() -> None:
        if account is not None:
            _become(account)
        if _libc is not None:
            _check(_libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0), "prctl(PDEATHSIG)")
            if os.getppid() != parent:
                os._exit(143)

    return prepare


def end_with_parent(sig: signal.Signals) -> None:
    """Have the kernel send us `sig` when our parent ends, where there is such a thing."""
    if _libc is not None:
        _check(_libc.prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0), "prctl(PDEATHSIG)")


def _become(account: Account) -> None:
    os.setgroups([])
    os.setgid(account.gid)
    if account.bridge:
        assert _libc is not None
        # Otherwise setuid takes all capabilities away, and access(2), with which initdb looks for
        # the server beside it, would not count the one that is kept.
        bits = _SECBIT_NO_SETUID_FIXUP
        _check(_libc.prctl(_PR_SET_SECUREBITS, bits, 0, 0, 0), "prctl(SECUREBITS)")
    os.setuid(account.uid)
    if account.bridge:
        assert _libc is not None
        only = 1 << _CAP_DAC_OVERRIDE
        header = _CapHeader(_CAPABILITY_VERSION_3, 0)
        data = (_CapData * 2)(_CapData(only, only, only), _CapData(0, 0, 0))
        _check(_libc.capset(ctypes.byref(header), data), "capset")
        _check(
            _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0),
            "prctl(CAP_AMBIENT)",
        )


def _check(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call} failed")
