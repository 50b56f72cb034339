"""The scene that a camera watches: its empty full frame with depth, drawn once per camera.

A paved ground, one long facade (brick, plaster or concrete with windows, doors and shop signs),
and things that stand about: posts, trees, bins and parked cars. What stands before the walking
path hides people.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from pipeline.world.bodies import draw_colour
from pipeline.world.cameras import FRAME_HEIGHT, FRAME_WIDTH, Camera, Window
from pipeline.world.paint import Light, shade, surface
from pipeline.world.shapes import Frames, Solids, cast
from pipeline.world.things import stand_about, thing

GROUND_SCALE, WALL_SCALE = 64, 48  # texture pixels a metre
GROUND_SIDE, WALL_WIDTH, WALL_HEIGHT = 16, 40, 9  # metres; both repeat
WHOLE = Window(0, 0, FRAME_WIDTH, FRAME_HEIGHT)
BEFORE = ("post", "sign", "bin")  # on the camera's side of the path: only what is slender
BEHIND = ("post", "sign", "tree", "bin", "car", "car")


class Backdrop(NamedTuple):
    """A camera's frame without people."""

    colour: np.ndarray  # (FRAME_HEIGHT, FRAME_WIDTH, 3) float32 RGB, 0 to 1
    depth: np.ndarray  # (FRAME_HEIGHT, FRAME_WIDTH) float32 metres, infinite for the sky


def draw_backdrop(camera: Camera, rng: np.random.Generator, things: int) -> Backdrop:
    """The empty scene before a camera, with about `things` posts, trees, bins and cars."""
    rays = rays_of(camera)
    colour, depth = _sky(rays, rng), np.full(rays.shape[:2], np.inf)
    _draw_wall(rays, colour, depth, camera, rng)
    _draw_ground(rays, colour, depth, camera, rng)
    solids, frames = stand_about(camera, rng, things, BEFORE, BEHIND, thing)
    return finish(colour, depth, camera, solids, frames)


def rays_of(camera: Camera) -> np.ndarray:
    """(FRAME_HEIGHT, FRAME_WIDTH, 3) directions of a frame's rays in world coordinates."""
    x, y = camera.slopes(WHOLE, FRAME_HEIGHT, FRAME_WIDTH)
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), -1) @ camera.rotation.T


def finish(
    colour: np.ndarray, depth: np.ndarray, camera: Camera, solids: Solids, frames: Frames
) -> Backdrop:
    """The backdrop with solids put into it; changes both arrays."""
    x, y = camera.slopes(WHOLE, FRAME_HEIGHT, FRAME_WIDTH)
    light = Light(np.array(camera.sun), 0.4, np.ones(3))
    seen = camera.see(frames.take(solids.bone))
    hits = cast(solids, seen, x, y)
    points = surface(hits, seen, x, y, hits.depth < depth)
    colour[points.pixels] = shade(points, solids, seen, light, camera.rotation.T)
    depth[points.pixels] = hits.depth[points.pixels]
    return Backdrop(
        cv2.GaussianBlur(colour.astype(np.float32), (0, 0), 0.7), depth.astype(np.float32)
    )


