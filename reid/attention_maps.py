"""Shows what intra-attention weighs up: each block's mask as a heat map over the image.

Reads   3-runs/<experiment>/train, and rows of the experiment's data set
Source   Yang et al., Pattern Recognition 2019 (arXiv:1810.05866), figure 7: the whole body above
         the four parts' maps put together, one column for each of the blocks 2 to 4
Differs  A map is the mask's mean over channels. The paper does not say how its maps are scaled:
         here each runs from its own least to its own greatest weight, because weights differ by
         little from place to place; so does each part's, whose branch has a mask of its own. A map
         whose weights hardly differ is left without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core import draw
from pipeline.core.errors import ReidError
from pipeline.core.project import Project
from reid import pictures
from reid.data import Data
from reid.evaluate import place_of, trained_network
from reid.experiments import Experiment
from reid.layers.attention import IntraAttention

BLOCKS = {"conv3": "block 2", "conv4": "block 3", "conv5": "block 4"}
HEADINGS = ("image", *BLOCKS.values())
IMAGES = 4  # shown where none are named
EVEN = 0.001  # weights that differ by less have no colours
HEAT = 0.55  # share of the heat map in a picture; the rest is the image
ABREAST = 2  # images side by side in a picture
SHOWN_PX = (272, 136)  # height and width of a map in a picture
SCALE_PX = (12, 120)  # of the colours in its legend


@dataclass(frozen=True)
class Maps:
    """One image's masks, mean over channels, by block in the order of `BLOCKS`."""

    image_id: str
    whole: np.ndarray  # (H, W, 3) uint8, what the network sees of the whole body
    parts: np.ndarray  # (4, h, w, 3) uint8
    whole_masks: list[np.ndarray]  # three (height, width) float32 in (0, 1)
    part_masks: list[np.ndarray]  # three (4, height, width)


def attends(experiment: Experiment) -> bool:
    """Whether the experiment's network has intra-attention."""
    return bool(getattr(experiment.params, "intra", False))


def maps(
    experiment: Experiment, project: Project, image_ids: list[str] | None = None,
    device: str = "auto",
) -> list[Maps]:  # fmt: skip
    """The masks of images of the experiment's data set; by default four queries of its test."""
    if not attends(experiment):
        raise ReidError(f"{experiment.name}: its network has no intra-attention to show")
    place = place_of(device)
    network, mean, _ = trained_network(experiment, project, place)
    paper, params = experiment.code, experiment.params
    data = experiment.open(project)
    rows = data.__getitems__(_positions(data, image_ids, params.dataset))
    views = [paper.view(params, row["image"], row) for row in rows]
    batch = {n: torch.from_numpy(np.stack([v[n] for v in views])).to(place) for n in views[0]}
    whole, parts = masks(network, paper.normalize(params, batch, mean))
    return [
        Maps(
            row["image_id"], view["whole"], view["parts"],
            [mask[i] for mask in whole], [mask[i] for mask in parts],
        )
        for i, (row, view) in enumerate(zip(rows, views, strict=True))
    ]  # fmt: skip


def _positions(data: Data, image_ids: list[str] | None, dataset: str) -> list[int]:
    """The rows that are named, else evenly spaced queries (any rows where there are none)."""
    if image_ids:
        position = {image_id: i for i, image_id in enumerate(data.rows["image_id"].to_pylist())}
        for image_id in image_ids:
            if image_id not in position:
                raise ReidError(f"{image_id}: no image_id among the complete rows of {dataset}")
        return [position[image_id] for image_id in image_ids]
    queries = np.flatnonzero(data.labels("query").astype(bool))
    rows = queries if len(queries) else np.arange(len(data))
    if not len(rows):
        raise ReidError(f"{dataset}: no images to show")
    count = min(IMAGES, len(rows))
    return [int(rows[int((i + 0.5) * len(rows) / count)]) for i in range(count)]


