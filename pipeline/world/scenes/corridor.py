"""The corridor below a ceiling camera: its floor, its walls and what stands along them.

World coordinates as in `cameras`; the camera is above the origin and looks straight down, so that x
runs to the right of its picture and y to the top. People walk along x.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.world.backdrops import Backdrop, cloud, finish, rays_of
from pipeline.world.bodies import draw_colour
from pipeline.world.cameras import Camera
from pipeline.world.things import Thing, assemble, block, upright

HALF_WIDTH_M = 1.6  # from the middle to a wall
FLOOR_SCALE, FLOOR_LENGTH_M, FLOOR_WIDTH_M = 128, 8, 4  # texture pixels a metre
THINGS = ("bench", "bin", "planter", "radiator")


def draw_ceiling_camera(
    rng: np.random.Generator, number: int, height: float, noise: float, blur: float, quality: int
) -> Camera:
    """A camera of 58 degrees across, for the middle 4:3 of a frame; lamps are above."""
    return Camera(
        number=number, height=height, pitch=np.pi / 2, focal=360 / np.tan(np.radians(29)),
        distance=0.0, path=0.0, sun=(0.2, 0.1, float(np.sqrt(0.95))),
        gain=tuple((np.exp(rng.normal(0, 0.03, 3))).tolist()), saturation=0.85, gamma=0.9,
        blur=blur, noise=noise, quality=quality,
    )  # fmt: skip


def draw_corridor(camera: Camera, rng: np.random.Generator, things: int) -> Backdrop:
    """The empty corridor, with `things` low things along its walls."""
    rays = rays_of(camera)  # (H, W, 3), z -1
    depth = np.full(rays.shape[:2], camera.height)
    colour = _floor(rays[..., :2] * camera.height, rng)
    with np.errstate(divide="ignore"):
        wall = HALF_WIDTH_M / np.abs(rays[..., 1])
    paint = rng.uniform(0.55, 0.8) * np.exp(rng.normal(0, 0.04, 3))
    on_wall, height = wall < camera.height, camera.height - wall
    shown = np.where((height < 0.1)[..., None], 0.35 * paint, paint)  # the skirting below
    colour = np.where(on_wall[..., None], shown, colour)
    depth = np.where(on_wall, wall, depth)
    placed: list[Thing] = []
    for number in range(things):
        side = 1 if number % 2 else -1
        x = rng.uniform(-2.2, 2.2)
        kind = str(rng.choice(THINGS))
        spot = np.array([x, side * (HALF_WIDTH_M - 0.16)])
        placed.append((_thing(kind, side, rng), spot, 0.0))
    if not placed:
        return Backdrop(colour.astype(np.float32), depth.astype(np.float32))
    return finish(colour, depth, camera, *assemble(placed))


def _thing(kind: str, side: int, rng: np.random.Generator) -> list[dict]:
    """The solids of one low thing at a wall."""
    colour, grey = np.array(draw_colour(rng, 0.4)), rng.uniform(0.3, 0.8) * np.ones(3)
    if kind == "bench":
        return [block([0, 0, 0.42], [0.6, 0.15, 0.04], colour)]
    if kind == "bin":
        return [upright([0, 0, 0.1], [0, 0, 0.5], 0.13, grey)]
    if kind == "radiator":
        return [block([0, 0.06 * side, 0.4], [0.5, 0.05, 0.3], 0.5 + 0.5 * grey)]
    leaf = np.array([0.16, 0.36, 0.14]) * rng.uniform(0.7, 1.4)
    return [block([0, 0, 0.2], [0.18, 0.14, 0.2], grey),
            upright([-0.08, 0, 0.5], [0.08, 0.02, 0.6], 0.16, leaf)]  # fmt: skip


def _floor(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colours of the floor at (H, W, 2) points, metres: tiles or a carpet, a mat, stains."""
    high, wide = FLOOR_WIDTH_M * FLOOR_SCALE, FLOOR_LENGTH_M * FLOOR_SCALE
    base = rng.uniform(0.25, 0.6) * np.exp(rng.normal(0, 0.08, 3))
    texture = np.broadcast_to(base, (high, wide, 3)).copy()
    texture *= (1 + 0.1 * cloud(rng, high, wide, 6))[..., None]
    step = int(rng.choice([38, 64, 96]))
    if rng.random() < 0.7:
        texture[::step] *= 0.75
        texture[:, ::step] *= 0.75
    else:
        texture *= rng.normal(1, 0.06, (high, wide, 1))  # the pile of a carpet
    band = np.array(draw_colour(rng, 0.4))
    texture[high // 2 - 100 : high // 2 - 88] = band  # a line along the way
    left = int(rng.integers(0, wide - 160))
    texture[high // 2 + 40 : high // 2 + 150, left : left + 150] *= 0.6 + 0.5 * band
    columns = ((points[..., 0] + FLOOR_LENGTH_M / 2) * FLOOR_SCALE).astype(np.float32)
    rows = ((FLOOR_WIDTH_M / 2 - points[..., 1]) * FLOOR_SCALE).astype(np.float32)
    return cv2.remap(
        texture.astype(np.float32), columns, rows, cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
    )
