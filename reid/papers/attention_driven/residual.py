"""Bottleneck residual units and stages of them, with projection or parameter-free shortcuts.

Source  He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 3.3 (options A
        and B of the shortcut) and figure 5; batch normalisation after each convolution
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.attention_driven.params import Shortcut


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size at stride 1, without bias, and its batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class ParameterFreeShortcut(nn.Module):
    """Average pooling for the stride and zeros for the missing channels."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra = extra  # channels of zeros to append
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, inputs + extra, ceil(H / stride), ceil(W / stride))."""
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.pad(x, (0, 0, 0, 0, 0, self.extra)) if self.extra else x


class Bottleneck(nn.Module):
    """1x1 (with the stride), 3x3, 1x1 convolutions added to the shortcut, then ReLU."""

    def __init__(
        self, inputs: int, outputs: int, middle: int, stride: int = 1,
        shortcut: Shortcut = "projection",
    ) -> None:  # fmt: skip
        super().__init__()
        self.residual = nn.Sequential(
            convolution(inputs, middle, 1, stride),
            nn.ReLU(inplace=True),
            convolution(middle, middle, 3),
            nn.ReLU(inplace=True),
            convolution(middle, outputs, 1),
        )
        self.shortcut = _shortcut(inputs, outputs, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        return F.relu(self.residual(x) + self.shortcut(x), inplace=True)


def _shortcut(inputs: int, outputs: int, stride: int, kind: Shortcut) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    if kind == "projection":
        return convolution(inputs, outputs, 1, stride)
    if outputs < inputs:
        raise ValueError(f"a parameter-free shortcut cannot drop channels: {inputs} to {outputs}")
    return ParameterFreeShortcut(outputs - inputs, stride)


def stage(
    inputs: int, outputs: int, units: int, stride: int = 1, shortcut: Shortcut = "projection"
) -> nn.Sequential:
    """`units` bottlenecks whose middle is half their output; the first has the stride."""
    first = Bottleneck(inputs, outputs, outputs // 2, stride, shortcut)
    rest = (Bottleneck(outputs, outputs, outputs // 2) for _ in range(units - 1))
    return nn.Sequential(first, *rest)
