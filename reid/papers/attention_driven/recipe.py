"""How the network is trained, and what a test compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.samplers import Sampler, Shuffle
from reid.nn import schedules
from reid.papers.attention_driven.attention import IntraAttention
from reid.papers.attention_driven.params import PARTS, Params


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Every image once an epoch; a last batch that is not full is left out."""
    return Shuffle(len(targets), params.batch, seed, drop_last=len(targets) >= params.batch)


def loss(params: Params, output: dict[str, Any], person_index: Tensor) -> dict[str, Tensor]:
    """Cross entropies: lambda times the sum over the five branches, and that of the fused feature.

    `person_index` (B,): 0 to classes - 1. Without a fused prediction the branches' weight is 1.
    """
    each = [F.cross_entropy(logits, person_index) for logits in output["logits"]]
    branches = torch.stack(each[:5]).sum()
    if len(each) == 5:
        return {"loss": branches, "branches": branches.detach()}
    fused = each[5]
    total = params.loss_weight * branches + fused
    return {"loss": total, "branches": branches.detach(), "fused": fused.detach()}


def training_logits(output: dict[str, Any]) -> Tensor:
    """(B, classes): the fused prediction, else the branches' mean log-probability."""
    if len(output["logits"]) > 5:
        return output["logits"][5]
    return torch.stack(output["logits"]).log_softmax(-1).mean(0)


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of a normalised batch, (B, 768) by default; `module` is in eval mode."""
    output = module(batch)
    if params.test_feature in PARTS:
        return output["part"][:, PARTS.index(params.test_feature)]
    if params.test_feature != "fused":
        return output["global" if params.test_feature == "global" else "local"]
    if "fused" in output:  # of one layer
        return output["fused"]
    features = [output["global"], output["local"]]
    if params.normalize_features:
        features = [F.normalize(feature, dim=1) for feature in features]
    return torch.cat(features, 1)


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """SGD; the trainer sets each step's learning rate by `learning_rate`.

    Masks' batch normalisation has no weight decay, which would draw each mask towards 1/2.
    """
    masks = [layer for layer in module.modules() if isinstance(layer, IntraAttention)]
    parts = [layer for m in masks for part in (m.mask, m.norm) for layer in part.modules()]
    norms = [layer for layer in parts if isinstance(layer, nn.BatchNorm2d)]
    free = [parameter for norm in norms for parameter in norm.parameters()]
    ids = {id(parameter) for parameter in free}
    decayed = [parameter for parameter in module.parameters() if id(parameter) not in ids]
    groups: list[dict[str, Any]] = [{"params": decayed}]
    groups += [{"params": free, "weight_decay": 0.0}] if free else []
    return torch.optim.SGD(
        groups, params.learning_rate, params.momentum, weight_decay=params.weight_decay, fused=True
    )


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.learning_rate * schedules.one_cycle(epoch, params.epochs)
    return params.learning_rate * schedules.steps(epoch, params.decay_epochs, params.decay)
