"""One feature of a clip from its frames: pooled, weighed, or read in order.

Every module here takes a clip's frames as features (B, T, C) and as the maps (B, T, C, h, w) that
these are the means of, and gives (B, `width`). `width` is C but for `Recurrent`.

Source  average, temporal attention and the recurrent network: Gao and Nevatia, Revisiting temporal
        modeling for video-based person re-identification, arXiv:1805.02104, and its code;
        weighted addition: Kiran et al., arXiv:2008.03788, equations 6 to 8
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.mutual_attention.params import Kind, Reference


def make(
    kind: Kind, channels: int, map_size: tuple[int, int], rnn_width: int = 512,
    reference: Reference = "max", *, normalized: bool = False,
) -> Any:  # fmt: skip
    """One of the modules below, for frames of C = `channels` and maps of (h, w) = `map_size`."""
    if kind == "weighted_addition":
        return WeightedAddition(channels, reference, normalized=normalized)
    if kind == "temporal_attention":
        return TemporalAttention(channels, map_size)
    return Recurrent(channels, rnn_width) if kind == "rnn" else Pool(channels, kind)


class Pool(nn.Module):
    """The frames' average or their maximum, value by value."""

    def __init__(self, channels: int, kind: Literal["average", "max"]) -> None:
        super().__init__()
        self.width, self.kind = channels, kind

    def forward(self, frames: Tensor, maps: Tensor) -> Tensor:
        return frames.mean(1) if self.kind == "average" else frames.amax(1)


class TemporalAttention(nn.Module):
    """The sum of frames, each by a weight from its own map and its neighbours'; weights add to 1.

    A convolution over the whole map gives 256 values a frame, one over three frames a score.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], middle: int = 256) -> None:
        super().__init__()
        self.width = channels
        self.spatial = nn.Conv2d(channels, middle, map_size)
        self.temporal = nn.Conv1d(middle, 1, 3, padding=1)

    def weights(self, maps: Tensor) -> Tensor:
        """(B, T, C, h, w) to (B, T)."""
        each = self.spatial(maps.flatten(0, 1)).relu().flatten(1)  # (B*T, 256)
        sequence = each.unflatten(0, maps.shape[:2]).transpose(1, 2)  # (B, 256, T)
        return self.temporal(sequence).relu()[:, 0].softmax(1)

    def forward(self, frames: Tensor, maps: Tensor) -> Tensor:
        return torch.einsum("bt,btc->bc", self.weights(maps), frames)


class Recurrent(nn.Module):
    """The mean of an LSTM's outputs over the frames."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(channels, width, batch_first=True)

    def forward(self, frames: Tensor, maps: Tensor) -> Tensor:
        return self.lstm(frames)[0].mean(1)


class WeightedAddition(nn.Module):
    """The sum of frames, each by its likeness to a reference of the clip.

        w_t = exp(cos(e(x_t), e(r))),    phi = sum_t w_t x_t              (equations 6 to 8)

    e is two fully connected layers with ReLU between. The reference r is the maximum of each
    feature value over time ("max"), or a frame ("frame"), by default the one whose values have the
    largest sum; several streams have one together.
    Weights are in [1/e, e], so that phi grows with the clip's length, unless they are `normalized`
    to the sum one.
    """

    def __init__(
        self, channels: int, reference: Reference = "max", *, normalized: bool = False
    ) -> None:
        super().__init__()
        self.width, self.reference, self.normalized = channels, reference, normalized
        self.embedding = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels)
        )

    def weights(self, frames: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, C) to (B, T); `at` (B,) are the frames that are references, if frames are."""
        reference = self.embedding(self._reference(frames, at))[:, None]  # (B, 1, C)
        weight = F.cosine_similarity(self.embedding(frames), reference, dim=-1).exp()
        return weight / weight.sum(1, keepdim=True) if self.normalized else weight

    def _reference(self, frames: Tensor, at: Tensor | None) -> Tensor:
        if self.reference == "max":
            return frames.amax(1)
        return frames[torch.arange(len(frames)), strongest([frames]) if at is None else at]

    def forward(self, frames: Tensor, maps: Tensor, at: Tensor | None = None) -> Tensor:
        return torch.einsum("bt,btc->bc", self.weights(frames, at), frames)


def strongest(streams: Sequence[Tensor]) -> Tensor:
    """The frame of each clip with the largest sum over all streams (B, T, C), as (B,)."""
    return torch.stack([frames.sum(-1) for frames in streams]).sum(0).argmax(1)
