"""Two encoders, attention over the places of their maps, fusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reid.nn import caffe_weights
from reid.nn.caffenet import (
    CaffeNet,
    even,
    initialize,
    map_sizes,
    near_zero,
)
from reid.papers.multimodal_attention.params import Params, Phase
from reid.papers.multimodal_attention.place_attention import PlaceAttention, joint_of
from reid.papers.pretraining import start_of


class MultimodalNetwork(nn.Module):
    """An encoder for each modality with a classifier of its own, attention, fusion, classifier.

    `phase` says what `forward` runs: the encoders alone, or all.
    """

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        self.phase: Phase = "whole" if params.two_phases else "encoders"
        self.joint_normalized = params.joint_normalized
        make = {"side": params.side, "width_scale": params.width_scale, "dropout": params.dropout}
        self.encoders: Any = nn.ModuleDict(
            {m: CaffeNet(classes, **make) for m in params.modalities}
        )
        self.attention: Any = nn.ModuleDict()
        self.attended: Any = nn.ModuleDict()
        self.dropout = nn.Dropout(params.dropout)
        width, sizes = even(4096, params.width_scale), map_sizes(params.side)
        places = {layer: sizes[layer] ** 2 for layer in params.attention_layers}
        for m in params.attending:
            maps = [self.encoders[m].get_submodule(layer) for layer in places]
            self.attention[m] = PlaceAttention(width, places, params.attention)
            self.attended[m] = nn.Linear(width + sum(c.out_channels for c in maps), width)  # X8
        joined = even(params.fused_width, params.width_scale)
        two = len(params.features) == 2
        self.fusion: Any = nn.Linear(2 * width, joined) if two else None  # X9
        self.classifier: Any = None
        if params.two_phases:
            self.classifier = nn.Linear(joined if two else width, classes)
        for part in (self.attended, self.fusion):
            if part is not None:
                initialize(part)
        if self.classifier is not None:
            near_zero(self.classifier)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Pairs (B, 3, 227, 227) to `logits`, (B, classes) each, and `features` by name.

        Of the whole: one prediction; `rgb` and `depth` are X8 (without attention fc7), `fused` is
        X9. Of the encoders alone: a prediction each, `rgb` and `depth` are fc7, `fused` is both.
        """
        seen = {m: encoder.features(batch[m]) for m, encoder in self.encoders.items()}
        features = {m: found.fc7 for m, found in seen.items()}  # (B, 4096) each
        if self.phase == "encoders":
            logits = [self.encoders[m].classify(fc7) for m, fc7 in features.items()]
            return {"logits": logits, "features": {"fused": _joined(features), **features}}
        if self.attention:
            joint = self.joint(seen)
            features = {
                m: self._attended(m, seen[m].fc7, attention(joint, seen[m].maps))
                for m, attention in self.attention.items()
            }
        fused = _joined(features)  # (B, 8192); of one modality that one's
        if self.fusion is not None:
            fused = self.fusion(self.dropout(fused)).relu()  # X9 (B, 4096)
        logits = [self.classifier(self.dropout(fused))]
        return {"logits": logits, "features": {"fused": fused, **features}}

    def joint(self, seen: Mapping[str, Any]) -> Tensor:
        """g (B, 4096), what both encoders see."""
        return joint_of(seen["rgb"].fc6, seen["depth"].fc6, normalized=self.joint_normalized)

    def _attended(self, modality: str, fc7: Tensor, places: Tensor) -> Tensor:
        """X8 (B, 4096) of fc7 and of what attention sees in the maps, (B, 640)."""
        return self.attended[modality](torch.cat([self.dropout(fc7), places], 1)).relu()


def _joined(features: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([*features.values()], 1)


def attention_maps(
    network: MultimodalNetwork, batch: dict[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """The weights of figure 4 by modality and layer, (B, 13, 13) each, from a normalised batch.

    A map's weights have the sum one. Empty where nothing attends. `network` is in eval mode.
    """
    if not network.attention:
        return {}
    seen = {m: encoder.features(batch[m]) for m, encoder in network.encoders.items()}
    joint = network.joint(seen)
    found: dict[str, dict[str, Tensor]] = {}
    for m, attention in network.attention.items():
        weights = attention.weights(joint)
        found[m] = {la: w.unflatten(1, seen[m].maps[la].shape[2:]) for la, w in weights.items()}
    return found


def build(params: Params, classes: int) -> MultimodalNetwork:
    """The network for `classes` persons; both encoders from `params.weights` where it is given."""
    network = MultimodalNetwork(params, classes)
    if start := start_of(params, "multimodal_attention"):
        for encoder in network.encoders.values():
            caffe_weights.load(encoder, Path(start))
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