def masks(
    network: nn.Module, batch: dict[str, Tensor]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sigmoid masks of a normalised batch, mean over channels, for each of `BLOCKS`.

    First those of the whole body, (B, h, w) each, then those of the parts, (B, 4, h, w) each.
    `network` is in eval mode and is left as it was.
    """
    seen: dict[str, np.ndarray] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, mask: Tensor) -> None:
            seen[name] = mask.mean(1).float().cpu().numpy()  # (B, C, h, w) to (B, h, w)

        return hook

    hooks = [
        module.register_forward_hook(keep(name))
        for name, module in network.named_modules()
        if isinstance(module, IntraAttention)
    ]
    try:
        with torch.inference_mode():
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    whole = [seen[f"whole.{block}.attention"] for block in BLOCKS]
    count = batch["parts"].shape[1]
    parts = [
        np.stack([seen[f"parts.{i}.{block}.attention"] for i in range(count)], 1)
        for block in BLOCKS
    ]
    return whole, parts


# -- pictures --------------------------------------------------------------------------------


def rows(found: Maps) -> list[list[np.ndarray]]:
    """Two rows of four pictures: the whole body and the parts put together, bare and by block."""
    first, second = [found.whole], [_stacked(found.parts)]
    for whole, parts in zip(found.whole_masks, found.part_masks, strict=True):
        first.append(overlay(found.whole, whole))
        pairs = zip(found.parts, parts, strict=True)
        second.append(_stacked([overlay(image, mask) for image, mask in pairs]))
    return [first, second]


def _stacked(parts: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Four (h, w, 3) one below the other, (4 * h, w, 3)."""
    return np.concatenate([*parts])


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A mask (h, w) as colours over an image, violet where it is least, yellow where greatest.

    The image as it is where the weights differ by less than `EVEN`.
    """
    low, high = float(mask.min()), float(mask.max())
    if high - low < EVEN:
        return image.copy()
    height, width = image.shape[:2]
    share = ((mask - low) / (high - low)).astype(np.float32)
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.rint(HEAT * _colours(share) + (1 - HEAT) * image).astype(np.uint8)


def _colours(share: np.ndarray) -> np.ndarray:
    """(H, W) from 0 to 1 as (H, W, 3) uint8."""
    level = np.rint(255 * share).astype(np.uint8)
    return cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[..., ::-1]  # BGR -> RGB


def spread(found: Maps) -> list[list[str]]:
    """For each of the two rows the least and the greatest weight of each block, such as 0.31-0.52.

    Those of the parts are over all four.
    """
    return [
        [f"{mask.min():.2f}-{mask.max():.2f}" for mask in each]
        for each in (found.whole_masks, found.part_masks)
    ]


def picture(found: list[Maps]) -> np.ndarray:
    """All images' maps as one picture with a legend, two images abreast."""
    panels = [_panel(each) for each in found]
    if len(panels) > ABREAST and len(panels) % ABREAST:
        panels.append(np.full_like(panels[0], 255))
    lines = [panels[i : i + ABREAST] for i in range(0, len(panels), ABREAST)]
    edge, (height, width) = pictures.EDGE_PX, SCALE_PX
    out = pictures.titled(
        np.concatenate([np.concatenate(line, 1) for line in lines]),
        {edge: "Intra-attention: the whole body, below it a map for each of the four parts"},
        {2 * edge + width: "least to greatest weight of a map; no colours: all alike"},
    )
    top = pictures.LINE_PX + (pictures.LINE_PX - height) // 2
    scale = np.broadcast_to(np.linspace(0, 1, width), SCALE_PX)
    out[top : top + height, edge : edge + width] = _colours(scale)
    return out


def _panel(found: Maps) -> np.ndarray:
    """One image's two rows, each map with its block and the spread of its weights."""
    cells = [cell for row in rows(found) for cell in row]
    names, labels = (found.image_id.rpartition("/")[2], "parts"), []
    for name, weights in zip(names, spread(found), strict=True):
        pairs = zip(BLOCKS.values(), weights, strict=True)
        labels += [name, *(f"{block}: {weight}" for block, weight in pairs)]
    height, width = SHOWN_PX
    return draw.grid(cells, labels, columns=len(HEADINGS), height=height, width=width)
