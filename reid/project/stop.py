"""Ctrl-C, and a machine that ends a job, ask long work to stop instead of breaking it in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stoppable(stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set an event, `stop` or a new one; a second one raises KeyboardInterrupt.

    Only in the main thread: Python lets no other one handle signals.
    """
    event = stop or threading.Event()

    def handler(*_: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
