"""What the backends share that run an R-CNN of torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pipeline.backends.checkpoints import library
from pipeline.backends.choices import Choice, choose, fill
from pipeline.backends.libraries import small_rcnn
from pipeline.backends.settings import Detector
from reid.project.errors import ReidError

PROPOSALS = 100  # regions looked at: of the library's 1,000 a crop of one person needs few
STRIDE = 32  # the library pads images to multiples of it
PERSON = 1  # the label of a person; 0 is the background
FAMILIES = {"masks": "maskrcnn", "joints": "keypointrcnn"}  # how the names of networks begin
INSTALL = "`pip install torchvision`"


def load_rcnn(stage: str, settings: Detector, **options: Any) -> Any:
    """The network of a stage with its weights, in eval mode; `options` go to the library."""
    import torch

    choice = choose(stage, "torchvision", settings)
    build = _builder(choice)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(
            box_score_thresh=settings.person_score, rpn_post_nms_top_n_test=PROPOSALS, **options
        )
    fill(model, choice, address, trusted=settings.trusted)
    return model.eval()


def _builder(choice: Choice) -> Callable[..., Any]:
    """What makes the network untrained: the library, or `small_rcnn`."""
    models = library("torchvision.models", INSTALL)
    known = models.list_models(module=models.detection, include=f"{FAMILIES[choice.stage]}*")
    own = {small_rcnn.NAME: small_rcnn.small_mask_rcnn} if choice.stage == "masks" else {}
    if choice.model not in (*known, *own):
        raise ReidError(
            f"{choice.stage}.model: torchvision has no `{choice.model}` "
            f"(it has {', '.join(sorted(known))}{''.join(f'; {name} is ours' for name in own)})"
        )
    theirs = partial(models.get_model, choice.model, weights=None, weights_backbone=None)
    return own.get(choice.model, theirs)


def address(choice: Choice) -> str:
    """Where torchvision has the weights of a model."""
    _builder(choice)  # an error where it has no such model
    if choice.model == small_rcnn.NAME:
        raise ReidError(
            f"{choice.stage}.weights: {choice.model} is this project's own network, which has no "
            "`pretrained` weights; set `world` or a path"
        )
    models = library("torchvision.models", INSTALL)
    return models.get_model_weights(choice.model).DEFAULT.url


def as_tensors(images: Sequence[np.ndarray], device: str) -> list[Any]:
    """(H, W, 3) uint8 RGB images as the library takes them: (3, H, W) float, 0 to 1."""
    import torch

    return [
        torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).float() / 255
        for image in images
    ]
