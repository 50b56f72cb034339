"""How the network is trained, and what a test compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.samplers import Sampler, Shuffle, TwoPhases
from reid.nn import schedules
from reid.papers.multimodal_attention.network import MultimodalNetwork
from reid.papers.multimodal_attention.params import Params


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Every pair once an epoch, 128 and then 32 at a time; full batches alone."""
    count = len(targets)
    first, second = (
        Shuffle(count, batch, seed, drop_last=count >= batch)
        for batch in (params.encoder_batch, params.fusion_batch)
    )
    return TwoPhases(first, params.encoder_epochs, second)


def begin_epoch(
    params: Params, network: MultimodalNetwork, optimizer: torch.optim.Optimizer,
    epoch: int, batches_done: int,
) -> None:  # fmt: skip
    """Set what is trained from here on; the second phase starts without momentum.

    What a phase leaves out has no gradient, and so neither moves nor decays. `batches_done` of the
    epoch is more than 0 where a stopped training goes on.
    """
    network.phase = params.phase(epoch)
    if epoch == params.encoder_epochs and batches_done == 0:
        optimizer.state.clear()


def loss(params: Params, output: dict[str, Any], person_index: Tensor) -> dict[str, Tensor]:
    """Cross entropy of the whole network, or the sum of the encoders' own.

    `person_index` (B,): 0 to classes - 1.
    """
    each = [F.cross_entropy(logits, person_index) for logits in output["logits"]]
    return {"loss": torch.stack(each).sum()}


def training_logits(output: dict[str, Any]) -> Tensor:
    """(B, classes): the prediction, or the encoders' mean log-probability."""
    return torch.stack(output["logits"]).log_softmax(-1).mean(0)


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of a normalised batch, (B, 4096); `module` is in eval mode."""
    return module(batch)["features"][params.test_feature]


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """SGD; the trainer sets each step's learning rate by `learning_rate`."""
    return torch.optim.SGD(
        module.parameters(), params.encoder_learning_rate, params.momentum,
        weight_decay=params.weight_decay, fused=True,
    )  # fmt: skip


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`; each phase has its own."""
    if params.phase(epoch) == "encoders":
        rate, epochs = params.encoder_learning_rate, params.encoder_epochs
    else:
        rate, epochs = params.fusion_learning_rate, params.fusion_epochs
        epoch = epoch - params.encoder_epochs
    if params.schedule == "one_cycle":
        return rate * schedules.one_cycle(epoch, epochs)
    return rate * schedules.steps(epoch, 1, params.decay)
