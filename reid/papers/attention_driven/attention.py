"""Attention inside a block of a network, and between the features of a person's parts.

Source  Yang et al., Attention driven person re-identification, Pattern Recognition 2019
        (arXiv:1810.05866), intra-attention and inter-attention
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.attention_driven.params import Mask
from reid.papers.attention_driven.residual import Bottleneck


def apply_mask(feature: Tensor, mask: Tensor, kind: Mask) -> Tensor:
    """Weigh (B, C, H, W) features: (1 + m) * a ("residual", eq. 7) or m * a ("plain", eq. 5)."""
    return torch.addcmul(feature, mask, feature) if kind == "residual" else mask * feature


class IntraAttention(nn.Module):
    """A mask in (0, 1) for each value of a block's output, from the block's input.

    A residual unit brings the input to the output's channels and size; then `levels` times a 2x2
    max-pooling and a unit, and as often a unit, a bilinear up-sampling and the sum with the
    feature of that size on the way down. The result is a mask by itself, or is decomposed into
    one weight per place and one per channel, whose product makes the mask.

    `norm` is batch normalisation of the mask's convolutions, as the attention of Li et al.
    (Harmonious attention network, CVPR 2018) and of Wang et al. (Residual attention network, CVPR
    2017) has it. Without it their product grows until each sigmoid is saturated, and no mask
    learns. `even` masks have in each place the mean over places: channels are weighed, places not.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, levels: int, decomposition: bool = True,
        norm: bool = True, even: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.even = even
        self.entry = _unit(inputs, outputs, stride)
        self.down = nn.ModuleList(_unit(outputs, outputs) for _ in range(levels))
        self.up = nn.ModuleList(_unit(outputs, outputs) for _ in range(levels))
        one = nn.Conv2d(outputs, outputs, 1)
        self.mask = Decomposition(outputs, norm) if decomposition else one
        self.norm = _norm(outputs, norm)

    def start(self) -> None:
        """Begin with small weights, or without `norm` with a mask of 1/2 everywhere.

        Weights that suit a ReLU would saturate a sigmoid from the first step on.
        """
        for layer in self.mask.modules():
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()
        if isinstance(self.norm, nn.Identity):
            last = self.mask.mix if isinstance(self.mask, Decomposition) else self.mask
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to the mask (B, outputs, ceil(H / stride), ceil(W / stride))."""
        x = self.entry(x)
        finer = []
        for unit in self.down:
            finer.append(x)
            x = unit(F.max_pool2d(x, 2, ceil_mode=True))  # an odd last row or column is kept
        for unit in self.up:
            same_size = finer.pop()
            x = F.interpolate(unit(x), size=same_size.shape[2:], mode="bilinear") + same_size
        mask = self.norm(self.mask(x)).sigmoid()
        return mask.mean((2, 3), keepdim=True).expand_as(mask) if self.even else mask


def _unit(inputs: int, outputs: int, stride: int = 1) -> Bottleneck:
    return Bottleneck(inputs, outputs, outputs // 4, stride, "parameter_free")


def _norm(channels: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm else nn.Identity()


class Decomposition(nn.Module):
    """A weight per place times a weight per channel, mixed by a 1x1 convolution."""

    def __init__(self, channels: int, norm: bool = True) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, 1, 3, padding=1)
        self.channel = nn.Conv2d(channels, channels, 1)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.norm_spatial = _norm(1, norm)
        self.norm_channel = _norm(channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W), before the sigmoid."""
        place = self.norm_spatial(self.spatial(x))  # (B, 1, H, W)
        channel = self.norm_channel(self.channel(x.mean((2, 3), keepdim=True)))  # (B, C, 1, 1)
        return self.mix(place * channel)


class AttentiveBlock(nn.Module):
    """A stage whose output is weighed by the mask of its intra-attention."""

    def __init__(self, stage: nn.Module, attention: IntraAttention, kind: Mask) -> None:
        super().__init__()
        self.stage = stage
        self.attention = attention
        self.kind: Mask = kind

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to what the stage gives, weighed."""
        return apply_mask(self.stage(x), self.attention(x), self.kind)


class InterAttention(nn.Module):
    """Each part's feature times 1 + its own importance, a number in (0, 1) (eq. 8)."""

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(parts, width))
        self.bias = nn.Parameter(torch.zeros(parts))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)

    def importance(self, feature: Tensor) -> Tensor:
        """(B, parts, width) to mu (B, parts) = sigmoid(w_i . E_i + b_i)."""
        return ((feature * self.weight).sum(-1) + self.bias).sigmoid()

    def forward(self, feature: Tensor) -> Tensor:
        """(B, parts, width) to the same shape, (1 + mu_i) E_i."""
        return feature * (1 + self.importance(feature)[..., None])
