"""Trains one experiment: checkpoints, exact resume, history. Knows no paper.

Every step draws its random numbers from (seed, step) alone, and every epoch its order from
(seed, epoch): a training that was stopped or killed goes on as if nothing had happened, on a CPU
bit by bit.

Writes  3-runs/<experiment>/train: model.safetensors, history.csv, experiment.json,
        and best.safetensors where identities are held out
"""

from __future__ import annotations

import io
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from reid.data.clips import Tracklets
from reid.data.dataset import Data
from reid.data.views import Batch, Draw, Views
from reid.evaluation.evaluate import embed_data, mean_metrics
from reid.experiments import Experiment
from reid.project.errors import ReidError
from reid.project.layout import Project, write_atomically
from reid.project.progress import log_file
from reid.training.devices import first_locks, gathered, launched, rows_of, share, summed
from reid.training.published import is_published, publish, save_weights

CHECK_EVERY = 20  # steps between looks at the loss: each look waits for the device


@dataclass
class State:
    """What a checkpoint holds beside the network and the optimizer."""

    step: int = 0  # steps done
    epoch: int = 0  # epochs done
    batch: int = 0  # batches done of the epoch that is under way
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # loss, right, samples
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float = -1.0  # validation mAP


def train(
    experiment: Experiment, project: Project, *, device: str = "auto", devices: int = 1
) -> Path:
    """Train, or go on training, and publish. Returns the published folder."""
    key = experiment.key(project)
    target = project.run(experiment.name) / "train"
    if is_published(target, key):
        return target
    work = project.work / "train" / key
    fabric = launched(device, devices, experiment.params.precision)
    with (
        first_locks(fabric, work / "lock", f"train {experiment.name}"),
        log_file(project.work / "logs" / f"train-{experiment.name}.log") as log,
    ):
        log.disabled = not fabric.is_global_zero
        trainer = Trainer(experiment, project, work, log, device, fabric)
        trainer.run()
        if fabric.is_global_zero:
            publish(trainer, target, key, project)
        fabric.barrier()
    return target


