"""Solids (capsules and boxes) that ride on moving bones, and the rays that hit them.

A bone is a rigid frame: an origin and a rotation whose columns are its forward, left and up axes.
Each solid is fixed in the frame of its bone, so a surface point keeps its local coordinates while
the bone moves: that is what carries patterns and optical flow.

Rays start at the camera and have z = 1, so the ray parameter is the depth along the optical axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

CAPSULE, BOX = 0, 1


@dataclass(frozen=True)
class Solids:
    """K solids with their look; lengths in metres, colours 0 to 1."""

    kind: np.ndarray  # (K,) CAPSULE or BOX
    bone: np.ndarray  # (K,) the bone that carries it
    start: np.ndarray  # (K, 3) first end of a capsule's axis; centre of a box
    end: np.ndarray  # (K, 3) second end of the axis; half sizes of a box
    radius: np.ndarray  # (K,) of a capsule; 0 for a box
    part: np.ndarray  # (K,) number in the part map, see `bodies.PARTS`
    colour: np.ndarray  # (K, 3)
    second: np.ndarray  # (K, 3) the pattern's other colour
    under: np.ndarray  # (K, 3) shown below `cut`: skin below a sleeve
    cut: np.ndarray  # (K,) local height below which `under` shows
    pattern: np.ndarray  # (K,) see `paint`
    period: np.ndarray  # (K,) of the pattern, metres


class Frames(NamedTuple):
    """Where B bones are: `origin` (B, 3) metres, `rotation` (B, 3, 3), local to outer."""

    origin: np.ndarray
    rotation: np.ndarray

    def take(self, bones: np.ndarray) -> Frames:
        """The frames of these bones, one per entry."""
        return Frames(self.origin[bones], self.rotation[bones])

    def seen_from(self, origin: np.ndarray, rotation: np.ndarray) -> Frames:
        """The same frames in another frame's coordinates, whose pose is in the present ones."""
        return Frames((self.origin - origin) @ rotation, rotation.T @ self.rotation)

    def to_outer(self, local: np.ndarray) -> np.ndarray:
        """(B, 3) local points, one per frame, in outer coordinates."""
        return self.origin + (self.rotation @ local[..., None])[..., 0]

    def to_local(self, outer: np.ndarray) -> np.ndarray:
        """(B, 3) outer points, one per frame, in local coordinates."""
        return ((outer - self.origin)[:, None, :] @ self.rotation)[:, 0]


class Hits(NamedTuple):
    """For each pixel the nearest solid and its depth."""

    index: np.ndarray  # (H, W) int16, -1 where nothing is hit
    depth: np.ndarray  # (H, W) float64 metres, infinite where nothing is hit


def make_solids(rows: list[dict]) -> Solids:
    """Solids from one dictionary each; what is left out is plain."""
    plain = {
        "kind": CAPSULE, "bone": 0, "radius": 0.0, "part": 0, "cut": -np.inf, "pattern": 0,
        "period": 1.0,
    }  # fmt: skip
    full = []
    for row in rows:
        colour = row["colour"]
        full.append({**plain, "second": colour, "under": colour, **row})
    return Solids(**{f.name: np.array([row[f.name] for row in full]) for f in fields(Solids)})


def join_solids(parts: list[Solids]) -> Solids:
    """All solids in one; the bones are renumbered so that frames are joined in the same order."""
    joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Solids)}
    counts = [0, *(int(p.bone.max()) + 1 for p in parts[:-1])]
    shift = np.repeat(np.cumsum(counts), [len(p.bone) for p in parts])
    return Solids(**{**joined, "bone": joined["bone"] + shift})


def some_solids(solids: Solids, chosen: int | np.ndarray) -> Solids:
    """The first `chosen` solids, or those of a (K,) mask."""
    keep = np.arange(len(solids.kind)) < chosen if isinstance(chosen, int) else chosen
    return Solids(**{f.name: getattr(solids, f.name)[keep] for f in fields(Solids)})


def join_frames(parts: Sequence[Frames]) -> Frames:
    """The frames of several actors, one after the other."""
    return Frames(
        np.concatenate([p.origin for p in parts]), np.concatenate([p.rotation for p in parts])
    )


