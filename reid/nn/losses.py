"""Losses that several papers share: one function, one equation each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from reid.project.errors import ReidError


def cross_entropy(logits: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy with smoothed labels, mean over the batch.

        L = -sum_k q_k log p_k,   q_k = (1 - smoothing) [k = label] + smoothing / K

    so the label's own class gets its part of the evenly spread share, too. `logits` (B, K), `label`
    (B,) from 0 to K - 1, `smoothing` 0 to 1. Source: Szegedy et al., CVPR 2016, section 7; the
    strong baseline (Luo et al., CVPRW 2019) takes 0.1.
    """
    return functional.cross_entropy(logits, label, label_smoothing=smoothing)


def batch_hard_triplet(embedding: Tensor, person: Tensor, margin: float | None = 0.3) -> Tensor:
    """Each anchor's farthest positive against its nearest negative, mean over the anchors.

        L_a = max(0, margin + max_p d(a, p) - min_n d(a, n))
        L_a = log(1 + exp(max_p d(a, p) - min_n d(a, n)))       with `margin` None (soft margin)

    d is the Euclidean distance, not squared; `margin` is in its unit. `embedding` (B, D), `person`
    (B,): at least two persons, each at least twice (checked on the CPU alone: on a GPU the check
    would wait for the device). Source: Hermans et al., arXiv:1703.07737, equation 5 and "soft
    margin" below it.
    """
    distance = _euclidean(embedding)  # (B, B)
    same = person[:, None] == person[None, :]
    _check(same)
    positive = distance.masked_fill(~same, -torch.inf).amax(1)
    negative = distance.masked_fill(same, torch.inf).amin(1)
    gap = positive - negative  # (B,)
    return (functional.softplus(gap) if margin is None else (gap + margin).relu()).mean()


def _euclidean(embedding: Tensor) -> Tensor:
    """Distances (B, B) by differences: by products, small distances would lose their precision."""
    precise = embedding.to(
        torch.promote_types(embedding.dtype, torch.float32)
    )  # 16 bits are coarse
    return torch.cdist(precise, precise, compute_mode="donot_use_mm_for_euclid_dist")


def _check(same: Tensor) -> None:
    if same.device.type != "cpu":
        return
    times = same.sum(1)
    if (times < 2).any():
        raise ReidError(
            "batch_hard_triplet: a person is alone in the batch; sample at least 2 images each"
        )
    if (times == len(same)).any():
        raise ReidError(
            "batch_hard_triplet: one person fills the batch; sample at least 2 identities"
        )
