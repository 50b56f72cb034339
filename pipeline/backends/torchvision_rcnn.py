"""What the backends share that run an R-CNN of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.checkpoints import download, fill_model, library, load_state
from pipeline.backends.settings import Detector
from pipeline.core.errors import ReidError

PROPOSALS = 100  # regions looked at: of the library's 1,000 a crop of one person needs few
STRIDE = 32  # the library pads images to multiples of it
PERSON = 1  # the label of a person; 0 is the background


def load_rcnn(stage: str, family: str, settings: Detector, **options: Any) -> Any:
    """The library's network `settings.model`, the family's first where it is '', in eval mode.

    `family` begins the names that will do; `options` go to the library. Errors begin with `stage`.
    """
    import torch

    models = library("torchvision.models", "`pip install torchvision`")
    known = sorted(models.list_models(module=models.detection, include=f"{family}*"))
    name = settings.model or known[0]
    if name not in known:
        raise ReidError(f"{stage}.model: torchvision has no `{name}` (it has {', '.join(known)})")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = models.get_model(
            name, weights=None, weights_backbone=None, box_score_thresh=settings.person_score,
            rpn_post_nms_top_n_test=PROPOSALS, **options,
        )  # fmt: skip
    if settings.weights == "random":
        return model.eval()
    path = Path(settings.weights)
    if settings.weights == "pretrained":
        path = download(models.get_model_weights(name).DEFAULT.url)
    fill_model(model, load_state(path, trusted=settings.trusted), path)
    return model.eval()


def as_tensors(images: Sequence[np.ndarray], device: str) -> list[Any]:
    """(H, W, 3) uint8 RGB images as the library takes them: (3, H, W) float, 0 to 1."""
    import torch

    return [
        torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).float() / 255
        for image in images
    ]
