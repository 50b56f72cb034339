"""How long trainings will take, by those before them: said before `reid claims` begins.

Reads, writes  .work/training-seconds.json, the seconds of each row's training and evaluation
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reid.experiments import Experiment
from reid.project.layout import Project, as_json, key_of, read_object, write_atomically
from reid.project.progress import duration
from reid.results.evaluated import metrics_of

TIMED_STEPS = 3  # of a rehearsal


@dataclass(frozen=True)
class Work:
    """What is to be trained, and the seconds that it will take."""

    trainings: int  # all that the claims are of
    missing: int
    seconds: float
    rehearsed: int  # rows whose seconds are of a rehearsal, the others' of earlier trainings

    def told(self) -> str:
        """In one line."""
        if not self.missing:
            return f"{self.trainings} trainings, all of them done"
        how = f", {self.rehearsed} rows of them rehearsed" if self.rehearsed else ""
        return (
            f"{self.missing} of {self.trainings} trainings are to be done, about "
            f"{duration(self.seconds)} (by the seconds of earlier trainings{how})"
        )


def work(
    project: Project, experiments: Iterable[Experiment], rehearse: Callable[[Experiment], float]
) -> Work:
    """What is to be done; `rehearse` gives the seconds of a row that was never trained."""
    each = {experiment.name: experiment for experiment in experiments}.values()
    missing = [experiment for experiment in each if metrics_of(project, experiment) is None]
    known, seconds = _seconds(project), dict[str, float]()
    for experiment in missing:
        row = _row_key(experiment)
        if row not in seconds:
            seconds[row] = known[row] if row in known else rehearse(experiment)
    total = sum(seconds[_row_key(experiment)] for experiment in missing)
    return Work(len(each), len(missing), total, len(seconds.keys() - known.keys()))


def rehearsed_seconds(project: Project, device: str) -> Callable[[Experiment], float]:
    """How long a training takes, by a few steps of it."""
    from reid.training.rehearse import rehearse

    def seconds(experiment: Experiment) -> float:
        found = rehearse(experiment, project, steps=TIMED_STEPS, device=device)
        return found["prepare_s"] + 3600 * found["hours"]

    return seconds


@contextmanager
def timed(project: Project, experiment: Experiment) -> Iterator[None]:
    """Keeps how long a training and its evaluation take, if they end."""
    begun = time.monotonic()
    yield
    row, known = _row_key(experiment), _seconds(project)
    # One that went on from a checkpoint took less than a whole one.
    known[row] = max(time.monotonic() - begun, known.get(row, 0.0))
    write_atomically(_file(project), as_json(known))


def _row_key(experiment: Experiment) -> str:
    """A row, whatever its seed and split."""
    told = {k: v for k, v in experiment.described().items() if k not in ("seed", "protocol")}
    return key_of([experiment.paper.name, told])


def _seconds(project: Project) -> dict[str, float]:
    return read_object(_file(project), {}, "reid claims, without that file") or {}


def _file(project: Project) -> Path:
    return project.work / "training-seconds.json"
