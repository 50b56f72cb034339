"""Fits LiteFlowNet, ptlflow's, to the hall: from a frame to the next of a tracklet.

Source  Hui et al., CVPR 2018: five levels, each with the loss of its own, the coarse ones fitted
        before the finest joins; ptlflow's network
Differs There are two such steps in one cycle of the learning rate, and the end-point error of the
        flow that comes out is in the loss too. Warps and correlations are those of the backend.
        Features begin as edges, loud; smoothing begins weak, and learns a tenth as fast.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from pipeline.backends.flow.correlation import quicken
from pipeline.backends.flow.liteflownet_warp import mend
from pipeline.backends.flow.ptlflow import import_ptlflow, untrained
from pipeline.fit.looks import change_light, degrade
from pipeline.fit.people import Example
from pipeline.fit.training import Lesson, Recipe
from reid.arrays.flow import Flow

MODEL = "liteflownet"
SIZE = 128, 64  # of the frames, height and width
DIVISOR = 20.0  # the network's own flow is in so many pixels
COARSE = 0.4  # of the fit is without the finest level
LEVELS = (0.1, 0.1, 0.15, 0.2, 0.4)  # of the mean errors, coarse to fine
SHIFTED = 0.6  # of the pairs have a second frame that is moved besides ...
SHIFTS_PX = (1.0, 2.0, 5.0)  # ... by a normal draw of one of these deviations
LARGEST_PX = 24
SMALL = 0.1  # of the weights that flow begins with: it is of pixels / 20
FAR = 2.0  # distance of the pixels around, whose flow then counts exp(-FAR ** 2) as much
LOUD, LOUDER = 37.0, 1.17  # of the features' first layer; of each, without their kernels' means
SLACK_PX = 0.01  # so that the error's slope at no error is finite


class Pair(NamedTuple):
    first: np.ndarray  # (H, W, 3) uint8 RGB
    second: np.ndarray
    flow: Flow


class Batch(NamedTuple):
    images: Tensor  # (B, 2, 3, H, W) uint8 BGR
    flow: Tensor  # (B, 2, H, W) pixels
    valid: Tensor  # (B, 1, H, W) 1 where it is known


def examples(sheet: Sequence[Example]) -> list[Pair]:
    """The pairs of a sheet."""
    return [
        Pair(one.image, following.image, one.flow)
        for one, following in pairwise(sheet)
        if one.flow is not None
    ]


def network(device: str) -> nn.Module:
    model = untrained(import_ptlflow(), MODEL)
    mend(model)
    quicken(model)
    model.apply(_begin)
    _begin_features(model.feature_net)
    for part in model.regularization_nets:
        _begin_smoothing(part.dist)
    return model.to(device).train()


def _begin_features(features: Any) -> None:
    """Kernels without a mean and loud features: those of equal brightness are not alike then.

    Without this products of features say where an image is bright, not where it is like the other,
    and thousands of steps go by before the network sees that anything moves.
    """
    with torch.no_grad():
        for layer in features.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight -= layer.weight.mean((1, 2, 3), keepdim=True)
                layer.weight *= LOUDER
        features.convs[0][0].weight *= LOUD


def _begin_smoothing(distance: Any) -> None:
    """A pixel's flow begins as mostly its own: of other pixels in its window it is far.

    Distances are squared. Where all begin alike the network makes them larger and larger, until
    gradients are no numbers.
    """
    last: Any = distance[-1] if isinstance(distance, nn.Sequential) else distance
    last.weight.data *= SMALL**2
    last.bias.data.fill_(FAR)
    last.bias.data[len(last.bias) // 2] = 0


def _begin(layer: nn.Module) -> None:
    """As Caffe's LiteFlowNet begins: features keep their size, what scales flow up is bilinear."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, 0.1, nonlinearity="leaky_relu")
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        if layer.out_channels == 2:  # flow
            layer.weight.data *= SMALL
    if isinstance(layer, nn.ConvTranspose2d):
        ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
        layer.weight.data.copy_(torch.outer(ramp, ramp).expand_as(layer.weight))


