"""The mall that a camera watches: a polished floor, one long row of lit shops, and its fittings.

Each shop and each mat on the floor has its own colours, so a spot of the mall is known by what is
behind the person. Planters, kiosks, rails and stands before the walking path hide people, mostly
their legs.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from pipeline.world.backdrops import (
    WALL_SCALE,
    Backdrop,
    cloud,
    finish,
    letters,
    rays_of,
    wall_points,
)
from pipeline.world.bodies import draw_colour
from pipeline.world.cameras import Camera
from pipeline.world.things import block, stand_about, upright

CEILING_M = 5.2
SHOPS_WIDTH_M = 40  # then they repeat
DOOR_M, SIGN_M, FASCIA_M = 2.7, 3.3, 4.0  # heights: of the fronts, up to the signs, the fascia
FLOOR_SCALE, FLOOR_SIDE_M = 64, 12  # texture pixels a metre; repeats
REACH_M = 2.8  # people walk up to this far to both sides of the middle of the path
BEFORE = ("planter", "rail", "stand", "kiosk", "bin", "screen")
BEHIND = ("pillar", "planter", "bench", "rack", "kiosk", "stand", "bin")


def draw_interior(camera: Camera, rng: np.random.Generator, things: int) -> Backdrop:
    """The empty mall before a camera, with about `things` fittings."""
    rays = rays_of(camera)
    colour, depth = _ceiling(rays, camera, rng), np.full(rays.shape[:2], np.inf)
    _draw_shops_and_floor(rays, colour, depth, camera, rng)
    solids, frames = stand_about(camera, rng, things, BEFORE, BEHIND, fitting)
    return finish(colour, depth, camera, solids, frames)


def below_ceiling(drawn: Camera, height: float, zoom: float) -> Camera:
    """A camera hung at `height` metres, its focal length scaled; light comes from above."""
    x, y = 0.3 * drawn.sun[0], 0.3 * drawn.sun[1]
    return replace(
        drawn, height=height, pitch=float(np.arctan2(height - 0.9, drawn.distance)),
        focal=drawn.focal * zoom, sun=(x, y, float(np.sqrt(1 - x**2 - y**2))),
    )  # fmt: skip


def _ceiling(rays: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Pale panels with a lamp in every fourth."""
    with np.errstate(divide="ignore", invalid="ignore"):
        hit = (CEILING_M - camera.height) / rays[..., 2]
    up = (rays[..., 2] > 0.01) & (hit > 0)
    x, y = (np.where(up, hit, 0) * rays[..., axis] for axis in (0, 1))
    base = rng.uniform(0.6, 0.8) * np.exp(rng.normal(0, 0.03, 3))
    colour = np.broadcast_to(base, rays.shape).copy()
    colour[up & (x % 2.4 < 0.6) & (y % 2.4 < 0.6)] = 1.0
    colour[up & ((x % 0.6 < 0.03) | (y % 0.6 < 0.03))] *= 0.85
    return colour


