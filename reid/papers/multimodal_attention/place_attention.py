"""Attention over the places of two modalities' maps, from what both of their encoders see.

Source  Lejbolle et al., Attention in multimodal neural networks for person re-identification,
        CVPR Workshops 2018: equations 2 to 5
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reid.nn.caffenet import near_zero
from reid.papers.multimodal_attention.params import Attention


def joint_of(rgb: Tensor, depth: Tensor, *, normalized: bool = False) -> Tensor:
    """g of equation 2: the product of both fc6, (B, 4096) each; or that with mean square one."""
    joint = rgb * depth
    if not normalized:
        return joint
    return joint / joint.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


class PlaceAttention(nn.Module):
    """A weight for each place of one modality's maps, from what both encoders see.

    g = X6_rgb * X6_depth;  e^l = W^l g + b^l;  alpha^l = softmax(e^l);
    X_A^l = sum over places i of alpha^l_i X^l_i                               (equations 2 to 5)

    "even" attention scores nothing: each place weighs the same, and X_A is the maps' mean.
    """

    def __init__(
        self, width: int, places: Mapping[str, int], attention: Attention = "learned"
    ) -> None:
        super().__init__()
        self.places = dict(places)
        scored = places if attention == "learned" else {}
        self.score: Any = nn.ModuleDict({la: nn.Linear(width, n) for la, n in scored.items()})
        for layer in self.score.values():
            near_zero(layer)

    def weights(self, joint: Tensor) -> dict[str, Tensor]:
        """g (B, 4096) to alpha of each layer, (B, 169), whose sum is one."""
        if not self.score:
            return {la: joint.new_full((len(joint), n), 1 / n) for la, n in self.places.items()}
        return {layer: score(joint).softmax(1) for layer, score in self.score.items()}

    def forward(self, joint: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        """g and maps (B, C, 13, 13) to the layers' X_A side by side, (B, 384 + 256)."""
        seen = [
            torch.einsum("bp,bcp->bc", weight, maps[layer].flatten(2))
            for layer, weight in self.weights(joint).items()
        ]
        return torch.cat(seen, 1)
