"""Samples: frames and their optical flow, augmented and normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid.arrays.flow import resize_flow
from reid.arrays.images import resize
from reid.nn import flow_views
from reid.nn.augment import change_light, of_chosen, resize_crop
from reid.papers.mutual_attention.params import Params
from reid.project.errors import ReidError

FIXED = 64  # a view's flow is in 1/64 pixels


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB frame as `image` (h, w, 3); its `row["flow"]` as `flow` (h, w, 2).

    Flow is int16, in 1/64 pixels of the resized frame: to the right, then down.
    """
    ready = {"image": resize(image, params.height, params.width)}
    if "flow" in params.views:
        if row.get("flow") is None:
            raise ReidError(
                f"{row.get('image_id', 'a row')}: no optical flow; run `reid flow` for its data "
                "set, or look into the stage's rejects"
            )
        fixed = FIXED * resize_flow(row["flow"], params.height, params.width)
        ready["flow"] = np.rint(fixed).clip(-32768, 32767).astype(np.int16)
    return ready


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Clips (B, T, h, w, c), some enlarged and cropped, some mirrored, as floats of their units.

    All frames of a clip, and its flow, have one draw. Vectors grow and turn with their frames.
    """
    views = {name: view.movedim(-1, -3) for name, view in batch.items()}
    if params.brightness or params.tint:
        image = {"image": views["image"]}
        views |= change_light(image, generator, params.brightness, params.tint)
    views = {name: view.float() for name, view in views.items()}
    drawn = torch.rand(2, len(views["image"]), generator=generator)
    cropped, mirrored = drawn < torch.tensor([[params.crop], [params.flip]])
    views = resize_crop(views, generator, cropped.float(), params.enlarge)
    ready = {
        name: of_chosen(view, mirrored, lambda clip: clip.flip(-1)).movedim(-3, -1)
        for name, view in views.items()
    }
    if "flow" in ready:
        growth = _growth(params, cropped, mirrored).to(ready["flow"].device)
        ready["flow"] = ready["flow"] * growth
    return ready


def _growth(params: Params, cropped: Tensor, mirrored: Tensor) -> Tensor:
    """(B, 1, 1, 1, 2): what u and v of a clip are multiplied by."""
    sizes = params.width, params.height
    enlarged = cropped.new_tensor([round(n * params.enlarge) / n for n in sizes], dtype=torch.float)
    factors = torch.where(cropped[:, None], enlarged, 1.0)
    factors[:, 0] *= torch.where(mirrored, -1.0, 1.0)
    return factors[:, None, None, None]


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """Clips (B, T, h, w, c) to float (B, T, c, h, w); flow as `flow_view` says.

    Images and colours of flow by `params.mean` and `params.std`; the training images' own `mean`
    is not used. Memory stays channels-last.
    """
    centre, spread = (mean.new_tensor(v)[:, None, None] for v in (params.mean, params.std))
    ready = {"image": (batch["image"].movedim(-1, -3) / 255 - centre) / spread}
    if "flow" in batch:
        flow_px, most = batch["flow"].float() / FIXED, params.flow_most_px
        if params.flow_view == "colour":
            ready["flow"] = (flow_views.colour_wheel(flow_px, most) - centre) / spread
        else:
            shown = flow_views.uv if params.flow_view == "uv" else flow_views.uv_magnitude
            ready["flow"] = shown(flow_px, most)
    return ready
