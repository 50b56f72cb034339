"""The one meter of all long work: a bar on a terminal, else a line every 30 seconds.

    train mine-strong: epoch 3/20, loss 4.3, 158 images/s, 2 min left; log: .work/logs/train-...

What computes calls `advance` for each batch; that moves the meter of whoever began the work, and
does nothing where there is none. A worker process has no meter: it counts into a file of a folder
that the meter looks at, so that a bar moves by batch on whatever machine the worker runs.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reid.project.layout import this_process

EVERY_S = 30.0  # between lines where there is no terminal
LOOK_S = 0.5  # between looks at a bar, and at the counts of workers


class Meter:
    """Shows how far some work is while the block runs; one inside another one's block is silent."""

    def __init__(
        self, title: str, total: int = 0, done: int = 0, *, unit: str = "rows",
        log: Path | None = None, counts: Path | None = None, silent: bool = False,
    ) -> None:  # fmt: skip
        """`total` 0 is not known yet; `done` of it was done before; `counts` is a workers' folder.

        Numbers are of `unit`. `log` is named, not written.
        """
        self.title, self.total, self.before, self.unit = title, total, done, unit
        self.log, self.counts, self.silent = log, counts, silent
        self.rejects = 0
        self.said = ""  # such as `epoch 3/20, loss 4.3`, in place of the count
        self.added, self.reached = 0, done
        self.began = time.monotonic()
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> Meter:
        if self.counts:
            shutil.rmtree(self.counts, ignore_errors=True)
            self.counts.mkdir(parents=True)
        self.began = time.monotonic()
        if not _meters and not self.silent:
            shown = self._bar if sys.stderr.isatty() else self._lines
            self.thread = threading.Thread(target=shown, args=(sys.stderr,), daemon=True)
            self.thread.start()
        _meters.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _meters.remove(self)
        self.stopped.set()
        if self.thread:
            self.thread.join()
        if self.counts:
            shutil.rmtree(self.counts, ignore_errors=True)

    def reach(self, done: int) -> None:
        """So much of the total is done, at least."""
        self.reached = max(self.reached, done)

    @property
    def done(self) -> int:
        """How much is done: what was reached, or counted here and by workers."""
        counted = self.before + self.added + sum(_sizes(self.counts))
        most = max(counted, self.reached)
        return min(most, self.total) if self.total else most

    def text(self) -> str:
        """Count, speed, the time that is left, and where the log is."""
        total = self.total  # once: `expect` may change it meanwhile
        done, passed = self.done, time.monotonic() - self.began
        done = min(done, total) if total else done
        speed = max(0, done - self.before) / max(passed, 1e-9)
        of = f" of {total:,}" if total else ""
        words = [self.said or (f"{done:,}{of} {self.unit}" if done or of else "at work")]
        words += [f"{self.rejects:,} rejects"] if self.rejects else []
        if speed:
            words.append(
                f"{speed:,.0f} {self.unit}/s" if speed > 9.5 else f"{speed:.2g} {self.unit}/s"
            )
        if speed and total:
            words.append(f"{duration((total - done) / speed)} left")
        else:
            words.append(f"{duration(passed)} so far")
        return ", ".join(words) + (f"; log: {self.log}" if self.log else "")

    def _lines(self, stream: Any) -> None:
        while not self.stopped.wait(EVERY_S):
            with suppress(OSError, ValueError):  # the stream was closed: nobody reads it
                print(f"{self.title}: {self.text()}", file=stream, flush=True)

    def _bar(self, stream: Any) -> None:
        if self.stopped.wait(LOOK_S):  # done at once: no bar
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(20),
                   TextColumn("{task.fields[text]}", markup=False))  # fmt: skip
        bar = Progress(*columns, console=Console(file=stream), transient=True)
        with bar:
            task = bar.add_task(self.title, total=self.total or None, text="")
            while True:
                total = self.total or None
                bar.update(task, total=total, completed=self.done, text=self.text())
                if self.stopped.wait(LOOK_S):
                    return


_meters: list[Meter] = []  # of this process, the outermost first


def advance(count: int = 1) -> None:
    """So much more is done, of the innermost meter, or of this worker's file."""
    if _meters:
        _meters[-1].added += count
    elif _counter is not None:
        _counter.add(count)


def expect(total: int) -> None:
    """How much there is in all, where that is known only inside the work."""
    if _meters:
        _meters[-1].total = total


def duration(seconds: float) -> str:
    """Seconds in words: 0.4 s, 40 s, 2 min, 1.5 h."""
    if seconds < 90:
        return f"{round(seconds, 1 if seconds < 10 else None):g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# -- workers ---------------------------------------------------------------------------------


class _Counter:
    """A file as long as what this process has done: a count that others see without reading."""

    def __init__(self, folder: Path) -> None:
        self.file = (folder / this_process()).open("wb")
        self.count, self.written = 0, 0.0

    def add(self, count: int) -> None:
        self.count += count
        now = time.monotonic()
        if now - self.written > LOOK_S / 2:
            self.written = now
            os.ftruncate(self.file.fileno(), self.count)


_counter: _Counter | None = None


def count_into(folder: Path) -> None:
    """Count what this process does for the meter of another one, which looks into `folder`."""
    global _counter
    if not _meters and folder.is_dir():
        _counter = _Counter(folder)


def _sizes(folder: Path | None) -> Iterator[int]:
    with suppress(OSError):  # a file that goes while it is looked at
        for entry in os.scandir(folder) if folder else ():
            yield entry.stat().st_size


# -- logs ------------------------------------------------------------------------------------


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


def path_of(logger: logging.Logger) -> Path | None:
    """Where a logger of `log_file` writes, seen from the working folder."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            path = Path(handler.baseFilename)
            here = Path.cwd()
            return path.relative_to(here) if path.is_relative_to(here) else path
    return None
