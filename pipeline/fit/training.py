"""The one training loop of all networks for the rendered world: resumable, seeded, averaged.

Source  averages of weights over the last steps: Polyak and Juditsky 1992; the cycle: Smith and
        Topin 2019, its second half a cosine
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.backends.checkpoints import fill_model
from pipeline.engine.plan import ahead
from pipeline.fit.people import Example
from reid.project.errors import ReidError
from reid.project.layout import key_of

KEEP_SECONDS = 60.0  # between two checkpoints: what a stop may cost
SAY_SECONDS = 20.0
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


@dataclass(frozen=True)
class Progress:
    step: int
    steps: int
    loss: float  # mean since the last time
    images_per_second: float


def fit(
    lesson: Lesson[Any, Any],
    recipe: Recipe,
    examples: Sequence[Any],
    folder: Path,
    *,
    device: str,
    start: dict[str, Tensor] | None = None,
    say: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Tensor], bool]:
    """Fit, or go on from the checkpoint in `folder`; the averaged weights and whether it is done.

    `start` are weights to begin with. Set `stop` to end with a checkpoint after the step.
    """
    torch.manual_seed(recipe.seed)
    network = lesson.network(device)
    if start is not None:
        fill_model(network, start, "--start")
    average = copy.deepcopy(network).requires_grad_(False)
    groups, shares = _groups(network, recipe.weight_decay, *lesson.slow)
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    path = folder / f"{lesson.weights}-{key_of([asdict(recipe), len(examples), shapes])[:8]}.pt"
    done = _resume(path, network, average, optimizer, device)
    saved = said = monotonic()
    losses, counted = [], done
    for step, batch in ahead(_batches(lesson, recipe, examples, done)):
        rate = recipe.learning_rate * cycle((step + 0.5) / recipe.steps)
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=recipe.bfloat16):
            loss = lesson.loss(network, batch, device, step / recipe.steps)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        if not math.isfinite(float(norm)):
            raise ReidError(f"fit-backend: step {step}: the loss is no number; lower the rate")
        optimizer.step()
        _follow(average, network, min(AVERAGED, (step + 1) / (step + 10)))
        losses.append(float(loss.detach()))
        done, now = step + 1, monotonic()
        if now - said > SAY_SECONDS or done == recipe.steps:
            rate = (done - counted) * recipe.batch / max(now - said, 1e-6)
            say(Progress(done, recipe.steps, float(np.mean(losses)), rate))
            said, counted, losses = now, done, []
        stopping = stop is not None and stop.is_set()
        if stopping or now - saved > KEEP_SECONDS or done == recipe.steps:
            _keep(path, done, network, average, optimizer)
            saved = now
        if stopping:
            break
    return average.state_dict(), done >= recipe.steps


def cycle(share: float) -> float:
    """The learning rate at a share of the training, of its highest."""
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))


def _batches(
    lesson: Lesson[Any, Any], recipe: Recipe, examples: Sequence[Any], first: int
) -> Iterator[tuple[int, Any]]:
    """Each step's batch, from a generator of its own: a resumed fit gets the same."""
    for step in range(first, recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        chosen = rng.choice(len(examples), recipe.batch, replace=recipe.batch > len(examples))
        yield step, lesson.batch([examples[index] for index in chosen], rng)


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


def _keep(path: Path, step: int, network, average, optimizer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "step": step, "network": network.state_dict(), "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
        },
        temporary,
    )  # fmt: skip
    temporary.replace(path)


def _resume(path: Path, network, average, optimizer, device: str) -> int:
    if not path.is_file():
        return 0
    kept = torch.load(path, map_location=device, weights_only=True)
    network.load_state_dict(kept["network"])
    average.load_state_dict(kept["average"])
    optimizer.load_state_dict(kept["optimizer"])
    return int(kept["step"])
