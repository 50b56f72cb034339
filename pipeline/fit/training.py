"""Fits the networks for the rendered world with the one training loop: seeded, averaged.

Source  averages of weights over the last steps: Polyak and Juditsky 1992; the cycle: Smith and
        Topin 2019, its second half a cosine
"""

from __future__ import annotations

import copy
import logging
import math
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.backends.checkpoints import fill_model
from pipeline.engine.plan import ahead
from pipeline.fit.people import Example
from reid.project.layout import key_of
from reid.training.checkpoint import Part, State
from reid.training.devices import Devices, launched
from reid.training.loop import Loop, Stopped

LOG = logging.getLogger(__name__)
KEEP_MINUTES = 1.0  # between two checkpoints: what a kill may cost
WARM_UP = 0.03  # of the steps
AVERAGED = 0.999  # of the averaged weights stay in a step; fewer at the beginning


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a network is fitted."""

    steps: int
    batch: int
    learning_rate: float  # the highest
    weight_decay: float = 0.01
    clip: float = 5.0  # norm of the gradient
    bfloat16: bool = True  # in the convolutions
    seed: int = 0


Kept = TypeVar("Kept")  # what a lesson keeps of an example
Drawn = TypeVar("Drawn")  # a batch of it


@dataclass(frozen=True)
class Lesson(Generic[Kept, Drawn]):
    """What one network is fitted to, and how; `masks`, `joints`, `crops` and `flow` have one."""

    weights: str  # the name of its file in pipeline/backends/world_weights
    sheets: Mapping[str, int]  # how many sheets of which view of `people`
    defaults: Recipe  # of a full fit
    examples: Callable[[Sequence[Example]], list[Kept]]  # what it keeps of a sheet
    network: Callable[[str], nn.Module]  # the library's on a device, untrained, in training mode
    batch: Callable[[Sequence[Kept], np.random.Generator], Drawn]  # CPU tensors, changed at random
    loss: Callable[[Any, Drawn, str, float], Tensor]  # network, batch, device, share of the fit
    slow: tuple[str, float] = ("", 1.0)  # a part's name, and its share of the learning rate


class FitTask:
    """A lesson's network, its average, and the steps of a recipe as one epoch."""

    epochs = check_every = 1

    def __init__(
        self, lesson: Lesson[Any, Any], recipe: Recipe, examples: Sequence[Any], devices: Devices,
        start: dict[str, Tensor] | None,
    ):  # fmt: skip
        self.lesson, self.recipe, self.examples = lesson, recipe, examples
        self.devices, self.device = devices, devices.device.type
        self.title = f"fit-backend {lesson.weights}"
        torch.manual_seed(recipe.seed)
        self.network = lesson.network(self.device)
        if start is not None:
            fill_model(self.network, start, "--start")
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        groups, self.shares = _groups(self.network, recipe.weight_decay, *lesson.slow)
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        self.parts: Mapping[str, Part] = {
            "network": self.network, "average": self.average, "optimizer": self.optimizer
        }  # fmt: skip
        self.per_epoch = recipe.steps, recipe.steps * recipe.batch

    @property
    def key(self) -> str:
        """A name for the recipe, the number of examples and the network's shapes."""
        shapes = {name: list(value.shape) for name, value in self.network.state_dict().items()}
        return key_of([asdict(self.recipe), len(self.examples), shapes])[:8]

    def batches(self, state: State) -> Generator[Any]:
        yield from ahead(_batches(self.lesson, self.recipe, self.examples, state.batch))

    def step(self, batch: Any, state: State) -> Tensor:
        """One update; returns the (1,) loss on the device, nan where its gradient has no norm."""
        recipe, network, step = self.recipe, self.network, state.step
        rate = recipe.learning_rate * cycle((step + 0.5) / recipe.steps)
        for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.zero_grad(set_to_none=True)
        with self.devices.autocast():
            loss = self.lesson.loss(network, batch, self.device, step / recipe.steps)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        self.optimizer.step()
        _follow(self.average, network, min(AVERAGED, (step + 1) / (step + 10)))
        return torch.where(norm.isfinite(), loss.detach(), torch.nan).double().reshape(1)

    def end_epoch(self, state: State) -> dict[str, Any]:
        return {"steps": state.step, "loss": state.sums[0] / state.step}


def fit(
    lesson: Lesson[Any, Any],
    recipe: Recipe,
    examples: Sequence[Any],
    folder: Path,
    *,
    device: str,
    code: str = "",
    start: dict[str, Tensor] | None = None,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Tensor], bool]:
    """Fit, or go on from the checkpoint in `folder`; the averaged weights and whether it is done.

    A checkpoint of other `code` is not gone on with. `start` are weights to begin with. Set `stop`
    to end with a checkpoint after the step.
    """
    devices = launched(device, "bf16-mixed" if recipe.bfloat16 else "32-true")
    task = FitTask(lesson, recipe, examples, devices, start)
    path = folder / f"{lesson.weights}-{task.key}{code[:8]}.pt"
    loop = Loop(task, path, LOG, every_minutes=KEEP_MINUTES, stop=stop or threading.Event())
    try:
        loop.run()
    except Stopped as stopped:
        LOG.info("%s", stopped)
    return task.average.state_dict(), loop.state.step >= recipe.steps


def cycle(share: float) -> float:
    """The learning rate at a share of the training, of its highest."""
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))


def _batches(
    lesson: Lesson[Any, Any], recipe: Recipe, examples: Sequence[Any], first: int
) -> Iterator[Any]:
    """Each step's batch, from a generator of its own: a resumed fit gets the same."""
    for step in range(first, recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        chosen = rng.choice(len(examples), recipe.batch, replace=recipe.batch > len(examples))
        yield lesson.batch([examples[index] for index in chosen], rng)


def _groups(
    network: nn.Module, weight_decay: float, slow: str, share: float
) -> tuple[list[dict[str, Any]], list[float]]:
    """The optimizer's groups, and each one's share of the learning rate: the `slow` part has less.

    Biases and norms are not decayed.
    """
    parts: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            kind = bool(slow) and name.startswith(f"{slow}."), parameter.ndim <= 1
            parts.setdefault(kind, []).append(parameter)
    kinds = sorted(parts)
    return (
        [{"params": parts[k], "weight_decay": 0.0 if k[1] else weight_decay} for k in kinds],
        [share if is_slow else 1.0 for is_slow, _ in kinds],
    )


def _follow(average: nn.Module, network: nn.Module, stays: float) -> None:
    with torch.no_grad():
        ours, theirs = average.state_dict(), network.state_dict()
        for name, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - stays)
            else:
                value.copy_(theirs[name])