def wall_points(
    rays: np.ndarray, camera: Camera, rng: np.random.Generator, near: float, far: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where rays meet an endless wall behind the path: ray parameter, height and way along it (m).

    The wall stands `near` to `far` metres behind the middle of the path, a little aslant. Rays that
    lead away from it have a parameter of 0 or less, or none.
    """
    slant = rng.uniform(-0.35, 0.35)
    c, s = np.cos(slant), np.sin(slant)
    normal, along = np.array([s, -c]), np.array([c, s])
    away = camera.distance + rng.uniform(near, far)
    with np.errstate(divide="ignore", invalid="ignore"):
        hit = -away / (rays[..., :2] @ normal)
        return hit, camera.height + hit * rays[..., 2], hit * (rays[..., :2] @ along)


def cloud(rng: np.random.Generator, height: int, width: int, octaves: int = 4) -> np.ndarray:
    """(height, width) smooth noise around 0, about -1 to 1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = 4 * 2**octave
        small = rng.normal(0, 0.5**octave, (cells, cells)).astype(np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return 0.5 * total


def _sky(rays: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    high = rays[..., 2:].clip(0, 1)
    haze, blue = rng.uniform(0.75, 0.95, 3), np.array([0.45, 0.6, 0.85])
    return haze + (blue - haze) * high


def _draw_wall(rays, colour, depth, camera: Camera, rng: np.random.Generator) -> None:
    hit, height, across = wall_points(rays, camera, rng, 3.0, 7.0)
    top = rng.uniform(6.0, 9.0)
    seen = (hit > 0) & (height < top) & (height > 0)
    across = np.where(seen, across, 0)
    texture = _facade(rng)
    rows = np.where(seen, (WALL_HEIGHT - height) * WALL_SCALE, 0)
    columns = (across * WALL_SCALE) % texture.shape[1]
    at = columns.astype(np.float32), rows.astype(np.float32)
    paint = cv2.remap(texture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colour[seen], depth[seen] = paint[seen], hit[seen]


def _draw_ground(rays, colour, depth, camera: Camera, rng: np.random.Generator) -> None:
    with np.errstate(divide="ignore"):
        hit = -camera.height / rays[..., 2]
    seen = (hit > 0) & (hit < np.minimum(depth, 200))
    texture, angle = _pavement(rng), rng.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.where(seen, hit, 0) * rays[..., 0], np.where(seen, hit, 0) * rays[..., 1]
    columns, rows = ((v * GROUND_SCALE % len(texture)).astype(np.float32)
                     for v in (c * x + s * y, c * y - s * x))  # fmt: skip
    paint = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    lane = camera.distance + rng.choice([-1, 1]) * rng.uniform(2.5, 3.5)  # a road before or behind
    road = (y < lane) == (lane < camera.distance)
    asphalt = rng.uniform(0.2, 0.4) * (paint.mean(-1, keepdims=True) ** 0.3)
    paint = np.where(road[..., None], asphalt, paint)
    paint[np.abs(y - lane) < 0.09] = rng.uniform(0.5, 0.8)  # the kerb
    dashes = (
        (np.abs(y - lane + np.sign(camera.distance - lane) * 1.2) < 0.08) & (x % 3 < 1.6) & road
    )
    paint[dashes] = 0.85
    colour[seen], depth[seen] = paint[seen], hit[seen]


def _pavement(rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) float32 paving that repeats every `GROUND_SIDE` metres."""
    side = GROUND_SIDE * GROUND_SCALE
    base = rng.uniform(0.3, 0.65) * np.exp(rng.normal(0, 0.05, 3))
    gray = 1 + 0.12 * cloud(rng, side, side, 6) + rng.normal(0, 0.03, (side, side))
    step = int(rng.choice([16, 32, 64, 128]))  # texture pixels; divides the side
    tiles = rng.normal(1, 0.06, (side // step, side // step))
    gray = gray * np.kron(tiles, np.ones((step, step)))
    for line in range(0, side, step):
        gray[line : line + 2] *= 0.75
        gray[:, line : line + 2] *= 0.75
    return (gray[..., None] * base).astype(np.float32)


def _facade(rng: np.random.Generator) -> np.ndarray:
    """(WALL_HEIGHT, WALL_WIDTH, 3) metres of a house front as float32 texture."""
    height, width = WALL_HEIGHT * WALL_SCALE, WALL_WIDTH * WALL_SCALE
    base = rng.uniform(0.25, 0.8) * np.exp(rng.normal(0, 0.1, 3))
    gray = 1 + 0.1 * cloud(rng, height, width, 6) + rng.normal(0, 0.02, (height, width))
    if rng.random() < 0.45:  # bricks
        gray[::8] *= 0.82
        for row in range(0, height, 8):
            gray[row : row + 8, (row // 8 % 2) * 10 :: 20] *= 0.85
    texture = (gray[..., None] * base).astype(np.float32)
    start = 0
    while start < width - 2 * WALL_SCALE:  # one shop after the other
        end = min(start + int(rng.uniform(3, 7) * WALL_SCALE), width)
        _shop(texture[:, start:end], rng)
        start = end
    return texture.clip(0.02, 1)


def _shop(wall: np.ndarray, rng: np.random.Generator) -> None:
    """Draw one shop, with windows above it, into its stretch of wall."""
    height, width = wall.shape[:2]
    metre = WALL_SCALE
    frame, glass = np.array(draw_colour(rng, 0.4)), rng.uniform(0.08, 0.3) * np.array([0.9, 1, 1.1])
    door = int(rng.uniform(0.15, 0.6) * width)
    top, sill = height - int(2.6 * metre), height - int(rng.uniform(0.2, 0.9) * metre)
    if rng.random() < 0.75:
        wall[top:sill, 8 : width - 8] = frame
        wall[top + 6 : sill - 4, 14 : width - 14] = glass
        for _ in range(12):  # goods in the window
            x, y = int(rng.uniform(14, width - 30)), int(rng.uniform(top + 10, sill - 8))
            wall[y : y + int(rng.uniform(5, 40)), x : x + int(rng.uniform(4, 26))] = (
                rng.uniform(0.3, 0.9) * np.array(draw_colour(rng, 0.6)))  # fmt: skip
        wall[:sill][top + 6 : sill - 4, 14 : width - 14] *= 0.8
        sign = slice(top - int(rng.uniform(0.4, 0.8) * metre), top)
        wall[sign] = np.array(draw_colour(rng, 0.6))
        letters(wall[sign], np.array(draw_colour(rng, 0.5)), rng)
    wall[height - int(2.2 * metre) :, door : door + metre] = frame * rng.uniform(0.5, 1.0)
    for x in range(int(0.5 * metre), width - metre, int(rng.uniform(1.6, 2.4) * metre)):
        wall[int(2.5 * metre) : int(4.2 * metre), x - 4 : x + metre + 4] = 0.7 * frame + 0.2
        wall[int(2.5 * metre) + 4 : int(4.2 * metre) - 4, x : x + metre] = glass


def letters(sign: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> None:
    """Draw something like writing into its stretch of wall."""
    high = sign.shape[0]
    for x in range(10, sign.shape[1] - 20, 14):
        if rng.random() < 0.8:
            sign[high // 4 : 3 * high // 4, x : x + int(rng.integers(3, 11))] = colour