def ray_capsule(
    x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float
) -> np.ndarray:
    """Depth at which the rays (x, y, 1) from the origin first hit a capsule, else infinity.

    `x` and `y` broadcast together; `start` and `end` (3,) are the ends of the axis. The capsule
    is a cylinder with two half spheres; the origin must be outside it.
    """
    axis = end - start
    length2 = float(axis @ axis)
    along = x * axis[0] + (y * axis[1] + axis[2])  # ray . axis
    toward = x * start[0] + (y * start[1] + start[2])  # ray . start
    norm2 = x * x + (y * y + 1)
    offset = -float(axis @ start)
    a = length2 * norm2 - along * along
    b = -length2 * toward - offset * along
    c = length2 * (float(start @ start) - radius * radius) - offset * offset
    under = b * b - a * c
    depth = np.full(under.shape, np.inf)
    met = np.nonzero(under >= 0)  # the endless cylinder, in which the half spheres lie too
    a, b, along, toward, norm2 = a[met], b[met], along[met], toward[met], norm2[met]
    side = (-b - np.sqrt(under[met])) / np.maximum(a, 1e-12)
    position = offset + side * along  # along the axis, in units of its squared length
    at_end = position >= length2
    reach = np.where(at_end, toward + along, toward)
    size = np.where(at_end, float(end @ end), float(start @ start)) - radius * radius
    under_cap = reach * reach - norm2 * size
    cap = (reach - np.sqrt(np.maximum(under_cap, 0))) / norm2
    cap = np.where(under_cap >= 0, cap, np.inf)
    first = np.where(at_end | (position <= 0), cap, side)
    depth[met] = np.where(first > 0, first, np.inf)
    return depth


def ray_box(x: np.ndarray, y: np.ndarray, frame: Frames, centre: np.ndarray, half: np.ndarray):
    """Depth at which the rays (x, y, 1) first hit a box, else infinity.

    `frame` is one bone (origin (3,), rotation (3, 3)), `centre` and `half` (3,) are in its
    coordinates; the origin of the rays must be outside the box.
    """
    origin = -frame.origin @ frame.rotation - centre
    near, far = 0.0, np.inf
    for axis in range(3):
        right, down, ahead = frame.rotation[:, axis]
        slope = x * right + y * down + ahead
        slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        one, two = (-half[axis] - origin[axis]) / slope, (half[axis] - origin[axis]) / slope
        near = np.maximum(near, np.minimum(one, two))
        far = np.minimum(far, np.maximum(one, two))
    return np.where((near < far) & (near > 0), near, np.inf)


def cast(solids: Solids, frames: Frames, x: np.ndarray, y: np.ndarray) -> Hits:
    """The nearest solid along each ray of a grid.

    `frames` holds one frame per solid, in camera coordinates (right, down, ahead); `x` (W,) and
    `y` (H,) are the evenly spaced slopes of the rays. Each solid is tried only on the rectangle
    of rays that can meet it.
    """
    index = np.full((len(y), len(x)), -1, np.int16)
    depth = np.full((len(y), len(x)), np.inf)
    box = solids.kind == BOX
    starts, ends = frames.to_outer(solids.start), frames.to_outer(solids.end)
    reach = np.where(box, np.linalg.norm(solids.end, axis=1), solids.radius)
    balls = np.stack([starts, np.where(box[:, None], starts, ends)], axis=1)
    for k, (top, bottom, left, right) in enumerate(_rectangles(balls, reach, x, y).tolist()):
        if top >= bottom or left >= right:
            continue
        rows, columns = slice(top, bottom), slice(left, right)
        rays = x[None, columns], y[rows, None]
        if box[k]:
            frame = Frames(frames.origin[k], frames.rotation[k])
            hit = ray_box(*rays, frame, solids.start[k], solids.end[k])
        else:
            hit = ray_capsule(*rays, starts[k], ends[k], reach[k])
        nearer = hit < depth[rows, columns]
        depth[rows, columns][nearer] = hit[nearer]
        index[rows, columns][nearer] = k
    return Hits(index, depth)


def _rectangles(balls: np.ndarray, radius: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(K, 4) top, bottom, left, right of the grid's part that can see any of (K, 2, 3) balls."""
    near, far = balls[..., 2] - radius[:, None], balls[..., 2] + radius[:, None]
    behind = near.min(1) < 0.05  # at or behind the camera: not seen
    near = np.maximum(near, 0.05)
    spans = []
    for axis, grid in ((1, y), (0, x)):
        low, high = balls[..., axis] - radius[:, None], balls[..., axis] + radius[:, None]
        low = np.minimum(low / near, low / far).min(1)
        high = np.maximum(high / near, high / far).max(1)
        step = (grid[-1] - grid[0]) / (len(grid) - 1)
        spans.append(np.floor((low - grid[0]) / step).clip(0, len(grid)))
        spans.append((np.ceil((high - grid[0]) / step) + 1).clip(0, len(grid)))
    spans[1] = np.where(behind, 0, spans[1])
    return np.stack(spans, axis=1).astype(int)
