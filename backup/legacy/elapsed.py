"""Time that nobody can set, for limits that hold while clocks jump and machines sleep."""

import time

# Linux' monotonic clock stands still while the machine is suspended; this one does not.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot() -> float:
    """Return the seconds since some moment in the past, the same one until the next boot."""
    return time.clock_gettime(_BOOT_CLOCK)
