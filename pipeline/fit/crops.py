"""Fits a YOLO detector of ultralytics to frames of the top view.

Source  the library's network and loss; its 80 classes stay, of which the first is a person
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pipeline.backends.libraries.ultralytics import import_ultralytics, own_threads, untrained
from pipeline.fit.looks import change_light, degrade
from pipeline.fit.people import Example
from pipeline.fit.training import Lesson, Recipe

MODEL = "yolo11n"
SIZE = 192, 256  # of the frames, height and width
SCALE = 0.2  # log standard deviation of how much larger or smaller a frame is made
LEAST_SIDE = 4.0  # pixels; smaller boxes are nobody


class Frame(NamedTuple):
    image: np.ndarray  # (H, W, 3) uint8 RGB
    boxes: np.ndarray  # (N, 4) x1, y1, x2, y2 pixels


class Batch(NamedTuple):
    images: Tensor  # (B, 3, 192, 256) uint8 RGB
    boxes: Tensor  # (N, 4) middle, width and height, in shares of the frame
    frames: Tensor  # (N,) whose they are


def examples(sheet: Sequence[Example]) -> list[Frame]:
    return [Frame(one.image, one.boxes) for one in sheet]


def network(device: str) -> nn.Module:
    ultralytics = import_ultralytics()
    with own_threads():
        model = untrained(MODEL, "detect").model
        model.args = ultralytics.cfg.get_cfg()
    return model.to(device).train()


def batch(frames: Sequence[Frame], rng: np.random.Generator) -> Batch:
    """Frames mirrored both ways at times, larger, smaller and moved, in other light."""
    images, boxes, owners = [], [], []
    for number, frame in enumerate(frames):
        image = degrade(change_light(frame.image, rng), rng)
        matrix = _matrix(image.shape[0], image.shape[1], rng)
        size = SIZE[1], SIZE[0]
        images.append(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101))
        corners = np.stack([frame.boxes[:, :2], frame.boxes[:, 2:]], 1)  # (N, 2, 2)
        moved = corners @ matrix[:, :2].T + matrix[:, 2]
        low = moved.min(1).clip(0, size)
        high = moved.max(1).clip(0, size)
        seen = (high - low > LEAST_SIDE).all(1)
        shares = np.hstack([(low + high) / 2, high - low])[seen] / [*size, *size]
        boxes.append(shares.astype(np.float32))
        owners += [number] * len(shares)
    return Batch(
        torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(np.concatenate(boxes)),
        torch.tensor(owners, dtype=torch.float32),
    )


def _matrix(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(2, 3) from a frame's pixels to the input's: scaled about a point near the middle."""
    scale = min(SIZE[0] / height, SIZE[1] / width) * float(np.exp(SCALE * rng.normal()))
    signs = rng.choice([-1.0, 1.0], 2)
    middle = np.array([width, height]) * (0.5 + 0.08 * rng.normal(size=2))
    linear = np.diag(scale * signs)
    return np.column_stack([linear, np.array(SIZE[::-1]) / 2 - linear @ middle])


def loss(model: Any, batch: Batch, device: str, share: float) -> Tensor:
    """The library's losses of boxes, classes and their distributions, a frame."""
    del share
    images, boxes, frames = (part.to(device) for part in batch)
    losses, _ = model.loss(
        {
            "img": images.float() / 255, "bboxes": boxes, "batch_idx": frames,
            "cls": torch.zeros(len(boxes), 1, device=device),
        }
    )  # fmt: skip
    return losses.sum() / len(images)


LESSON = Lesson(
    weights="crops_ultralytics",
    sheets={"topview": 150},
    defaults=Recipe(steps=1000, batch=16, learning_rate=2e-3, weight_decay=5e-4),
    examples=examples,
    network=network,
    batch=batch,
    loss=loss,
)
