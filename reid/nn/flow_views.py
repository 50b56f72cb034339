"""Batches of flow as images for networks: what `reid.arrays.flow` does for single frames.

Flow is a float tensor (..., h, w, 2): pixels to the right and down. Views have channels before
rows. Mirror, crop and resize the flow itself, and make its view last.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reid.arrays.flow import TWO_CHANNEL_ZERO, WHEEL


def colour_wheel(flow_px: Tensor, maximum_px: float) -> Tensor:
    """(..., h, w, 2) to (..., 3, h, w): Middlebury's colours, RGB 0 to 1; white is no motion.

    At `maximum_px` and beyond a colour is full.
    """
    u, v = (flow_px.movedim(-1, 0) / maximum_px).contiguous()  # (..., h, w) each
    position = (torch.atan2(-v, -u) / torch.pi + 1) / 2 * len(WHEEL)
    below = position.floor()
    part = (position - below).view(-1, 1)  # of the way to the next colour
    colours = torch.from_numpy(WHEEL).to(flow_px) - 1  # from white
    colours = torch.cat([colours, colours[:2]])  # an angle of pi is at the wheel's end
    index = below.flatten().int().clamp_(0, len(WHEEL))  # of no number too, which stays none
    full = colours.index_select(0, index)
    full.addcmul_(colours.diff(dim=0).index_select(0, index), part)
    full *= torch.hypot(u, v).clamp(max=1).view(-1, 1)
    return (full + 1).view(*u.shape, 3).movedim(-1, -3)


def uv_magnitude(flow_px: Tensor, maximum_px: float) -> Tensor:
    """(..., h, w, 2) to (..., 3, h, w): u, v, |uv| in shares of the maximum, cut off at 1."""
    scaled = flow_px / maximum_px
    length = torch.hypot(scaled[..., :1], scaled[..., 1:])
    return torch.cat([scaled, length], -1).clamp(-1, 1).movedim(-1, -3)


def uv(flow_px: Tensor, maximum_px: float) -> Tensor:
    """(..., h, w, 2) to (..., 2, h, w): u and v in shares of the maximum, cut off at 1."""
    return (flow_px / maximum_px).clamp(-1, 1).movedim(-1, -3)


def two_channel(flow_px: Tensor) -> Tensor:
    """(..., h, w, 2) to (..., 2, h, w): v, then u, in whole pixels + 127, as 8 bits hold them."""
    return (flow_px.flip(-1) + TWO_CHANNEL_ZERO).round().clamp(0, 255).movedim(-1, -3)
