"""Frame networks of two streams, attention between them, a clip's feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reid.papers.mutual_attention.aggregation import (
    TemporalAttention,
    WeightedAddition,
    make,
    strongest,
)
from reid.papers.mutual_attention.params import Params
from reid.papers.mutual_attention.two_stream import LAYERS, Gate, MutualAttention, Stream
from reid.papers.pretraining import start_of


class VideoNetwork(nn.Module):
    """Frame networks, attention between or into them, a clip's feature, and a classifier."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        start_of(params, "mutual_attention")  # checked
        streams = {name: Stream(**params.trunk(name)) for name in params.streams}
        self.streams: Any = nn.ModuleDict(streams)
        image = streams["image"]
        mutual, gated = params.model == "mutual", params.model == "gated"
        self.attention = MutualAttention(image.cut_width) if mutual else None
        gate = params.flow_channels, params.gate_channels, params.gate_weights
        self.gate = Gate(*gate) if gated else None
        self.even = params.attention == "even"
        size = image.map_size(params.height, params.width)
        how = params.aggregation, image.width, size, params.rnn_width, params.reference
        found = {name: make(*how, normalized=params.weighted_normalized) for name in streams}
        self.aggregate: Any = nn.ModuleDict(found)
        width = sum(each.width for each in found.values())
        self.join = nn.Linear(width, image.width) if len(streams) > 1 else None
        if self.join is not None and params.join_start == "image":
            pass_first(self.join, found["image"].width)
        self.classifier = nn.Linear(image.width if self.join else width, classes)

    def maps(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
        """The last maps (B, T, C, h, w) of each stream; attention (B, T, 1, h, w), or None."""
        frames = {name: view.flatten(0, 1) for name, view in batch.items()}  # (B*T, c, H, W)
        middle = {name: s.before(frames[name]) for name, s in self.streams.items()}
        weight = None
        if self.attention is not None:
            weight = self.attention(middle["image"], middle["flow"])
        elif self.gate is not None:
            weight = self.gate(frames["flow"], middle["image"].shape[-2:])
        if weight is not None and self.even:
            weight = weight.mean((-2, -1), keepdim=True).expand_as(weight)
        if weight is not None:
            middle = {name: x * weight for name, x in middle.items()}
        shape = batch["image"].shape[:2]
        last = {n: s.after(middle[n]).unflatten(0, shape) for n, s in self.streams.items()}
        return last, None if weight is None else weight.unflatten(0, shape)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Clips (B, T, 3, h, w) to `feature` (B, 2048) and `logits` (B, classes)."""
        maps, _ = self.maps(batch)
        frames = {name: view.mean((-2, -1)) for name, view in maps.items()}
        at = strongest([*frames.values()])  # of all streams together
        each = [
            add(frames[n], maps[n], at)
            if isinstance(add, WeightedAddition)
            else add(frames[n], maps[n])
            for n, add in self.aggregate.items()
        ]
        feature = each[0] if self.join is None else self.join(torch.cat(each, 1))  # [phi; f]
        return {"feature": feature, "logits": self.classifier(feature)}


@torch.no_grad()
def pass_first(layer: nn.Linear, width: int) -> None:
    """Let a layer give the first `width` of its inputs as they are, and nothing of the others.

    Where it has fewer outputs than that (an LSTM wider than the images' feature), so many of them.
    """
    nn.init.zeros_(layer.weight)
    nn.init.eye_(layer.weight[:, :width])
    nn.init.zeros_(layer.bias)


def build(params: Params, classes: int) -> VideoNetwork:
    """The network for `classes` persons; both streams from `params.weights` where it is given."""
    module = VideoNetwork(params, classes).train()
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@torch.no_grad()
def attention_maps(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """M, or what the gate opens, of each frame of a normalised batch, (B, T, h, w); {} without.

    The flow's maps have the image's M. `network` is in eval mode, here and below.
    """
    weights = network.maps(batch)[1]
    if weights is None:
        return {}
    layer = 2 + LAYERS.index(network.streams["image"].first[-1])
    return {"image": {f"layer {layer}": weights[:, :, 0]}}


@torch.no_grad()
def activations(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each stream's last maps, mean over channels, (B, T, h, w): figure 5."""
    return {name: last.mean(2) for name, last in network.maps(batch)[0].items()}


@torch.no_grad()
def frame_weights(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the frames in each stream's feature of a clip, (B, T), where they have one."""
    found, maps_of = {}, network.maps(batch)[0]
    at = strongest([maps.mean((-2, -1)) for maps in maps_of.values()])
    for name, maps in maps_of.items():
        each = network.aggregate[name]
        if isinstance(each, WeightedAddition):
            found[name] = each.weights(maps.mean((-2, -1)), at)
        elif isinstance(each, TemporalAttention):
            found[name] = each.weights(maps)
    return found
