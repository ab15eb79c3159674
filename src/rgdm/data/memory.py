"""How much memory there is, asked before it runs out."""

from pathlib import Path

import psutil

from rgdm.errors import InputError

GIB = 2**30


def free_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be allocated: what the machine has left, or the control group where that is less."""
    free = psutil.virtual_memory().available
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        # The kernel gives back cached files before it refuses memory.
        cached = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return max(0, min(free, limit - used + int(cached.get("inactive_file", 0))))
    except (OSError, ValueError):  # no control group, or no limit ("max")
        return free


def check_memory(needed: int, what: str) -> None:
    """Raise ``InputError`` if ``what`` needs more bytes than are free."""
    free = free_memory()
    if needed > free:
        raise InputError(
            f"{what} needs about {needed / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are free; "
            "make it smaller or free some"
        )
