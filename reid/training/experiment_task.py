"""An experiment as the training loop sees it: its data, network, optimizer, and each step."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid.data.clips import Tracklets
from reid.data.dataset import Data
from reid.data.views import Batch, Draw, Views
from reid.evaluation.features import embed_data
from reid.evaluation.metrics import mean_metrics
from reid.experiments import Experiment
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training.checkpoint import Part, State
from reid.training.devices import Devices, gathered, rows_of, share
from reid.training.loop import step_seed
from reid.training.published import save_weights


@dataclass(frozen=True)
class Samples:
    """One device's part of a batch, ready to be augmented."""

    views: Batch
    target: Tensor  # (B,) classes: indices into `ExperimentTask.people`
    epoch: float  # epochs done, with the share of this one
    weight: float  # of the loss: not 1 where devices have unequal shares of a batch


class ExperimentTask:
    """One training on its data, network and optimizer."""

    check_every = 20

    def __init__(self, experiment: Experiment, project: Project, work: Path, devices: Devices):
        self.work, self.devices, self.title = work, devices, f"train {experiment.name}"
        self.method, self.params = experiment.method, experiment.params
        self.epochs = self.params.epochs
        self.rank, self.ranks = devices.rank, devices.count
        data = experiment.open(project).role("train")
        self.data, self.held_out = hold_out(data, self.params.val_identities, self.params.seed)
        self.data = experiment.for_training(project, self.data)
        self.clips = experiment.paper.clips(self.params)
        self.tracklets = Tracklets.of(self.data).training(self.clips) if self.clips else None
        person = (self.tracklets.heads if self.tracklets else self.data).labels("person")
        self.people = np.unique(person)
        if len(self.people) < 2:
            raise ReidError(f"{self.params.dataset}: {len(self.people)} training identities")
        targets = np.searchsorted(self.people, person)  # of a row, or of a tracklet
        self.targets = torch.from_numpy(targets).to(self.devices.device)
        self.views = self._views(self.data)
        self.donors = self.method.donors(self.params, self.data)
        self.mean = channel_mean(self.views).to(self.devices.device)
        torch.manual_seed(self.params.seed)
        network = self.method.build(self.params, len(self.people))
        self.network = network.to(devices.device)
        self.optimizer = self.method.optimizer(self.params, self.network)
        self.parallel = devices.parallel(self.network)
        self.parts: Mapping[str, Part] = {"network": self.network, "optimizer": self.optimizer}
        self.sampler = self.method.sampler(self.params, targets, self.params.seed)
        self.together = self.method.together(self.params)
        self.per_epoch = _extent(self.sampler.batches(0))
        self.waited_s = self.trained_s = 0.0

    def _views(self, data: Data) -> Views:
        def view(row: dict[str, Any]) -> dict[str, np.ndarray]:
            return self.method.view(self.params, row["image"], row)

        return Views(data, view, self.devices.device, self.params.resident)

    def batches(self, state: State) -> Generator[Samples]:
        epoch, done = state.epoch, state.batch
        self.method.begin_epoch(self.params, self.network, self.optimizer, epoch, done)
        batches = self.sampler.batches(epoch)
        self.per_epoch = _extent(batches)
        first, left = state.step, batches[done:]
        drawn = [self.draw(rows, first + i) for i, rows in enumerate(left)]
        source, start = self.views.batches(d.needed for d in drawn), time.perf_counter()
        self.network.train()
        for i, (rows, draw) in enumerate(zip(left, drawn, strict=True)):
            asked = time.perf_counter()
            views = self.combined(next(source)[1], draw)
            self.waited_s += time.perf_counter() - asked
            yield self.samples(views, draw, len(rows), epoch + (done + i) / len(batches))
        self.trained_s += time.perf_counter() - start

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
            return self.method.combine(self.params, *draw.parts(batch))
        return draw.clips(batch)

    def samples(self, views: Batch, draw: Draw, size: int, epoch: float) -> Samples:
        """The samples of a step, from a batch of `size` samples on all devices."""
        target = self.targets[torch.from_numpy(draw.samples)]
        return Samples(views, target, epoch, len(draw.samples) * self.ranks / size)

    def step(self, batch: Samples, state: State) -> Tensor:
        """One update; returns (3,) sums on the device: loss, correct predictions, samples."""
        seed = step_seed(self.params.seed, state.step, self.rank)
        generator = torch.Generator().manual_seed(seed)
        self.devices.seed(seed)  # dropout
        rate = self.method.learning_rate(self.params, batch.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_scale", 1.0)
        augmented = self.method.augment(self.params, batch.views, generator)
        output = self.devices.forward(
            self.parallel, self.method.normalize(self.params, augmented, self.mean)
        )
        loss = self.method.loss(self.params, output, batch.target)["loss"]
        self.optimizer.zero_grad(set_to_none=True)
        self.devices.update(loss * batch.weight, self.optimizer)
        correct = (self.method.training_logits(output).argmax(1) == batch.target).sum()
        count = correct.new_tensor(len(batch.target)).double()
        return torch.stack([loss.detach().double() * count, correct.double(), count])

    def end_epoch(self, state: State) -> dict[str, Any]:
        loss, correct, samples = state.sums
        epoch = state.epoch + 1
        line: dict[str, Any] = {
            "epoch": epoch, "steps": state.step,
            "learning_rate": self.method.learning_rate(self.params, state.epoch),
            "loss": loss / samples, "accuracy": correct / samples, "val_rank1": "", "val_map": "",
        }  # fmt: skip
        if self.held_out is not None and (
            epoch == self.epochs or epoch % self.params.validate_every == 0
        ):
            before = [each["val_map"] for each in state.history if each["val_map"] != ""]
            line |= self.validate(max(before, default=-1.0))
        return line

    def validate(self, best: float) -> dict[str, float]:
        """Metrics on the held-out identities; weights with a higher mAP than `best` are kept."""
        assert self.held_out is not None
        views = self._views(rows_of(self.held_out, self.rank, self.ranks))
        parts = self.method.feature_parts(self.params)
        held, feature = embed_data(
            self.method, self.params, self.network, views, self.mean, self.clips
        )
        labels = held.labels("person"), held.labels("camera")
        feature, person, camera = gathered(self.devices, feature, *labels)
        rank1, mean_ap = mean_metrics(feature, person, camera, self.params.distance, parts)
        if mean_ap > best and self.devices.first:
            save_weights(self.work / "best.safetensors", self.network)
        return {"val_rank1": rank1, "val_map": mean_ap}


def _extent(batches: Sequence[np.ndarray]) -> tuple[int, int]:
    """How many batches, and samples in them."""
    return max(1, len(batches)), sum(map(len, batches))


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
