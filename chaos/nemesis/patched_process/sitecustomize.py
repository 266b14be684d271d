"""Patches the Python process that finds this on its path, before its first own line.

Everything that asks for the time of day is told another one; what measures spans (the monotonic
clock) goes on as before, as it does when an administrator turns a machine's clock.
"""

import contextlib
import os
import sys
import threading
import time
import traceback


def _turn(turns: str) -> None:
    import time_machine

    planned = []
    for turn in turns.split():
        seconds, _, uptime = turn.partition("@")
        planned.append((float(uptime or 0), float(seconds)))
    planned.sort()
    _, now_off = planned[0]
    clock = time_machine.travel(time.time() + now_off, tick=True).start()
    _say(f"the clock is off by {now_off:+.0f} s")

    def go_on() -> None:
        off, began = now_off, time.monotonic()
        for uptime, seconds in planned[1:]:
            time.sleep(max(began + uptime - time.monotonic(), 0.0))
            clock.shift(seconds - off)
            off = seconds
            _say(f"the clock is off by {off:+.0f} s")

    if planned[1:]:
        threading.Thread(target=go_on, name="clock", daemon=True).start()


def _say(what: str) -> None:
    with contextlib.suppress(OSError):  # its log may be full at the moment
        sys.stderr.write(f'{{"event": "{what}"}}\n')


def _alter() -> None:
    from chaos.nemesis.patched_process import CLOCK_TURNED, IMPATIENT_BACKUPS, WORKFLOW_RELEASE

    if turns := os.environ.get(CLOCK_TURNED):
        _turn(turns)
    if number := os.environ.get(WORKFLOW_RELEASE):
        from chaos.nemesis.workflow_release import take_over

        take_over(int(number))
        _say(f"the workflow code is release {number}")
    if os.environ.get(IMPATIENT_BACKUPS):
        from chaos.nemesis.impatient_backups import hurry

        hurry()
        _say("backups are impatient")


try:
    _alter()
except Exception as error:
    # Left to itself, Python would go on with a process that is as it always was; which is also why
    # nothing that may be missing is imported outside of this.
    traceback.print_exc()
    raise SystemExit(1) from error
