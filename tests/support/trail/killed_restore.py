"""The command `valerix` that kills itself with SIGKILL once a restore says certain words.

python -m tests.support.trail.killed_restore WORDS ARGUMENTS…

A test that reads those words from outside may come too late: the restore has gone on meanwhile.
"""

import os
import signal
import sys

import deploy.cli.restore
from backup.restore.sources import Say
from deploy.cli.__main__ import app


def progress() -> Say:
    """Return what dies of these words."""

    def say(what: str) -> None:
        if sys.argv[1] in what:
            os.kill(os.getpid(), signal.SIGKILL)

    return say


if __name__ == "__main__":
    deploy.cli.restore.progress = progress
    app(sys.argv[2:], prog_name="valerix")
