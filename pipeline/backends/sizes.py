"""Images of many sizes through a network, so that a batch gives what single images give.

A batch is one array: what is not as large as the largest is padded, and a network feels how much.
So each image is either fitted into one size, or batched with those alone that are padded alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

Size = tuple[int, int]  # height, width in pixels


def fit_into(image: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale an image to fit into height x width, zeros below and right; and its (x, y) scale."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return canvas, (size[0] / image.shape[1], size[1] / image.shape[0])


def scaled_size(size: Size, shortest: int, longest: int) -> Size:
    """The size whose shorter side is `shortest`, or less where the longer would pass `longest`."""
    scale = min(shortest / min(size), longest / max(size))
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def padded_size(size: Size, stride: int) -> Size:
    """The size rounded up to multiples of a network's stride."""
    return -(-size[0] // stride) * stride, -(-size[1] // stride) * stride


def by_size(
    images: Sequence[np.ndarray],
    size_of: Callable[[Size], Size],
    run: Callable[[list[np.ndarray], Size], Sequence[Any]],
) -> list[Any]:
    """The results of `run(images, size)` over images grouped by `size_of` theirs, in order."""
    groups: dict[Size, list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(size_of((image.shape[0], image.shape[1])), []).append(index)
    results: list[Any] = [None] * len(images)
    for size, chosen in groups.items():
        outputs = run([images[index] for index in chosen], size)
        for index, result in zip(chosen, outputs, strict=True):
            results[index] = result
    return results
