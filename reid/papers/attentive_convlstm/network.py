"""The network of a clip: convolutions for each frame, attention over their maps, a feature."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.attentive_convlstm.convlstm import AttentiveConvLSTM
from reid.papers.attentive_convlstm.frame_cnn import (
    FrameCNN,
    cut,
    map_sizes,
    on_pixels,
)
from reid.papers.attentive_convlstm.params import Params
from reid.papers.attentive_convlstm.samples import central


class VideoNetwork(nn.Module):
    """Three convolutions for each frame, attention over their maps, a feature, its average."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        self.params = params
        self.cnn = FrameCNN(params.channels)
        self.attention: Any = None
        maps = params.channels[-1]
        if params.attention_filters:
            self.attention = AttentiveConvLSTM(
                maps, params.filters, params.attention_filters, params.steps,
                params.attention_over, params.filters_are, params.attention_total,
                params.attention,
            )  # fmt: skip
            maps = params.filters
        height, width = map_sizes(*params.size)[-1]
        self.dropout = nn.Dropout(params.dropout)
        self.linear = nn.Linear(maps * height * width, params.feature)
        self.recurrent: Any = None
        if params.recurrent:
            self.recurrent = nn.Linear(params.feature, params.feature)
        self.classifier = nn.Linear(params.feature, classes)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (B, T, 5, 56, 40) to `feature` (B, 128) of length 1, `logits` (B, classes)."""
        maps = self.maps(batch["image"])  # (B, T, 32, 10, 8)
        share = None
        if self.attention is not None:
            attended = self.attention(maps)
            maps = attended.maps
            share = attended.share if self.attention.over == "frame" else None
        found = self.linear(self.dropout(maps.flatten(2)))  # (B, T, 128)
        if self.recurrent is not None:
            found = self._recur(found)
        mean = found.mean(1) if share is None else (share[..., None] * found).sum(1)
        feature = F.normalize(mean, dim=1)
        return {"feature": feature, "logits": self.classifier(feature)}

    def maps(self, frames: Tensor) -> Tensor:
        """(B, T, 5, 56, 40) to the last convolution's maps, (B, T, 32, 10, 8)."""
        return self.cnn(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def _recur(self, found: Tensor) -> Tensor:
        """o_t = x_t + W dropout(tanh(o_{t-1})) of (B, T, 128), from o_1 = x_1."""
        outputs = [found[:, 0]]
        for x in found.unbind(1)[1:]:
            outputs.append(x + self.recurrent(self.dropout(outputs[-1].tanh())))
        return torch.stack(outputs, 1)


def place_weights(network: VideoNetwork, batch: dict[str, Tensor]) -> Tensor:
    """The last step's weights of a clip's places, (B, T, 10, 8), sum one; of several maps the mean.

    `batch` has whole, normalised frames; their central crops are looked at. `network` attends, and
    is in eval mode.
    """
    params, frames = network.params, batch["image"]
    window = torch.tensor([(*central(params), 0)] * len(frames))
    found = network.attention(network.maps(cut(frames, window, params.size)))
    weights = found.weights.mean(1)
    return weights * found.share[..., None, None] if params.attention_over == "frame" else weights


def attention_maps(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """`place_weights` at the pixels of whole frames, (B, T, 64, 48); {} where nothing attends."""
    if network.attention is None:
        return {}
    params, weights = network.params, place_weights(network, batch)
    found = on_pixels(weights, (params.height, params.width), central(params))
    return {"image": {"attention": found}}


def build(params: Params, classes: int) -> VideoNetwork:
    """The network for `classes` persons."""
    return VideoNetwork(params, classes)
