"""Parameters of a tiny network of each paper, and rows that any of them reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from reid.arrays.poses import strips

RESNET = {"backbone": "resnet18", "channels": (8, 8, 8, 8), "weights": ""}
TINY: dict[str, dict[str, Any]] = {
    "attention_driven": {
        "model": "inter", "height": 32, "width": 32, "part_height": 16, "part_width": 32,
        "width_scale": 0.25,
    },
    "implicit_attention": {**RESNET, "height": 32, "width": 32, "side": 32},
    "strong_baseline": {**RESNET, "height": 48, "width": 32},
    "multimodal_attention": {"resized": 84, "side": 75, "width_scale": 0.03125},
    "mutual_attention": {**RESNET, "height": 48, "width": 32, "sequence_length": 2},
    "attentive_convlstm": {
        "channels": (4, 4, 4), "filters": 4, "feature": 8, "height": 24, "width": 16, "crop": 4,
        "length": 3, "test_length": 6, "test_crops": 2,
    },
}  # fmt: skip


def rows(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Rows of noise with all that any paper reads."""

    def image() -> np.ndarray:
        return random.integers(0, 256, (64, 32, 3), dtype=np.uint8)

    parts = strips(np.array([64]), np.array([32]))[0]
    return [
        {"image_id": str(i), "image": image(), "jet": image(), "parts": parts,
         "flow": random.normal(0, 2, (64, 32, 2)).astype(np.float32)}
        for i in range(count)
    ]  # fmt: skip


def shaken(network: nn.Module) -> nn.Module:
    """The network with random normalisation layers, of which some begin at zero."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, 0.0, 0.5)
    return network
