"""Shows what intra-attention weighs up: each block's mask as a heat map over the image.

Reads   3-runs/<experiment>/train, and rows of the experiment's data set
Source  Yang et al., Pattern Recognition 2019 (arXiv:1810.05866), figure 7: the whole body above
        the four parts' maps put together, one column for each of the blocks 2 to 4
Differs A map is the mask's mean over channels. The paper does not say how its maps are scaled:
        here each runs from its own least to its own greatest weight, the four parts of a block
        together, because masks of one block differ by little from place to place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core import draw
from pipeline.core.errors import ReidError
from pipeline.core.project import Project
from reid.data import Data
from reid.data import open as open_data
from reid.evaluate import place_of, trained_network
from reid.experiments import Experiment
from reid.layers.attention import IntraAttention

BLOCKS = {"conv3": "block 2", "conv4": "block 3", "conv5": "block 4"}
HEADINGS = ("image", *BLOCKS.values())
IMAGES = 4  # shown where none are named
HEAT = 0.55  # share of the heat map in a picture; the rest is the image
ABREAST = 2  # images side by side in a picture


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
    data = open_data(project.root / "data", params.dataset, paper.COLUMNS).complete()
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
                raise ReidError(f"{image_id}: no image of {dataset} that has all that is read")
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
    """Two rows of four pictures: the whole body and the stitched parts, bare and by block."""
    stitched = np.concatenate(list(found.parts))  # (4 * h, w, 3)
    height, width = found.parts.shape[1:3]
    first, second = [found.whole], [stitched]
    for whole, parts in zip(found.whole_masks, found.part_masks, strict=True):
        first.append(overlay(found.whole, whole))
        joined = np.concatenate([_enlarged(part, height, width) for part in parts])
        second.append(overlay(stitched, joined))
    return [first, second]


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A mask (h, w) as colours over an image, blue where it is least and yellow where greatest."""
    height, width = image.shape[:2]
    values = _enlarged(mask, height, width)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high - low > 1e-6 else np.zeros_like(values)
    level = np.rint(255 * scaled).clip(0, 255).astype(np.uint8)
    heat = cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[..., ::-1]  # BGR -> RGB
    return np.rint(HEAT * heat + (1 - HEAT) * image).astype(np.uint8)


def _enlarged(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def spread(found: Maps) -> list[str]:
    """For each of the two rows the least and greatest weight of the three blocks, in words."""
    return [
        ", ".join(
            f"{name} {mask.min():.2f} to {mask.max():.2f}"
            for name, mask in zip(BLOCKS.values(), each, strict=True)
        )
        for each in (found.whole_masks, found.part_masks)
    ]


def picture(found: list[Maps], height: int = 192, width: int = 96) -> np.ndarray:
    """All images' maps as one picture, two images abreast, with labels below each."""
    panels = []
    for each in found:
        labels = [each.image_id.rpartition("/")[2], *BLOCKS.values(), "parts", *BLOCKS.values()]
        cells = [cell for row in rows(each) for cell in row]
        panels.append(draw.grid(cells, labels, columns=4, height=height, width=width))
    while len(panels) % ABREAST and len(panels) > ABREAST:
        panels.append(np.full_like(panels[0], 255))
    lines = [panels[i : i + ABREAST] for i in range(0, len(panels), ABREAST)]
    return np.concatenate([np.concatenate(line, 1) for line in lines])
