"""LiteFlowNet's warp as batches need it, in place of ptlflow's.

Differs from ptlflow 0.4.2 in two ways, else to rounding the same:
  - in the regularisation of LiteFlowNet and LiteFlowNet2 the library takes the middle channel of
    the warped frames as if it were each pair's second frame, which drops an axis: two pairs raise,
    three are mixed. Here the axis is kept, and a pair has the flow that it has alone.
  - the library blacks out what it samples with weights that sum to less than 1: by the last bit of
    a sum also some hundredths of all pixels within the frame, so that its flow changes with the
    last bit of its input and with the number of pairs. Here it is what lies outside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

WITHIN = 1 - 1e-3  # of a pixel sampled: the share that lies within the frame


class Warp(nn.Module):
    """Samples maps (B, C, h, w) where flow leads, zero outside; called as the library's is."""

    def forward(self, maps: Tensor, flow: Tensor, height: int, width: int, per_px: float) -> Tensor:
        """`flow` (B, 2, h, w) is in units, `per_px` of them to a pixel of (height, width)."""
        maps, flow = maps.float(), flow.float()  # positions in half precision are pixels off
        span = flow.new_tensor([max(width - 1, 1), max(height - 1, 1)]) * per_px / 2
        along_y, along_x = (torch.linspace(-1, 1, n).to(flow) for n in maps.shape[2:])
        here = torch.stack(torch.meshgrid(along_x, along_y, indexing="xy"), -1)  # (h, w, 2)
        there = here + flow.movedim(1, -1) / span  # (B, h, w, 2), -1 to 1 within
        covered = grid_sample(torch.ones_like(maps[:, :1]), there, align_corners=True)
        return grid_sample(maps, there, align_corners=True) * (covered > WITHIN)


class MiddleChannel(nn.Module):
    """The warped frame such that `[:, 1]` of it is its middle channel, (B, 1, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.warp = Warp()

    def forward(self, *inputs: Any) -> Tensor:
        return self.warp(*inputs)[:, :, None]


def mend(model: nn.Module) -> None:
    """Put these in place of the warps of a LiteFlowNet; other models are left as they are."""
    from ptlflow.models.liteflownet.liteflownet import Regularization
    from ptlflow.models.liteflownet.liteflownet2 import Regularization as Regularization2
    from ptlflow.models.liteflownet.warp import WarpingLayer

    dropping = Regularization, Regularization2
    for part in model.modules():
        if isinstance(getattr(part, "warp", None), WarpingLayer):
            part.add_module("warp", MiddleChannel() if isinstance(part, dropping) else Warp())
