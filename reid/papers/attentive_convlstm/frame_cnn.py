"""McLaughlin et al.'s network of single frames: its input, its layers, where their places lie.

Source  McLaughlin et al., Recurrent convolutional network for video-based person
        re-identification, CVPR 2016, and its published code
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.attentive_convlstm.params import Root

YUV = (  # from R, G, B
    (0.299, 0.587, 0.114),
    (-0.14713, -0.28886, 0.436),
    (0.615, -0.51499, -0.10001),
)
CHANNELS = 5  # Y, U, V, flow to the right, flow down
FLAT = 1e-5  # of a channel's spread: less is no contrast; one pixel's least step is more
PADDING = 4  # pixels on each side, before a kernel of 5: maps grow by 4 before they are halved
PLACE_PX = 8  # what a place of the last maps stands for, each way; the first one ...
BEFORE_PX = 14  # ... begins so far outside the picture, because of the padding


def standardized(image: Tensor, flow_px: Tensor, root: Root = "sqrt") -> Tensor:
    """Frames (B, T, h, w, 3) RGB 0 to 255 and flow (B, T, h, w, 2) to (B, T, 5, h, w).

    Each channel of each frame less its mean and over `root`: the standard deviation, or its square
    root, as the published code has it; colours count from 0 to 1, flow in 1/255 pixel, as its files
    hold it. A channel without contrast, such as the flow of a standing picture, is zero.
    """
    planes = [image.movedim(-1, 2).contiguous().float(), flow_px.movedim(-1, 2).float()]
    frames = torch.cat(planes, 2) / 255  # channels first: sums run along memory
    yuv = frames.new_tensor(YUV) @ frames[:, :, :3].flatten(3)
    frames[:, :, :3] = yuv.unflatten(3, frames.shape[3:])
    frames -= frames.mean((3, 4), keepdim=True)
    variance = frames.square().sum((3, 4), keepdim=True) / (frames[0, 0, 0].numel() - 1)
    spread = variance.sqrt()
    flat = spread < FLAT
    scale = spread.sqrt() if root == "sqrt" else spread
    return (frames / scale.masked_fill(flat, 1)).masked_fill_(flat, 0)


def cut(frames: Tensor, window: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (B, T, 5, h, w) to crops (B, T, 5, *size), each less its mean over all channels.

    `window` (B, 3): top and left of a clip's crop, and whether its frames are flipped before it is
    cut. A flip changes the sign of the flow to the right.
    """
    top, left, flipped = window.to(frames.device).unbind(1)
    rows, columns = (
        first[:, None] + torch.arange(length, device=frames.device)
        for first, length in zip((top, left), size, strict=True)
    )
    columns = torch.where(flipped[:, None] > 0, frames.shape[4] - 1 - columns, columns)
    kept = frames.shape[:3]
    rows = rows[:, None, None, :, None].expand(*kept, -1, frames.shape[4])
    columns = columns[:, None, None, None].expand(*kept, size[0], -1)
    sign = frames.new_ones(frames.shape[0], 1, CHANNELS, 1, 1)
    sign[:, 0, 3, 0, 0] -= 2 * flipped
    inside = frames.gather(3, rows).gather(4, columns) * sign
    return inside - inside.mean((2, 3, 4), keepdim=True)


class FrameCNN(nn.Sequential):
    """Three times: pad by 4, convolution 5x5, tanh, max-pool 2x2. (N, 5, 56, 40) to (N, 32, 10, 8).

    `channels`: of each convolution.
    """

    def __init__(self, channels: Sequence[int] = (16, 32, 32)) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((CHANNELS, *channels[:-1]), channels, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 5, padding=PADDING), nn.Tanh(), nn.MaxPool2d(2)]
        super().__init__(*layers)


def map_sizes(height: int, width: int, layers: int = 3) -> list[tuple[int, int]]:
    """Height and width of the maps after each layer: 30x22, 17x13 and 10x8 of 56x40 pixels."""
    sizes = [(height, width)]
    for _ in range(layers):
        sizes.append(((sizes[-1][0] + PADDING) // 2, (sizes[-1][1] + PADDING) // 2))
    return sizes[1:]


def on_pixels(places: Tensor, size: tuple[int, int], corner: tuple[int, int]) -> Tensor:
    """Values of the last maps' places (N, T, 10, 8) at the pixels of frames, (N, T, *size).

    `corner` (top, left) of the crop that the network saw. Bilinear; pixels beyond the outermost
    places have their value.
    """
    finer = F.interpolate(places, scale_factor=PLACE_PX, mode="bilinear", align_corners=False)
    for axis, length, first in zip((2, 3), size, corner, strict=True):
        at = torch.arange(length, device=places.device) + BEFORE_PX - first
        finer = finer.index_select(axis, at.clamp(0, finer.shape[axis] - 1))
    return finer
