"""Colour of the surface points that rays hit: patterns in local coordinates, then light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.world.shapes import BOX, Frames, Hits, Solids

PATTERN = {name: number for number, name in enumerate(
    ("plain", "hoops", "stripes", "checks", "open", "yoke", "print"))}  # fmt: skip


@dataclass(frozen=True)
class Light:
    """Light of a scene."""

    sun: np.ndarray  # (3,) unit vector towards the sun, world coordinates
    strength: float  # of the direct light; the rest comes from the sky
    tint: np.ndarray  # (3,) colour of all light; its mean is the brightness


class Surface(NamedTuple):
    """The N points that were hit."""

    pixels: tuple[np.ndarray, np.ndarray]  # rows and columns
    solid: np.ndarray  # (N,) which solid
    local: np.ndarray  # (N, 3) in the frame of its bone


def surface(hits: Hits, frames: Frames, x: np.ndarray, y: np.ndarray, keep: np.ndarray) -> Surface:
    """The points hit where `keep` (H, W) is true; other arguments as in `cast`."""
    rows, columns = np.nonzero(keep)
    solid = hits.index[rows, columns]
    depth = hits.depth[rows, columns]
    points = np.stack([x[columns] * depth, y[rows] * depth, depth], axis=1)
    return Surface((rows, columns), solid, frames.take(solid).to_local(points))


def shade(points: Surface, solids: Solids, frames: Frames, light: Light, up: np.ndarray):
    """(N, 3) colours of the points; `up` (3, 3) turns world into camera coordinates."""
    normal = (frames.rotation[points.solid] @ _normals(points, solids)[..., None])[..., 0]
    direct = np.maximum(normal @ (up @ light.sun), 0)
    sky = 0.5 + 0.5 * (normal @ up[:, 2])
    bright = light.strength * direct + (1 - light.strength) * (0.45 + 0.55 * sky) + 0.12
    x, y, z = points.local.T
    folds = 1 + 0.06 * np.sin(47 * z + 21 * y) * np.sin(29 * x + 13 * z)
    folds = np.where(solids.kind[points.solid] == BOX, 1, folds)
    return _albedo(points, solids) * light.tint * (bright * folds)[:, None]


def _normals(points: Surface, solids: Solids) -> np.ndarray:
    """(N, 3) outward unit normals in local coordinates."""
    start, end = solids.start[points.solid], solids.end[points.solid]
    box = solids.kind[points.solid] == BOX
    axis = np.where(box[:, None], 1.0, end - start)
    offset = points.local - start
    share = ((offset * axis).sum(1) / np.maximum((axis * axis).sum(1), 1e-12)).clip(0, 1)
    normal = offset - share[:, None] * axis
    if box.any():
        shares = offset / np.where(box[:, None], end, 1.0)
        face = np.abs(shares).argmax(1)[:, None] == np.arange(3)
        normal = np.where(box[:, None], np.sign(shares) * face, normal)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def _albedo(points: Surface, solids: Solids) -> np.ndarray:
    solid = points.solid
    x, y, z = points.local.T
    pattern, period = solids.pattern[solid], solids.period[solid]
    rows, columns = (z / period) % 1 < 0.5, (y / (0.6 * period)) % 1 < 0.4
    choices = [
        (pattern == PATTERN["hoops"]) & rows,
        (pattern == PATTERN["stripes"]) & columns,
        (pattern == PATTERN["checks"]) & (rows ^ columns),
        (pattern == PATTERN["open"]) & (x > 0) & (np.abs(y) < 0.3 * period + 0.02),
        (pattern == PATTERN["yoke"]) & (z > 0.12 + 1.2 * period),
        (pattern == PATTERN["print"])
        & (x > 0)
        & (np.abs(y) < 0.09)
        & (np.abs(z - 0.3) < period / 2),
    ]
    colour = solids.colour[solid]
    colour = np.where(np.any(choices, axis=0)[:, None], solids.second[solid], colour)
    return np.where((z < solids.cut[solid])[:, None], solids.under[solid], colour)