class Trainer:
    """One training on its data, network and optimizer."""

    def __init__(
        self, experiment: Experiment, project: Project, work: Path, log: logging.Logger,
        device: str = "auto", fabric: Fabric | None = None,
    ):  # fmt: skip
        self.experiment, self.work, self.log = experiment, work, log
        self.paper, self.params = experiment.paper, experiment.params
        self.fabric = fabric or launched(device, 1, self.params.precision)
        self.rank, self.ranks = self.fabric.global_rank, self.fabric.world_size
        data = experiment.open(project).role("train")
        self.data, self.held_out = hold_out(data, self.params.val_identities, self.params.seed)
        self.data = experiment.for_training(project, self.data)
        self.clips = self.paper.clips(self.params)
        self.tracklets = Tracklets.of(self.data).training(self.clips) if self.clips else None
        person = (self.tracklets.heads if self.tracklets else self.data).labels("person")
        self.people = np.unique(person)
        if len(self.people) < 2:
            raise ReidError(f"{self.params.dataset}: {len(self.people)} training identities")
        targets = np.searchsorted(self.people, person)  # of a row, or of a tracklet
        self.targets = torch.from_numpy(targets).to(self.fabric.device)
        self.views = self._views(self.data)
        self.donors = self.paper.donors(self.params, self.data)
        self.mean = channel_mean(self.views).to(self.fabric.device)
        torch.manual_seed(self.params.seed)
        network = self.paper.build(self.params, len(self.people))
        optimizer = self.paper.optimizer(self.params, network)
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.sampler = self.paper.sampler(self.params, targets, self.params.seed)
        self.together = self.paper.together(self.params)
        self.state = State()
        self.waited_s = self.trained_s = 0.0

    def _views(self, data: Data) -> Views:
        def view(row: dict[str, Any]) -> dict[str, np.ndarray]:
            return self.paper.view(self.params, row["image"], row)

        return Views(data, view, self.fabric.device, self.params.resident)

    def run(self) -> None:
        """All epochs that are not done yet."""
        self._load()
        with stoppable() as stop:
            for epoch in range(self.state.epoch, self.params.epochs):
                self._epoch(epoch, stop)
        if self.trained_s:
            self.log.info(
                "waited for data %.1f %% of the time", 100 * self.waited_s / self.trained_s
            )

    def _epoch(self, epoch: int, stop: list[bool]) -> None:
        network, batch = self.network.module, self.state.batch
        self.paper.begin_epoch(self.params, network, self.optimizer, epoch, batch)
        batches = self.sampler.batches(epoch)
        first, left = self.state.step, batches[self.state.batch :]
        drawn = [self.draw(rows, first + i) for i, rows in enumerate(left)]
        source, recent, start = self.views.batches(d.needed for d in drawn), [], time.perf_counter()
        self.network.train()
        for rows, draw in zip(left, drawn, strict=True):
            asked = time.perf_counter()
            batch = self.combined(next(source)[1], draw)
            self.waited_s += time.perf_counter() - asked
            done = epoch + self.state.batch / len(batches)
            target = self.targets[torch.from_numpy(draw.samples)]
            weight = len(draw.samples) * self.ranks / len(rows)
            recent.append(self.step(batch, target, done, weight))
            # Several devices stop at one step: where they next add up their losses.
            due = len(recent) == CHECK_EVERY or (stop[0] and self.ranks == 1)
            if due and self._count(recent, stop[0]):
                self._stop(epoch)
        due = self._count(recent, stop[0] and self.ranks > 1)
        self.trained_s += time.perf_counter() - start
        self._end_epoch(epoch)
        if due:
            self._stop(epoch)

    def _stop(self, epoch: int) -> None:
        self._save()
        raise ReidError(
            f"{self.experiment.name}: stopped after step {self.state.step}, in epoch "
            f"{epoch + 1} of {self.params.epochs}; run the same command to go on"
        )

    def draw(self, samples: np.ndarray, step: int) -> Draw:
        """This device's samples of a batch, their rows, and whom they are combined with."""
        seed = step_seed(self.params.seed, step)
        mine = share(len(samples), self.together, self.rank, self.ranks)
        if self.tracklets is not None and self.clips is not None:
            rows = self.tracklets.draw(samples, self.clips, seed)[mine]
            return Draw(samples[mine], rows, np.full(len(rows), -1))
        donors = self.donors.draw(samples, seed) if self.donors else np.full(len(samples), -1)
        return Draw(samples[mine], samples[mine], donors[mine])

    def combined(self, batch: Batch, draw: Draw) -> Batch:
        """The samples of a draw, from the rows that it needs."""
        if self.donors:
            return self.paper.combine(self.params, *draw.parts(batch))
        return draw.clips(batch)

    def step(self, batch: Batch, target: Tensor, epoch: float, weight: float = 1.0) -> Tensor:
        """One update at a fractional epoch; returns (loss, right, samples) sums on the device.

        `weight`: of the loss, where devices have unequal shares of a batch.
        """
        seed = step_seed(self.params.seed, self.state.step, self.rank)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout
        rate = self.paper.learning_rate(self.params, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_scale", 1.0)
        augmented = self.paper.augment(self.params, batch, generator)
        output = self.network(self.paper.normalize(self.params, augmented, self.mean))
        loss = self.paper.loss(self.params, output, target)["loss"]
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss * weight)
        self.optimizer.step()
        self.state.step += 1
        self.state.batch += 1
        right = (self.paper.training_logits(output).argmax(1) == target).sum()
        count = right.new_tensor(len(target)).double()
        return torch.stack([loss.detach().double() * count, right.double(), count])

    def _count(self, recent: list[Tensor], stop: bool) -> bool:
        """Add up all devices' steps since the last look; whether any was asked to `stop`."""
        if not recent:
            return False
        last = recent[0].new_tensor([stop, 0.0, 0.0])
        values = summed(self.fabric, torch.stack([*recent, last])).cpu().numpy()
        values, asked = values[:-1], bool(values[-1, 0])
        bad = np.flatnonzero(~np.isfinite(values[:, 0]))
        if len(bad):
            step = self.state.step - len(values) + int(bad[0]) + 1
            raise ReidError(
                f"{self.experiment.name}: the loss is not a number at step {step}; the last "
                "checkpoint is kept. Lower learning_rate, or set precision: 32-true"
            )
        self.state.sums = [
            a + float(b) for a, b in zip(self.state.sums, values.sum(0), strict=True)
        ]
        recent.clear()
        return asked

    def _end_epoch(self, epoch: int) -> None:
        loss, right, samples = self.state.sums
        last = epoch + 1 == self.params.epochs
        line: dict[str, Any] = {
            "epoch": epoch + 1, "steps": self.state.step,
            "learning_rate": self.paper.learning_rate(self.params, epoch),
            "loss": loss / samples, "accuracy": right / samples, "val_rank1": "", "val_map": "",
        }  # fmt: skip
        if self.held_out is not None and (last or (epoch + 1) % self.params.validate_every == 0):
            line |= self._validate()
        self.state.history.append(line)
        self.state.sums, self.state.epoch, self.state.batch = [0.0, 0.0, 0.0], epoch + 1, 0
        self.log.info(" ".join(f"{k} {_short(v)}" for k, v in line.items() if v != ""))
        if last or (epoch + 1) % self.params.checkpoint_every == 0:
            self._save()

    def _validate(self) -> dict[str, float]:
        assert self.held_out is not None
        views = self._views(rows_of(self.held_out, self.rank, self.ranks))
        network, parts = self.network.module, self.paper.feature_parts(self.params)
        held, feature = embed_data(self.paper, self.params, network, views, self.mean)
        labels = held.labels("person"), held.labels("camera")
        feature, person, camera = gathered(self.fabric, feature, *labels)
        rank1, mean_ap = mean_metrics(feature, person, camera, self.params.distance, parts)
        if mean_ap > self.state.best:
            self.state.best = mean_ap
            if self.fabric.is_global_zero:
                save_weights(self.work / "best.safetensors", self.network.module)
        return {"val_rank1": rank1, "val_map": mean_ap}

    def _save(self) -> None:
        if not self.fabric.is_global_zero:
            return
        buffer = io.BytesIO()
        kept = {
            "network": self.network.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": vars(self.state),
        }
        torch.save(kept, buffer)
        write_atomically(self.work / "checkpoint.pt", buffer.getvalue())

    def _load(self) -> None:
        path = self.work / "checkpoint.pt"
        if not path.is_file():
            return
        kept = torch.load(path, map_location="cpu", weights_only=True)
        self.network.module.load_state_dict(kept["network"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.state = State(**kept["state"])
        self.log.info("goes on after step %d", self.state.step)


def overfit_batch(experiment: Experiment, project: Project, steps: int = 200) -> float:
    """Train on one batch again and again; the accuracy reached (1.0 where all is well)."""
    work = project.work / "overfit" / experiment.name
    with log_file(project.work / "logs" / f"overfit-{experiment.name}.log") as log:
        trainer = Trainer(experiment, project, work, log)
        draw = trainer.draw(trainer.sampler.batches(0)[0], 0)
        batch = trainer.combined(trainer.views.get(draw.needed), draw)
        target = trainer.targets[torch.from_numpy(draw.samples)]
        accuracy = 0.0
        trainer.network.train()
        for _ in range(steps):
            _, right, samples = trainer.step(batch, target, 0.0).tolist()
            accuracy = right / samples
            if accuracy == 1.0:
                break
        log.info("accuracy %.3f after %d steps", accuracy, trainer.state.step)
    return accuracy


def hold_out(data: Data, identities: int, seed: int) -> tuple[Data, Data | None]:
    """Split off the images of some training identities, drawn by seed, for validation."""
    if identities == 0:
        return data, None
    person = data.labels("person")
    people = np.unique(person)
    if identities > len(people) - 2:
        raise ReidError(
            f"val_identities {identities} leaves fewer than 2 of {len(people)} to train on"
        )
    chosen = np.random.default_rng(seed).choice(people, identities, replace=False)
    held = np.isin(person, chosen)
    return data.choose(~held), data.choose(held)


def channel_mean(views: Views, rows: int = 2048) -> Tensor:
    """(3,) mean of each channel, 0 to 255, over evenly spaced training samples, first view."""
    chosen = np.unique(np.linspace(0, len(views.data) - 1, rows).astype(int))
    total, count = torch.zeros(3, dtype=torch.float64), 0
    for part in np.array_split(chosen, max(1, len(chosen) // 64)):
        values = next(iter(views.get(part).values())).cpu().double()
        total += values.flatten(0, -2).sum(0)
        count += values[..., 0].numel()
    return (total / count).float()


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """One number for (seed, step) and a device, far from its neighbours'."""
    words = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def stoppable() -> Iterator[list[bool]]:
    """Ctrl-C sets a flag instead of breaking a step in two; a second one breaks."""
    stop = [False]
    before = signal.getsignal(signal.SIGINT)

    def handler(*_: object) -> None:
        if stop[0]:
            raise KeyboardInterrupt
        stop[0] = True

    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:  # not the main thread: Ctrl-C is somebody else's
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)
