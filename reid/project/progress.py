"""Progress of a stage: a bar on a terminal, else one line every 30 seconds; a log file always."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 30.0


class Meter:
    """Counts rows and rejects of one run and shows them."""

    def __init__(self, title: str, total: int, done: int = 0, console: Console | None = None):
        self.title, self.total, self.done, self.rejects = title, total, done, 0
        self.reused = done
        self.console = console or Console(stderr=True)
        self.started = self.last = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> Meter:
        if self.console.is_terminal and self.total > self.done:
            columns = ("{task.description}", BarColumn(), TextColumn("{task.fields[rate]}"))
            self.bar = Progress(*columns, TimeRemainingColumn(), console=self.console)
            self.bar.start()
            self.bar.add_task(self.title, total=self.total, completed=self.done, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def add(self, rows: int, rejects: int) -> None:
        self.done += rows
        self.rejects += rejects
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, rate=self.rate())
        elif now - self.last >= EVERY_S:
            self.last = now
            self.console.print(self.line(), highlight=False)

    def rate(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-9)
        return f"{(self.done - self.reused) / seconds:,.0f} rows/s, {self.rejects} rejects"

    def line(self) -> str:
        speed = (self.done - self.reused) / max(time.monotonic() - self.started, 1e-9)
        left = f", {(self.total - self.done) / speed:,.0f} s left" if speed > 0 else ""
        return f"{self.title}: {self.done:,} of {self.total:,} rows, {self.rate()}{left}"


@contextmanager
def log_file(path: Path) -> Iterator[logging.Logger]:
    """A logger that appends to `path` while the block runs; warnings go to stderr too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(f"reid.{path.stem}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_screen = logging.StreamHandler(sys.stderr)
    to_screen.setLevel(logging.WARNING)
    handlers = (to_file, to_screen)
    try:
        for handler in handlers:
            logger.addHandler(handler)
        yield logger
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
