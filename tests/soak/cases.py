"""What all campaigns share: the outcome of one case, a time limit, and what may not change."""

from __future__ import annotations

import hashlib
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 12  # findings that a table names


class TookTooLong(BaseException):
    """A case ran past its limit. Not an `Exception`, so that no reader can catch it."""


@dataclass
class Case:
    """One case of a campaign: what was done, and what came of it."""

    target: str  # the reader, or what else was attacked
    seed: int
    steps: list[str] = field(default_factory=list)  # what was done to it, in words
    outcome: str = ""  # rows, refused, or skipped
    finding: str = ""  # empty where it held

    def fail(self, what: str) -> None:
        self.finding = self.finding or what


@dataclass
class Figures:
    """Counts of one campaign by target."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[Case] = field(default_factory=list)

    def add(self, case: Case) -> None:
        counts = self.outcomes.setdefault(case.target, Counter())
        counts["tried"] += 1
        counts["found" if case.finding else case.outcome] += 1
        if case.finding:
            self.findings.append(case)

    def lines(self) -> Iterator[str]:
        """A table for a terminal, then the findings with their seeds."""
        yield f"{'target':20} {'tried':>6} {'rows':>6} {'refused':>8} {'skipped':>8} {'found':>6}"
        total: Counter[str] = sum(self.outcomes.values(), Counter())
        for name, counts in [*self.outcomes.items(), ("all", total)]:
            yield (
                f"{name:20} {counts['tried']:6} {counts['rows']:6} {counts['refused']:8} "
                f"{counts['skipped']:8} {counts['found']:6}"
            )
        for case in self.findings[:SHOWN]:
            yield f"{case.target} {case.seed}: {'; '.join(case.steps)}\n    {case.finding}"


def report(cases: Iterable[Case]) -> Figures:
    """The figures of cases, whose findings are printed as they come."""
    figures = Figures()
    for case in cases:
        figures.add(case)
        if case.finding:
            say(f"FOUND {case.target} {case.seed}: {case.steps}: {case.finding}")
    return figures


def say(text: str) -> None:
    """One line on the terminal, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` in the main thread after so many seconds."""

    def stop(*_: object) -> None:
        raise TookTooLong(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A new folder, in memory where the machine has such, that every user may enter."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="reid-soak-", dir=shared if shared.is_dir() else None, ignore_cleanup_errors=True
    ) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def snapshot(folder: Path, but: Iterable[Path] = ()) -> dict[str, tuple[object, ...]]:
    """Kind, size, time and content of everything below a folder, without what lies in `but`."""
    skipped, states = set(but), {}
    stack = [folder]
    while stack:
        for path in stack.pop().iterdir():
            if path in skipped:
                continue
            status = path.lstat()
            content: object = path.readlink() if path.is_symlink() else None
            if path.is_dir() and not path.is_symlink():
                stack.append(path)
            elif path.is_file() and not path.is_symlink():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            time = status.st_mtime_ns if content is not None else 0  # a folder's is its entries'
            states[str(path)] = (status.st_mode, time, content)
    return states


def changes(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> str:
    """What differs between two snapshots, in words; empty where nothing does."""
    new, gone = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    other = sorted(p for p in before.keys() & after.keys() if before[p] != after[p])
    named = (("new", new), ("gone", gone), ("changed", other))
    return "; ".join(
        f"{what}: {', '.join(map(ascii, paths[:3]))}" for what, paths in named if paths
    )


def last_lines(error: BaseException) -> str:
    """An unexpected error and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in frames[-4:]]
    return f"{type(error).__name__}: {str(error)[:200]!r} at {' > '.join(places)}"
