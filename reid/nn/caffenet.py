"""BVLC CaffeNet: five convolutions, in two groups where AlexNet had two cards, and three FC layers.

Source  the BVLC reference CaffeNet as published with Caffe: a variant of Krizhevsky et al., NIPS
        2012, that pools before it normalises. torchvision's `alexnet` is another network: other
        channels, no groups, no normalisation.

Its input has the channels B, G, R, pixels from 0 to 255 less `MEAN_BGR`, and no other scale.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN_BGR = (104.0, 117.0, 123.0)  # ImageNet's
SIDE = 227  # pixels of the square input
LAYERS: tuple[str, ...] = ("conv1", "conv2", "conv3", "conv4", "conv5")


class Features(NamedTuple):
    """CaffeNet's maps and FC features, all after ReLU and before pooling or dropout."""

    maps: dict[str, Tensor]  # by layer, (B, C, h, w): 55x55, 27x27 and thrice 13x13 of 227x227
    fc6: Tensor  # (B, 4096)
    fc7: Tensor  # (B, 4096)


class LocalResponseNorm(nn.Module):
    """Each value over (1 + alpha times the mean square of 5 neighbouring channels) ^ 0.75."""

    size, alpha = 5, 1e-4

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, in any memory format; computed in float32 at least."""
        channels, reach = x.shape[1], self.size // 2
        square = x.to(torch.promote_types(x.dtype, torch.float32)).square()
        square = F.pad(square, (0, 0, 0, 0, reach, reach))
        total = torch.stack([square[:, i : i + channels] for i in range(self.size)]).sum(0)
        root = (1 + self.alpha / self.size * total).rsqrt()  # y ^ -1/2
        return x * (root * root.sqrt()).to(x.dtype)


class CaffeNet(nn.Module):
    """CaffeNet for square images of `side` pixels, with `outputs` classes; 0: no classifier.

    Every layer has `width_scale` times as many channels or values, rounded to an even number. Sizes
    in comments are those of the published network.
    """

    def __init__(
        self, outputs: int, side: int = SIDE, width_scale: float = 1.0, dropout: float = 0.5
    ) -> None:
        super().__init__()
        c96, c256, c384, c4096 = (even(count, width_scale) for count in (96, 256, 384, 4096))
        self.conv1 = nn.Conv2d(3, c96, 11, 4)
        self.conv2 = nn.Conv2d(c96, c256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(c256, c384, 3, padding=1)
        self.conv4 = nn.Conv2d(c384, c384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(c384, c256, 3, padding=1, groups=2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)  # Caffe rounds sizes of pooling up
        self.norm = LocalResponseNorm()
        self.fc6 = nn.Linear(c256 * map_sizes(side)["pool5"] ** 2, c4096)
        self.fc7 = nn.Linear(c4096, c4096)
        self.fc8: Any = nn.Linear(c4096, outputs) if outputs else None
        self.dropout = nn.Dropout(dropout)
        initialize(self)
        if self.fc8 is not None:
            near_zero(self.fc8)

    def features(self, image: Tensor) -> Features:
        """(B, 3, side, side) to the five maps and the two FC features."""
        conv1 = self.conv1(image).relu()  # (B, 96, 55, 55)
        conv2 = self.conv2(self.norm(self.pool(conv1))).relu()  # (B, 256, 27, 27)
        conv3 = self.conv3(self.norm(self.pool(conv2))).relu()  # (B, 384, 13, 13)
        conv4 = self.conv4(conv3).relu()  # (B, 384, 13, 13)
        conv5 = self.conv5(conv4).relu()  # (B, 256, 13, 13)
        fc6 = self.fc6(self.pool(conv5).flatten(1)).relu()  # from (B, 256, 6, 6)
        fc7 = self.fc7(self.dropout(fc6)).relu()
        maps = dict(zip(LAYERS, (conv1, conv2, conv3, conv4, conv5), strict=True))
        return Features(maps, fc6, fc7)

    def classify(self, fc7: Tensor) -> Tensor:
        """(B, 4096) to predictions (B, outputs)."""
        if self.fc8 is None:
            raise ValueError("this CaffeNet was made without outputs")
        return self.fc8(self.dropout(fc7))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, side, side) to predictions (B, outputs), or to fc7 where there are no outputs."""
        fc7 = self.features(image).fc7
        return fc7 if self.fc8 is None else self.classify(fc7)


def map_sizes(side: int) -> dict[str, int]:
    """Height, which is also width, of each convolution's map and of what fc6 sees (pool5)."""
    conv1 = (side - 11) // 4 + 1
    conv2, conv5 = conv1 // 2, conv1 // 2 // 2  # half, rounded up from 3x3 windows at stride 2
    return {
        "conv1": conv1, "conv2": conv2, "conv3": conv5, "conv4": conv5, "conv5": conv5,
        "pool5": conv5 // 2,
    }  # fmt: skip


def even(count: int, width_scale: float) -> int:
    """`count` at this width: an even number, as two groups share it."""
    return 2 * max(1, round(count * width_scale / 2))


def initialize(module: nn.Module) -> None:
    """Start from scratch: He et al.'s normal weights for layers before a ReLU, no biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def near_zero(layer: nn.Linear) -> None:
    """Start a layer before a softmax, as Caffe does: standard deviation 0.01, no bias."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
