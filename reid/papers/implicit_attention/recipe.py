"""How the network is trained, and what a test compares."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.samplers import IdentityBatches, Sampler, Shuffle
from reid.nn import losses, schedules
from reid.papers.implicit_attention.params import Params
from reid.project.errors import ReidError

WARM_UP = {"triplet": 10, "softmax": 5}  # epochs
MILESTONES = {"triplet": (40, 70), "softmax": (30, 55)}  # numbers of epochs, the first is 1


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Triplet: 16 identities with 4 images each. Softmax: every image once an epoch."""
    if params.configuration == "softmax":
        whole = len(targets) >= params.batch
        return Shuffle(len(targets), params.batch, seed, drop_last=whole)
    identities, rest = divmod(params.batch, params.images)
    if rest:
        raise ReidError(f"batch: {params.batch} is no multiple of {params.images} images a person")
    return IdentityBatches(targets, identities, params.images, seed)


def together(params: Params) -> int:
    """The images of a person in a batch of triplets stay on one device."""
    return params.images if params.configuration == "triplet" else 1


def loss(params: Params, output: dict[str, Tensor], person_index: Tensor) -> dict[str, Tensor]:
    """Smoothed cross entropy after, and hard triplets before the normalisation; or cross entropy.

    `person_index` (B,): 0 to classes - 1.
    """
    if params.configuration == "softmax":
        return {"loss": losses.cross_entropy(output["logits"], person_index)}
    identity = losses.cross_entropy(output["logits"], person_index, params.label_smoothing)
    triplet = losses.batch_hard_triplet(output["before"], person_index, params.margin)
    return {"loss": identity + triplet, "identity": identity.detach(), "triplet": triplet.detach()}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    """(B, classes)."""
    return output["logits"]


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of a normalised batch, (B, 2048); `module` is in eval mode."""
    feature = module(batch)["after" if params.test_feature == "after_norm" else "before"]
    return F.normalize(feature, dim=1) if params.normalize_features else feature


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """Adam; the trainer sets each step's learning rate by `learning_rate`."""
    learnt = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(
        learnt, params.learning_rate, weight_decay=params.weight_decay, fused=True
    )


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.learning_rate * schedules.one_cycle(epoch, params.epochs)
    warm_up = WARM_UP[params.configuration] if params.warm_up is None else params.warm_up
    milestones = (
        MILESTONES[params.configuration] if params.milestones is None else params.milestones
    )
    return params.learning_rate * schedules.warm_up_and_steps(
        epoch, warm_up, params.warm_up_start, milestones, params.decay
    )
