# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Swaps while training: a sample's region over another row's background, drawn at every read.

Reads   2-derived/backgrounds, one row per image: `background`, the squared image without its
        region; `region`, what is pasted; `rectangle`, where a region is scaled into another's;
        `partners`, rows whose background may be taken
Source  Yaghoubi et al., the implicit attention of swapped regions
Differs Samples are prepared at the network's size, and swapped there: an edge pixel mixes both
        images by the share of it that the region covers, and a region is scaled bilinearly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from reid.arrays.images import resize
from reid.data.dataset import Data
from reid.project.errors import ReidError

if TYPE_CHECKING:
    from torch import Tensor

STAGE = "backgrounds"
COLUMNS = tuple(f"{STAGE}.{name}" for name in ("background", "region", "rectangle"))
BACKGROUND, REGION, RECTANGLE = COLUMNS
PARTNERS = "partners"  # read once, not with each sample
WHOLE = np.array([0, 0, 1, 1], np.float32)

Batch = dict[str, "Tensor"]


class Donors:
    """For each row of `data` the rows of `data` whose background it may take: never itself.

    `probability` is that of a swap, each time that a row which has donors is read.
    """

    def __init__(self, data: Data, probability: float):
        self.probability = probability
        owner, donor = _pairs(data)
        background, region = (_present(data, column) for column in (BACKGROUND, REGION))
        good = (donor >= 0) & (donor != owner) & background[donor] & region[owner]
        self.donors = donor[good]
        self.count = np.bincount(owner[good], minlength=len(data))
        self.first = np.cumsum(self.count) - self.count
        if not len(self.donors):
            raise ReidError(f"{STAGE}: no training image has a partner to swap with")

    def draw(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """For each of `rows` (B,) the row that gives its background, -1 where none does."""
        chance, share = np.random.default_rng(seed).random((2, len(rows)))
        count = self.count[rows]
        swapped = (chance < self.probability) & (count > 0)
        donors = np.full(len(rows), -1, np.int64)
        chosen = self.first[rows] + (share * count).astype(np.int64)
        donors[swapped] = self.donors[chosen[swapped]]
        return donors


def _pairs(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """All (row, partner) as positions in `data`; -1 is a partner that is no row of it."""
    shards, _ = data.sources[REGION]
    lists = shards.scalars([PARTNERS])[PARTNERS].combine_chunks().take(pa.array(data.index))
    lengths = np.array(lists.value_lengths().fill_null(0))
    position = np.full(len(data.base), -1, np.int64)
    position[data.index] = np.arange(len(data))
    return np.repeat(np.arange(len(data)), lengths), position[np.array(lists.flatten(), np.int64)]


def _present(data: Data, column: str) -> np.ndarray:
    """(N,) bool: rows whose image of that column is not null."""
    shards, name = data.sources[column]
    sizes = shards.scalars([f"{name}_size"])[f"{name}_size"]
    return sizes.is_valid().to_numpy()[data.index]


def prepared(row: dict[str, Any], height: int, width: int) -> dict[str, np.ndarray]:
    """A row's part in swaps at the network's size.

    `background` (h, w, 3); `region` (h, w, 1), 0 to 255, the share of a pixel that it covers;
    `rectangle` (4,) x1, y1, x2, y2 as shares of width and height, all of it where none is given.
    A row that the stage has rejected has an empty region.
    """
    background, region, rectangle = (row[name] for name in (BACKGROUND, REGION, RECTANGLE))
    if background is None:
        background = np.zeros((height, width, 3), np.uint8)
    if region is None:
        covered, side = np.zeros((height, width), np.uint8), 1
    else:
        side = region.shape[0]
        covered = resize(region.astype(np.uint8) * 255, height, width)
    return {
        "background": resize(background, height, width),
        "region": covered[..., None],
        "rectangle": WHOLE if rectangle is None else np.asarray(rectangle, np.float32) / side,
    }


def swap(batch: Batch, donors: Batch, indices: Tensor) -> Tensor:
    """The images (B, h, w, 3) of a batch; those at `indices` (S,) have the donors' background.

    Both hold what `prepared` gives, and the batch `image`.
    """
    if len(indices) == 0:
        return batch["image"]
    own = {name: values[indices] for name, values in batch.items()}
    pasted = paste(
        own["image"], own["region"], own["rectangle"], donors["background"], donors["rectangle"]
    )
    return batch["image"].index_copy(0, indices, pasted)


def paste(image: Tensor, region: Tensor, source: Tensor, onto: Tensor, target: Tensor) -> Tensor:
    """The region of each image over another one, scaled from one rectangle into the other.

    `image` and `onto` (S, h, w, 3) uint8, `region` (S, h, w, 1) uint8 shares, `source` and
    `target` (S, 4) as shares of width and height. Nothing is pasted beside `target`.
    """
    import torch
    import torch.nn.functional as F

    height, width = image.shape[1:3]
    position = _centres(target, height, width)  # (S, h, w, 2), 0 to 1 within the target
    first, last = source[:, None, None, :2], source[:, None, None, 2:]
    half = 0.5 / torch.tensor([width, height], device=image.device)  # pixel: none beside `source`
    seen = (first + position * (last - first)).clamp(first + half, last - half)
    layers = torch.cat([image, region], -1).movedim(-1, 1).float()  # (S, 4, h, w)
    moved = F.grid_sample(layers, 2 * seen - 1, padding_mode="border", align_corners=False)
    moved = moved.movedim(1, -1)  # (S, h, w, 4)
    within = ((position >= 0) & (position <= 1)).all(-1, keepdim=True)  # (S, h, w, 1)
    share = moved[..., 3:] / 255 * within
    return (moved[..., :3] * share + onto * (1 - share)).round().byte()


def _centres(rectangle: Tensor, height: int, width: int) -> Tensor:
    """The centre of each pixel as x, y in units of the rectangle, (S, h, w, 2)."""
    import torch

    y = (torch.arange(height, device=rectangle.device) + 0.5) / height
    x = (torch.arange(width, device=rectangle.device) + 0.5) / width
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)  # (h, w, 2)
    corner, size = rectangle[:, None, None, :2], (rectangle[:, 2:] - rectangle[:, :2])
    return (grid - corner) / size[:, None, None]