def _draw_shops_and_floor(rays, colour, depth, camera: Camera, rng: np.random.Generator) -> None:
    near = 1.5 + REACH_M * abs(float(np.sin(camera.path)))  # nobody walks into a shop
    hit, height, across = wall_points(rays, camera, rng, near, near + 1.5)
    ahead = (hit > 0) & np.isfinite(hit)
    wall = ahead & (height > 0) & (height < CEILING_M)
    shops = _shops(rng)
    paint = _look_up(shops, np.where(ahead, across, 0), np.abs(np.where(ahead, height, 0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        down = -camera.height / rays[..., 2]
    floor = (rays[..., 2] < 0) & (down < np.where(ahead, hit, np.inf)) & (down < 200)
    colour[wall], depth[wall] = paint[wall], hit[wall]
    tiles = _floor(np.where(floor, down, 0)[..., None] * rays[..., :2], rng)
    shine = rng.uniform(0.08, 0.3) * ahead[..., None]  # the row of shops, mirrored in the floor
    blurred = cv2.GaussianBlur(paint, (0, 0), 5)
    mirrored = (1 - shine) * tiles + shine * blurred
    colour[floor], depth[floor] = mirrored[floor], down[floor]


def _look_up(shops: np.ndarray, across: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The texture of the row of shops at positions along it and heights, metres."""
    columns = (across * WALL_SCALE) % shops.shape[1]
    rows = shops.shape[0] - 1 - height * WALL_SCALE
    at = columns.astype(np.float32), rows.astype(np.float32)
    return cv2.remap(shops, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _floor(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colours of the tiled floor at (H, W, 2) points, metres."""
    side = FLOOR_SIDE_M * FLOOR_SCALE
    base = rng.uniform(0.45, 0.8) * np.exp(rng.normal(0, 0.06, 3))
    second = base * rng.uniform(0.55, 0.9) * np.exp(rng.normal(0, 0.08, 3))
    step = int(rng.choice([32, 48, 64, 96]))  # texture pixels of a tile; divides the side
    row, column = np.indices((side // step, side // step))
    patterns = [
        (row + column) % 2 == 0, row % 4 == 0, (row % 3 == 0) | (column % 3 == 0),
        (row + 2 * column) % 5 == 0, np.zeros(row.shape, bool),
    ]  # fmt: skip
    other = patterns[rng.integers(len(patterns))]
    tiles = np.where(other[..., None], second, base) * rng.normal(1, 0.02, (*row.shape, 1))
    texture = np.kron(tiles, np.ones((step, step, 1)))
    for _ in range(14):  # mats, anywhere
        left, top = rng.integers(0, side, 2)
        wide, long = (rng.uniform(0.8, 2.0, 2) * FLOOR_SCALE).astype(int)
        texture[top : top + long, left : left + wide] = 0.8 * np.array(draw_colour(rng, 0.7))
    texture *= (1 + 0.05 * cloud(rng, side, side, 6))[..., None]
    texture[::step] *= 0.8
    texture[:, ::step] *= 0.8
    angle = rng.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    columns, rows = ((v * FLOOR_SCALE % side).astype(np.float32)
                     for v in (c * x + s * y, c * y - s * x))  # fmt: skip
    texture = texture.astype(np.float32)
    return cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _shops(rng: np.random.Generator) -> np.ndarray:
    """(CEILING_M, SHOPS_WIDTH_M) metres of shop fronts as float32 texture."""
    height, width = round(CEILING_M * WALL_SCALE), SHOPS_WIDTH_M * WALL_SCALE
    base = rng.uniform(0.6, 0.85) * np.exp(rng.normal(0, 0.05, 3))
    texture = np.broadcast_to(base.astype(np.float32), (height, width, 3)).copy()
    texture *= 1 + 0.04 * cloud(rng, height, width)[..., None]
    start = 0
    while start < width - 2 * WALL_SCALE:  # one shop after the other, a pillar's width between
        end = min(start + int(rng.uniform(2.2, 5.0) * WALL_SCALE), width)
        _shop(texture[:, start + 8 : end - 8], rng)
        start = end
    return texture.clip(0.02, 1.1)


def _shop(wall: np.ndarray, rng: np.random.Generator) -> None:
    """Draw one lit shop into its stretch of wall."""
    bottom, width = wall.shape[:2]
    top, sign = bottom - int(DOOR_M * WALL_SCALE), bottom - int(SIGN_M * WALL_SCALE)
    fascia = bottom - int(FASCIA_M * WALL_SCALE)
    trade = np.array(draw_colour(rng, 0.85))
    wall[fascia:sign] = 0.6 * trade + 0.3
    wall[sign:top] = np.array(draw_colour(rng, 0.8))
    letters(wall[sign:top], np.array(draw_colour(rng, 0.4)), rng)
    inside = (0.35 * trade + rng.uniform(0.15, 0.5)) * np.array([1.05, 1.0, 0.9])
    glow = np.linspace(1.15, 0.75, bottom - top)[:, None, None]
    wall[top:] = inside * glow
    kind = str(rng.choice(["shelves", "shelves", "figures", "posters", "dark"]))
    if kind == "dark":
        wall[top:] *= 0.3
    if kind == "shelves":
        _draw_shelves(wall[top:], rng)
    for _ in range({"figures": 4, "posters": 3}.get(kind, 1)):
        x = int(rng.uniform(0.02, 0.8) * width)
        draw = _draw_figure if kind == "figures" else _draw_poster
        draw(wall[top:, x:], rng)
    wall[top:, :: int(rng.uniform(1.0, 1.8) * WALL_SCALE)] *= 0.5  # the frames of the panes
    wall[bottom - int(rng.uniform(0.08, 0.3) * WALL_SCALE) :] = 0.4 * trade


def _draw_shelves(wall: np.ndarray, rng: np.random.Generator) -> None:
    """Boards full of goods of a few colours."""
    palette = [np.array(draw_colour(rng, 0.7)) for _ in range(5)]
    high = int(rng.uniform(0.3, 0.55) * WALL_SCALE)
    for board in range(high, wall.shape[0], high):
        x = 4
        while x < wall.shape[1] - 4:
            wide, tall = int(rng.integers(4, 20)), int(rng.uniform(0.4, 0.9) * high)
            wall[board - tall : board, x : x + wide] = palette[rng.integers(5)]
            x += wide + int(rng.integers(1, 5))
        wall[board : board + 3] = 0.25


def _draw_figure(wall: np.ndarray, rng: np.random.Generator) -> None:
    """A dressed dummy in the window."""
    foot, unit = wall.shape[0] - 6, WALL_SCALE // 8
    top, legs = np.array(draw_colour(rng, 0.7)), np.array(draw_colour(rng, 0.4))
    wall[foot - 7 * unit : foot, 2 * unit : 5 * unit] = legs
    wall[foot - 12 * unit : foot - 7 * unit, unit : 6 * unit] = top
    wall[foot - 14 * unit : foot - 12 * unit, 3 * unit : 4 * unit + 3] = 0.85


def _draw_poster(wall: np.ndarray, rng: np.random.Generator) -> None:
    """A large picture of two colours."""
    high, wide = wall.shape[0], int(rng.uniform(0.5, 1.1) * WALL_SCALE)
    top, low = int(rng.uniform(0.1, 0.3) * high), int(rng.uniform(0.7, 0.95) * high)
    wall[top:low, :wide] = np.array(draw_colour(rng, 0.8))
    middle = (top + low) // 2
    wall[middle : low - 8, 6 : max(wide - 6, 7)] = np.array(draw_colour(rng, 0.8))


def fitting(kind: str, rng: np.random.Generator) -> list[dict]:
    """The solids of one fitting that stands at the origin of its bone."""
    colour, grey = np.array(draw_colour(rng, 0.5)), rng.uniform(0.3, 0.8) * np.ones(3)
    if kind == "pillar":
        return [upright([0, 0, 0], [0, 0, CEILING_M], rng.uniform(0.22, 0.38), 0.4 + 0.5 * grey)]
    if kind == "planter":
        leaf = np.array([0.16, 0.36, 0.14]) * rng.uniform(0.7, 1.4)
        half = [rng.uniform(0.35, 0.7), 0.25, rng.uniform(0.2, 0.3)]
        bush, tall = 2 * half[2] + 0.1, rng.uniform(0.05, 0.3, 3)
        tops = [upright([x * half[0], 0, bush], [x * half[0], 0, bush + up], 0.22, leaf)
                for x, up in zip((-0.6, 0, 0.6), tall, strict=True)]  # fmt: skip
        return [block([0, 0, half[2]], half, grey), *tops]
    if kind == "kiosk":
        tall = rng.uniform(0.45, 0.58)
        return [block([0, 0, tall], [rng.uniform(0.5, 0.9), 0.3, tall], colour),
                block([0, 0, 2 * tall + 0.02], [1.0, 0.36, 0.03], grey)]  # fmt: skip
    if kind == "rail":
        posts = [upright([x, 0, 0], [x, 0, 1.0], 0.03, grey) for x in (-1.0, 0, 1.0)]
        bars = [upright([-1.0, 0, z], [1.0, 0, z], 0.025, grey) for z in (0.3, 0.65, 1.02)]
        return posts + bars
    if kind == "bench":
        return [block([0, 0, 0.42], [0.8, 0.22, 0.04], colour),
                block([-0.6, 0, 0.2], [0.05, 0.2, 0.2], grey),
                block([0.6, 0, 0.2], [0.05, 0.2, 0.2], grey)]  # fmt: skip
    if kind == "rack":
        clothes = [block([x, 0, 0.95], [0.05, 0.22, 0.42], draw_colour(rng, 0.6))
                   for x in np.arange(-0.55, 0.6, 0.13)]  # fmt: skip
        return [upright([-0.7, 0, 1.45], [0.7, 0, 1.45], 0.02, grey), *clothes]
    if kind == "screen":
        return [block([0, 0, 0.95], [0.28, 0.06, 0.95], colour)]
    if kind == "stand":
        return [upright([0, 0, 0], [0, 0, 1.0], 0.03, grey),
                block([0, 0, 1.15], [0.3, 0.03, 0.4], colour)]  # fmt: skip
    return [upright([0, 0, 0.2], [0, 0, 0.7], 0.22, grey)]  # a bin
