"""Shows what an attention network weighs up: each layer's weights as a heat map over the image.

Reads   3-runs/<experiment>/train, and rows of the experiment's data set
Source  Yang et al., Pattern Recognition 2019 (arXiv:1810.05866), figure 7: one view above another,
        one column for each layer. Lejbolle et al., CVPR Workshops 2018, figure 4, alike
Differs The papers do not say how their maps are scaled: here each runs from its own least to its
        own greatest weight, because weights may differ by little from position to position; so
        does each part's, whose branch has a mask of its own. A map whose weights hardly differ is
        left without colours.

A paper's `attention_maps` gives a weight for each position of each view of a normalised batch.
Where samples are clips of tracklets, the pictures are `FRAMES` frames from the chosen one on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from reid.arrays import draw
from reid.data.clips import Tracklets
from reid.data.dataset import Data
from reid.evaluation.features import trained_network
from reid.experiments import Experiment
from reid.look import pictures
from reid.nn.device import device_of
from reid.project.errors import ReidError
from reid.project.layout import Project

IMAGES = 4  # shown where none are named
FRAMES = 4  # of a clip; after a tracklet's last frame comes its first
EVEN = 0.005  # weights that differ by less, as a share of the greatest, have no colours
HEAT = 0.55  # share of the heat map in a picture; the rest is the image
ABREAST = 2  # images side by side in a picture
SHOWN_PX = (272, 136)  # greatest height, and width, of a map in a picture
NAME = 22  # letters of an image's name that fit below it
SCALE_PX = (12, 120)  # of the colours in its legend


@dataclass(frozen=True)
class Maps:
    """One image's views as the network sees them, and the weights of their positions."""

    image_id: str
    views: dict[str, np.ndarray]  # (H, W, 3) uint8, or (P, H, W, 3) where a view is P pictures
    weights: dict[str, dict[str, np.ndarray]]  # by view and layer, (h, w) float32 or (P, h, w)
    clip: bool = False  # whether the pictures are frames, whose weights have one scale

    @property
    def layers(self) -> list[str]:
        """All layers' names in their order."""
        return list(dict.fromkeys(layer for each in self.weights.values() for layer in each))


def maps(
    experiment: Experiment, project: Project, image_ids: list[str] | None = None,
    device: str = "auto",
) -> list[Maps]:  # fmt: skip
    """The maps of images of the experiment's data set; by default four queries of its test."""
    on = device_of(device)
    network, mean, _ = trained_network(experiment, project, on)
    paper, params = experiment.paper, experiment.params
    data, clip = experiment.open(project), paper.clips(params) is not None
    chosen = _positions(data, image_ids, params.dataset)
    views = [_view(experiment, data, _clip(data, row) if clip else row) for row in chosen]
    batch = {n: torch.from_numpy(np.stack([v[n] for v in views])).to(on) for n in views[0]}
    ready = experiment.method.normalize(params, batch, mean)
    with torch.inference_mode():
        weights = experiment.method.attention_maps(network, ready)
    if not weights:
        raise ReidError(f"{experiment.name}: its network has no attention to show")
    arrays = {v: {la: w.float().cpu().numpy() for la, w in of.items()} for v, of in weights.items()}
    return [
        Maps(
            data.rows["image_id"][row].as_py(),
            {name: _seen(view[name], ready[name]) for name in arrays},
            {name: {la: w[i] for la, w in layers.items()} for name, layers in arrays.items()},
            clip,
        )
        for i, (row, view) in enumerate(zip(chosen, views, strict=True))
    ]


def _positions(data: Data, image_ids: list[str] | None, dataset: str) -> list[int]:
    """The rows of `image_ids`, else evenly spaced queries, or rows where there are no queries."""
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


def _clip(data: Data, row: int) -> np.ndarray:
    """The rows of `FRAMES` frames of a row's tracklet, from the row on."""
    tracklets = Tracklets.of(data)
    position = int(np.flatnonzero(tracklets.rows == row)[0])
    number = int(np.searchsorted(tracklets.first, position, side="right")) - 1
    first, count = tracklets.first[number], tracklets.count[number]
    return tracklets.rows[first + (position - first + np.arange(FRAMES)) % count]


def _view(experiment: Experiment, data: Data, rows: int | np.ndarray) -> dict[str, np.ndarray]:
    """The prepared views of a row, (H, W, C) each, or of the rows of a clip, (T, H, W, C)."""
    views = [
        experiment.method.view(experiment.params, row["image"], row)
        for row in data.__getitems__(np.atleast_1d(rows))
    ]
    if not np.ndim(rows):
        return views[0]
    return {name: np.stack([view[name] for view in views]) for name in views[0]}


def _seen(view: np.ndarray, ready: Tensor) -> np.ndarray:
    """The middle of a view (..., H, W, 3), of the size (..., 3, h, w) that the network takes."""
    (height, width), (h, w) = view.shape[-3:-1], ready.shape[-2:]
    top, left = (height - h) // 2, (width - w) // 2
    return view[..., top : top + h, left : left + w, :]


