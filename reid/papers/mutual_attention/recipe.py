"""How the network is trained, and what a test compares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from reid.data.samplers import IdentityBatches, Sampler
from reid.nn import losses, schedules
from reid.papers.mutual_attention.params import Params


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Each identity once an epoch with 4 tracklets; 8 identities a batch, full batches alone."""
    return IdentityBatches(targets, params.identities, params.tracklets, seed, "uniform")


def together(params: Params) -> int:
    """The tracklets of a person in a batch stay on one device."""
    return params.tracklets


def loss(params: Params, output: dict[str, Tensor], person_index: Tensor) -> dict[str, Tensor]:
    """Smoothed cross entropy and hard triplets of the clips' features.

    `person_index` (B,): 0 to classes - 1.
    """
    identity = losses.cross_entropy(output["logits"], person_index, params.label_smoothing)
    triplet = losses.batch_hard_triplet(output["feature"], person_index, params.margin)
    return {"loss": identity + triplet, "identity": identity.detach(), "triplet": triplet.detach()}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    """(B, classes)."""
    return output["logits"]


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of normalised clips, (B, 2048); `module` is in eval mode."""
    return module(batch)["feature"]


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """Adam; the trainer sets each step's learning rate by `learning_rate`."""
    return torch.optim.Adam(
        module.parameters(), params.rate, weight_decay=params.weight_decay, fused=True
    )


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.rate * schedules.one_cycle(epoch, params.epochs)
    return params.rate * schedules.steps(epoch, params.decay_epochs, params.decay)
