"""Changes of an image's look that keep its ground truth: light, colour, blur, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from reid.arrays.images import decode, encode_jpeg

CHANCE = 0.5  # of each change


def change_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(..., 3) uint8 RGB: exposure, contrast, gamma, tint and saturation."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.exp(0.25 * rng.normal() + 0.08 * rng.normal(size=3))
    curve = (levels ** np.exp(0.2 * rng.normal()) - 0.5) * np.exp(0.15 * rng.normal()) + 0.5
    table = np.rint(255 * (curve * gain).clip(0, 1)).astype(np.uint8)  # (256, 3)
    changed = np.stack([table[image[..., c], c] for c in range(3)], -1)
    share = np.float32(np.clip(np.exp(0.3 * rng.normal()), 0, 1.4))
    gray = changed.mean(-1, keepdims=True, dtype=np.float32)
    return np.rint(gray + share * (changed - gray)).clip(0, 255).astype(np.uint8)


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB: blur, noise, fewer pixels, JPEG, each at times."""
    height, width = image.shape[:2]
    if rng.random() < 0.3 * CHANCE:
        share = rng.uniform(0.5, 0.9)
        small = max(8, round(width * share)), max(8, round(height * share))
        less = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        image = cv2.resize(less, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4 * CHANCE:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < CHANCE:
        noise = rng.normal(0, rng.uniform(1, 8), image.shape)
        image = np.rint(image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < CHANCE:
        image = decode(encode_jpeg(image, int(rng.integers(35, 95))))
    return image