# -- pictures --------------------------------------------------------------------------------


def rows(image_maps: Maps) -> list[list[np.ndarray]]:
    """A row of pictures for each view: bare, and with the weights of each layer over it.

    The pictures of a view that has several stand one below the other, frames side by side.
    """
    weighed = _weighed_frames if image_maps.clip else _weighed
    return [
        [_joined(image_maps.views[view], image_maps.clip),
         *(weighed(image_maps.views[view], weights) for weights in layers.values())]
        for view, layers in image_maps.weights.items()
    ]  # fmt: skip


def _weighed(view: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if view.ndim == 3:
        return overlay(view, weights)
    pairs = zip(view, weights, strict=True)
    return _joined(np.stack([overlay(image, each) for image, each in pairs]))


def _weighed_frames(view: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Frames side by side with one scale of colours for all."""
    height, width = view.shape[1:3]
    fitted = [cv2.resize(w, (width, height), interpolation=cv2.INTER_LINEAR) for w in weights]
    return overlay(_joined(view, across=True), np.concatenate(fitted, 1))


def _joined(view: np.ndarray, across: bool = False) -> np.ndarray:
    """(P, H, W, 3) as (P * H, W, 3), or across as (H, P * W, 3); one picture as it is."""
    return view if view.ndim == 3 else np.concatenate([*view], 1 if across else 0)


def overlay(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights (h, w) as colours over an image in gray, violet where least, yellow where greatest.

    The image is gray because depth as colours has all colours itself. Where the weights differ by
    less than `EVEN` of the greatest, the image stays as it is.
    """
    low, high = float(weights.min()), float(weights.max())
    if high - low < EVEN * high:
        return image.copy()
    height, width = image.shape[:2]
    share = ((weights - low) / (high - low)).astype(np.float32)
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint(HEAT * _colours(share) + (1 - HEAT) * gray).astype(np.uint8)


def _colours(share: np.ndarray) -> np.ndarray:
    """(H, W) from 0 to 1 as (H, W, 3) uint8."""
    level = np.rint(255 * share).astype(np.uint8)
    return cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[..., ::-1]  # BGR -> RGB


def spread(image_maps: Maps) -> list[list[str]]:
    """For each view the least and the greatest weight of each layer, such as 0.31-0.52.

    Of a view of several pictures they are over all of them.
    """
    return [[span(weights) for weights in each.values()] for each in image_maps.weights.values()]


def span(weights: np.ndarray) -> str:
    """The least and the greatest weight; with more digits where all are small."""
    low, high = float(weights.min()), float(weights.max())
    digits = 2 if high >= 0.1 else 4
    return f"{low:.{digits}f}-{high:.{digits}f}"


def picture(shown: list[Maps]) -> np.ndarray:
    """All images' maps as one picture with a legend, two images abreast."""
    panels = [_panel(each) for each in shown]
    if len(panels) > ABREAST and len(panels) % ABREAST:
        panels.append(np.full_like(panels[0], 255))
    lines = [panels[i : i + ABREAST] for i in range(0, len(panels), ABREAST)]
    edge, (height, width) = pictures.EDGE_PX, SCALE_PX
    views, layers = " above ".join(shown[0].weights), ", ".join(shown[0].layers)
    out = pictures.titled(
        np.concatenate([np.concatenate(line, 1) for line in lines]),
        {edge: f"Attention: {views}; maps of {layers}"},
        {2 * edge + width: "least to greatest weight of a map; no colours: all alike"},
    )
    top = pictures.LINE_PX + (pictures.LINE_PX - height) // 2
    scale = np.broadcast_to(np.linspace(0, 1, width), SCALE_PX)
    out[top : top + height, edge : edge + width] = _colours(scale)
    return out


def _panel(image_maps: Maps) -> np.ndarray:
    """One image's rows, each map with its layer and the spread of its weights."""
    columns, cells, labels = 1 + len(image_maps.layers), [], []
    lines = zip(image_maps.weights.items(), rows(image_maps), spread(image_maps), strict=True)
    for (view, layers), line, spans in lines:
        name = view if labels else _short(image_maps.image_id)
        cells += [*line, *[None] * (columns - len(line))]
        labels += [name, *(f"{layer}: {each}" for layer, each in zip(layers, spans, strict=True))]
        labels += [""] * (columns - len(line))
    highest, width = SHOWN_PX[0], SHOWN_PX[1] * (2 if image_maps.clip else 1)
    steepest = max(cell.shape[0] / cell.shape[1] for cell in cells if cell is not None)
    height = min(highest, round(width * steepest))
    return draw.grid(cells, labels, columns=columns, height=height, width=width)


def _short(image_id: str) -> str:
    """As many of the last parts of a name as fit below a picture, one at least."""
    parts = image_id.split("/")
    while len(parts) > 1 and len("/".join(parts)) > NAME:
        parts.pop(0)
    return "/".join(parts)
