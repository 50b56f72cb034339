"""Keeps two runs of the same thing apart, on one machine or on a shared file system."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.project.errors import ReidError


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Keep two runs of the same thing apart. Says who holds it; a killed holder leaves no lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ReidError(f"{what} is at work already: {holder}; wait for it or end it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%X')}")
        file.flush()
        yield
