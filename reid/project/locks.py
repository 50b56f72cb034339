"""Keeps two runs of the same thing apart, on one machine or on a shared file system."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.project.errors import ReidError
from reid.project.threads import is_running

NAMED_S = 2.0  # until who has just got a lock has written its name
HOLDER = re.compile(r"process (\d+) on (\S+), since .+")


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Keep two runs of the same thing apart. Says who holds it; a killed holder leaves no lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file.fileno(), what)
        os.ftruncate(file.fileno(), 0)
        name = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%X')}"
        os.write(file.fileno(), name.encode())  # at once: nobody reads a part of it
        yield


def _take(descriptor: int, what: str) -> None:
    """Lock an open file. Raises `ReidError` with the process that has the lock.

    Who has just got it may not have written its name yet: the file is then empty, or still names
    an earlier holder that has ended. So both the lock and the name are asked for again.
    """
    deadline = time.monotonic() + NAMED_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip()
            if _has_ended(holder):
                holder = ""
            if not holder and time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            named = holder or "another process"
            raise ReidError(f"{what} is at work already: {named}; wait for it or end it") from None
        return


def _has_ended(holder: str) -> bool:
    """Whether a holder's name is of a process of this machine that is no more."""
    named = HOLDER.fullmatch(holder)
    if named is None or named[2] != socket.gethostname():
        return False
    return not is_running(int(named[1]))
