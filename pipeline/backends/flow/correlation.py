"""Correlation of features as flow networks need it, in place of ptlflow's own in Python.

Differs from ptlflow 0.4.2 in how it is computed, to rounding the same: the library samples a copy
of the second features for each displacement as if it lay between pixels, which takes three quarters
of LiteFlowNet's time on a CPU. Here displacements are slices of the padded features. Where the
compiled package spatial_correlation_sampler is installed, ptlflow uses that, and it stays.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

MODULE = "ptlflow.utils.correlation"


class Correlation(nn.Module):
    """Products of two maps (B, C, H, W) at `side` x `side` displacements, summed over channels.

    Displacements are `dilation` cells apart. Of the cells each `stride`th is kept, either way.
    """

    def __init__(self, side: int, stride: int, dilation: int):
        super().__init__()
        self.side, self.stride, self.dilation = side, stride, dilation

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, side, side, h, w), vertical displacement first; zero where it leads outside."""
        stride, dilation = self.stride, self.dilation
        first, second = first.float()[..., ::stride, ::stride], second.float()
        if stride == dilation:  # all that is looked at are cells that are kept
            second, stride, dilation = second[..., ::stride, ::stride], 1, 1
        (height, width), reach = first.shape[2:], self.side // 2 * dilation
        padded = pad(second, [reach] * 4)
        tall, wide = stride * (height - 1) + 1, stride * (width - 1) + 1  # of a slice
        begins = range(0, self.side * dilation, dilation)
        products = [
            (first * padded[..., y : y + tall : stride, x : x + wide : stride]).sum(1)
            for y in begins
            for x in begins
        ]
        return torch.stack(products, 1).unflatten(1, (self.side, self.side))


def quicken(model: nn.Module) -> None:
    """Put it in place of the library's wherever a model has that."""
    theirs = importlib.import_module(MODULE).IterSpatialCorrelationSampler
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if isinstance(part, theirs):
                setattr(parent, name, _ours(part))


def _ours(part: Any) -> nn.Module:
    """A `Correlation` in its place; itself where it does more than products of single cells.

    No network of the library has such a one, nor one with other sides in height than in width.
    """
    sides = part.patch_size, part.stride, part.dilation_patch
    same = all(isinstance(side, int) for side in sides) and part.patch_size % 2 == 1
    if same and (part.kernel_size, part.padding, part.dilation) == (1, 0, 1):
        return Correlation(*sides)
    return part