def batch(pairs: Sequence[Pair], rng: np.random.Generator) -> Batch:
    """Pairs in other light, mirrored at times, each frame with its own noise."""
    images, flows, known = [], [], []
    for pair in pairs:
        both = change_light(np.stack([pair.first, pair.second]), rng)
        frames = [degrade(frame, rng) for frame in both] if rng.random() < 0.4 else list(both)
        px, valid = pair.flow
        for axis in (0, 1):  # upside down too: flow knows no up
            if rng.random() < 0.5:
                frames = [np.flip(frame, axis) for frame in frames]
                px, valid = np.flip(px, axis).copy(), np.flip(valid, axis)
                px[..., 1 - axis] *= -1
        if rng.random() < SHIFTED:
            frames[1], px, valid = _shifted(frames[1], px, valid, rng)
        images.append(np.stack(frames)[..., ::-1])
        flows.append(px)
        known.append(valid)
    return Batch(
        torch.from_numpy(np.stack(images).transpose(0, 1, 4, 2, 3).copy()),
        torch.from_numpy(np.stack(flows).transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(np.stack(known)[:, None].astype(np.float32)),
    )


def _shifted(second: np.ndarray, px: np.ndarray, valid: np.ndarray, rng: np.random.Generator):
    """The second frame moved by whole pixels: coarse levels learn from motion that they can see."""
    height, width = valid.shape
    by = np.rint(rng.normal(0, rng.choice(SHIFTS_PX), 2)).clip(-LARGEST_PX, LARGEST_PX)
    matrix = np.column_stack([np.eye(2), by])
    moved = cv2.warpAffine(
        np.ascontiguousarray(second), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    px = (px + by).astype(np.float32)
    there = np.moveaxis(px, -1, 0) + np.mgrid[:height, :width][::-1]  # x and y in the second frame
    inside = (there[0] >= 0) & (there[0] < width) & (there[1] >= 0) & (there[1] < height)
    return moved, px, valid & inside


def loss(model: Any, batch: Batch, device: str, share: float) -> Tensor:
    """Mean end-point errors in pixels: of what comes out, and of the levels by their shares."""
    images, flow, valid = (part.to(device) for part in batch)
    with warnings.catch_warnings(), _levels(model, 5 if share >= COARSE else 4):
        warnings.simplefilter("ignore")  # torch's older names
        result: Any = model({"images": images.float() / 255})
    total = flow.new_zeros(())
    if share >= COARSE:
        total = _error(result["flows"][:, 0].float(), flow, valid)
    for weight, level in zip(LEVELS, result["flow_preds"], strict=False):
        stride = flow.shape[-1] // level.shape[-1]
        known = avg_pool2d(valid, stride)
        target = avg_pool2d(flow * valid, stride) / known.clamp(min=1e-6)
        total = total + weight * _error(level.float() * DIVISOR, target, (known > 0.99).float())
    return total


@contextmanager
def _levels(model: Any, count: int) -> Iterator[None]:
    """Run the coarsest levels alone; the library adapts features for the finest."""
    kept = model.num_levels, model.feat2_conv
    if count < kept[0]:
        model.num_levels, model.feat2_conv = count, nn.Identity()
    try:
        yield
    finally:
        model.num_levels, model.feat2_conv = kept


def _error(flow: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean distance over the pixels that are known."""
    distance = ((flow - target).square().sum(1, keepdim=True) + SLACK_PX**2).sqrt()
    return (distance * valid).sum() / valid.sum().clamp(min=1)


LESSON = Lesson(
    weights="flow_ptlflow",
    sheets={"hall": 120},
    defaults=Recipe(steps=7000, batch=8, learning_rate=8e-4, weight_decay=1e-4, clip=1.0),
    examples=examples,
    network=network,
    batch=batch,
    loss=loss,
    # Seven layers each without a norm: else they run away.
    slow=("regularization_nets", 0.1),
)
