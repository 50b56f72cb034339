"""The one loop of trainings, pretrainings and fits: exact resume, stops, checkpoints, history.

What differs is a `Task`. One checkpoint holds the state of its parts and how far they are. A task
draws its random numbers from its seed and the step alone, so that a training that was stopped or
killed goes on as if nothing had happened, on a CPU bit by bit.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, stack

from reid.project.errors import ReidError
from reid.project.progress import Meter, path_of
from reid.project.stop import stoppable
from reid.training.checkpoint import Checkpoint, Part, State
from reid.training.devices import Devices, summed


class Task(Protocol):
    """What is trained, and on what."""

    title: str  # begins each message
    epochs: int
    per_epoch: tuple[int, int]  # batches and images, for what is shown
    check_every: int  # batches between looks at the loss: each look waits for the device
    devices: Devices
    parts: Mapping[str, Part]  # what a checkpoint holds

    def batches(self, state: State) -> Generator[Any]:
        """The batches of the epoch `state.epoch` from `state.batch` on."""
        ...

    def step(self, batch: Any, state: State) -> Tensor:
        """One update, before it is counted in `state`; returns (S,) float64 sums on the device.

        The first is the loss; of several, the last is the number of samples. Where the loss is not
        finite, nothing of the update is kept.
        """
        ...

    def end_epoch(self, state: State) -> dict[str, Any]:
        """The line of history of the epoch `state.epoch`, whose steps add up to `state.sums`."""
        ...


class Stopped(ReidError):
    """A training that was asked to stop and can go on."""


@dataclass
class Loop:
    """One training, its checkpoint at `path`."""

    task: Task
    path: Path
    log: logging.Logger
    identity: str = ""  # of the code and parameters; a checkpoint under another one is refused
    every_epochs: int = 1  # between checkpoints, and ...
    every_minutes: float = 10.0  # ... at the latest: what a kill may cost
    state: State = field(default_factory=State)
    stop: threading.Event = field(default_factory=threading.Event)
    loss: str = ""  # as it was last shown
    saved: float = 0.0  # time of the last checkpoint, by the monotonic clock

    def run(self) -> State:
        """All epochs that are not done yet. `Stopped` after the step in which `stop` is set."""
        self._resume()
        task = self.task
        total, hidden = task.epochs * task.per_epoch[1], not task.devices.first
        meter = Meter(task.title, total, self._done(total), unit="images", log=path_of(self.log),
                      silent=hidden)  # fmt: skip
        with stoppable(self.stop), meter:
            while self.state.epoch < task.epochs:
                self._epoch(meter)
        return self.state

    def _done(self, total: int) -> int:
        """How many of all images have been seen."""
        epochs = self.state.epoch + min(1.0, self.state.batch / self.task.per_epoch[0])
        return round(total * epochs / self.task.epochs)

    def _show(self, meter: Meter, seen: list[list[float]]) -> None:
        """The epoch under way, and the mean loss of the steps last looked at."""
        count = sum(each[-1] if len(each) > 1 else 1.0 for each in seen)
        if count:
            self.loss = f", loss {sum(each[0] for each in seen) / count:.3g}"
        meter.said = f"epoch {self.state.epoch + 1}/{self.task.epochs}{self.loss}"

    def _epoch(self, meter: Meter) -> None:
        task, state, recent = self.task, self.state, list[Tensor]()
        self._show(meter, [])
        with closing(task.batches(state)) as batches:
            for batch in batches:
                recent.append(task.step(batch, state))
                state.step += 1
                state.batch += 1
                meter.reach(self._done(meter.total))
                due = state.batch % task.check_every == 0
                # Several devices must stop at the same step: where they next add up their losses.
                if due or (self.stop.is_set() and task.devices.count == 1):
                    if self._look(recent, due, meter):
                        self._stop()
                    if due and time.monotonic() - self.saved > 60 * self.every_minutes:
                        self._save()
        stop_asked = self._look(recent, True, meter)
        line = task.end_epoch(state)
        state.history.append(line)
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, []
        self.log.info(" ".join(f"{k} {_short(v)}" for k, v in line.items() if v != ""))
        last = state.epoch == task.epochs
        if last or state.epoch % self.every_epochs == 0:
            self._save()
        if stop_asked and not last:
            self._stop()

    def _look(self, recent: list[Tensor], due: bool, meter: Meter) -> bool:
        """Take all devices' steps since the last look; return whether any device was asked to stop.

        The steps are added up only where a look is `due`: at the same steps whether or not a
        training was stopped, so that the sums are the same to the last bit.
        """
        stop_asked, state = False, self.state
        if recent:
            flag = recent[0].new_zeros(len(recent[0]))
            flag[0] = self.stop.is_set()
            values = summed(self.task.devices, stack([*recent, flag])).tolist()
            recent.clear()
            stop_asked = values.pop()[0] > 0
            bad = [i for i, each in enumerate(values) if not math.isfinite(each[0])]
            if bad:
                raise ReidError(
                    f"{self.task.title}: the loss is not a number at step "
                    f"{state.step - len(values) + bad[0] + 1}; the last checkpoint is kept. Lower "
                    "the learning rate, or train in 32 bits (precision: 32-true)"
                )
            state.recent += values
            self._show(meter, values)
        if due and state.recent:
            total = np.array(state.recent).sum(0).tolist()
            before = state.sums or [0.0] * len(total)
            state.sums = [a + b for a, b in zip(before, total, strict=True)]
            state.recent = []
        return stop_asked

    def _stop(self) -> None:
        self._save()
        raise Stopped(
            f"{self.task.title}: stopped after step {self.state.step}, in epoch "
            f"{self.state.epoch + 1} of {self.task.epochs}; run the same command to go on"
        )

    def _save(self) -> None:
        if self.task.devices.first:
            parts = {name: part.state_dict() for name, part in self.task.parts.items()}
            Checkpoint(self.path, self.identity, self.state, parts).save()
        self.saved = time.monotonic()

    def _resume(self) -> None:
        self.saved = time.monotonic()
        checkpoint = Checkpoint.load(self.path, self.identity)
        if checkpoint is not None:
            checkpoint.restore(self.task.parts)
            self.state = checkpoint.state
            self.log.info("goes on after step %d", self.state.step)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """One number for (seed, step) and a device, far from its neighbours'."""
    words = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)
