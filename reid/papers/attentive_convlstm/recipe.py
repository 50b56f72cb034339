"""How the network is trained, and what a test compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reid.data.samplers import Sampler
from reid.nn import schedules
from reid.nn.losses import cross_entropy
from reid.papers.attentive_convlstm.frame_cnn import (
    cut,
)
from reid.papers.attentive_convlstm.params import Params
from reid.papers.attentive_convlstm.samples import corners
from reid.project.errors import ReidError


class Pairs:
    """Batches [a1, b1, a2, b2, ...] of two different tracklets each: negative, positive, ...

    An epoch has every person once, or in each of several `rounds` once, in a positive pair, two of
    his tracklets, and as many negative pairs: a tracklet of each of two persons, drawn anew each
    time. Persons with one tracklet are in negative pairs alone. The last batch may have fewer.
    """

    def __init__(self, targets: np.ndarray, pairs: int, seed: int, rounds: int = 1):
        self.pairs, self.seed, self.rounds = pairs, seed, rounds
        self.tracklets = [np.flatnonzero(targets == person) for person in np.unique(targets)]
        self.twice = [rows for rows in self.tracklets if len(rows) > 1]
        if len(self.tracklets) < 2 or not self.twice:
            raise ReidError(
                f"sampler: {len(self.tracklets)} persons, {len(self.twice)} with two tracklets of "
                "enough frames; pairs need 2 and 1. Lower `length`, or set short: repeat"
            )

    def __len__(self) -> int:
        return -(-2 * self.rounds * len(self.twice) // self.pairs)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of tracklet numbers."""
        generator = np.random.default_rng([self.seed, epoch])
        drawn: list[np.ndarray] = []
        persons = [generator.permutation(len(self.twice)) for _ in range(self.rounds)]
        for person in np.concatenate(persons):
            others = generator.choice(len(self.tracklets), 2, replace=False)
            drawn.append(np.array([generator.choice(self.tracklets[other]) for other in others]))
            drawn.append(generator.choice(self.twice[person], 2, replace=False))
        starts = range(0, len(drawn), self.pairs)
        return [np.concatenate(drawn[start : start + self.pairs]) for start in starts]


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Pairs of tracklets, negative and positive in turn; twice as many as persons a round."""
    return Pairs(targets, params.pairs, seed, params.rounds)


def together(params: Params) -> int:
    """The clips of a pair stay on one device."""
    return 2


def loss(params: Params, output: dict[str, Tensor], person_index: Tensor) -> dict[str, Tensor]:
    """Hinge of each pair's distance and the cross entropies of both its clips, mean over pairs.

        d                    of a pair of one person
        max(0, margin - d)   of two persons            d = |f_a - f_b|

    `person_index` (2 * pairs,): 0 to classes - 1, a pair's two side by side.
    """
    if len(person_index) % 2:
        raise ReidError(f"a batch of {len(person_index)} clips is not made of pairs")
    first, second = output["feature"].unflatten(0, (-1, 2)).unbind(1)  # (pairs, 128) each
    same = person_index[::2] == person_index[1::2]
    distance = torch.linalg.vector_norm(first - second, dim=1)
    hinge = torch.where(same, distance, (params.margin - distance).relu()).mean()
    identity = 2 * cross_entropy(output["logits"], person_index)
    return {"loss": hinge + identity, "hinge": hinge.detach(), "identity": identity.detach()}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    """(B, classes)."""
    return output["logits"]


def windows(params: Params) -> list[tuple[int, int, int]]:
    """Top, left and flip of each crop of a test, along the diagonal."""
    flips = (0, 1) if params.test_flips else (0,)
    return [(c, c, flip) for c in corners(params.crop, params.test_crops) for flip in flips]


def feature_parts(params: Params) -> int:
    """The test feature is so many features, one for each crop, whose distances are summed."""
    return len(windows(params))


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test features of whole, normalised frames, (B, 16 * 128); `module` is in eval mode."""
    frames = batch["image"]  # (B, T, 5, 64, 48)
    each = [torch.tensor([window]).expand(frames.shape[0], -1) for window in windows(params)]
    crops = (cut(frames, window, params.size) for window in each)
    return torch.cat([module({"image": crop})["feature"] for crop in crops], 1)


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """SGD that first limits every value of the gradients; the trainer sets its learning rate."""
    limit = params.gradient_limit

    def clamp(sgd: torch.optim.Optimizer, *_: Any) -> None:
        for parameter in sgd.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.grad.clamp_(-limit, limit)

    found = torch.optim.SGD(module.parameters(), params.learning_rate, params.momentum)
    found.register_step_pre_hook(clamp)  # a state dict does not hold it; nothing else is needed
    return found


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.learning_rate * schedules.one_cycle(epoch, params.epochs)
    return params.learning_rate
