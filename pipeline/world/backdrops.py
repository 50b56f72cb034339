"""The place that a camera watches: its empty full frame with depth, drawn once per camera.

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
from pipeline.world.gait import turn
from pipeline.world.paint import Light, shade, surface
from pipeline.world.shapes import BOX, Frames, Solids, cast, make_solids

GROUND_SCALE, WALL_SCALE = 64, 48  # texture pixels a metre
GROUND_SIDE, WALL_WIDTH, WALL_HEIGHT = 16, 40, 9  # metres; both repeat


class Backdrop(NamedTuple):
    """A camera's frame without people."""

    colour: np.ndarray  # (FRAME_HEIGHT, FRAME_WIDTH, 3) float32 RGB, 0 to 1
    depth: np.ndarray  # (FRAME_HEIGHT, FRAME_WIDTH) float32 metres, infinite for the sky


def draw_backdrop(camera: Camera, rng: np.random.Generator, things: int) -> Backdrop:
    """The empty place of a camera, with about `things` posts, trees, bins and cars."""
    frame = Window(0, 0, FRAME_WIDTH, FRAME_HEIGHT)
    x, y = camera.slopes(frame, FRAME_HEIGHT, FRAME_WIDTH)
    rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), -1) @ camera.rotation.T
    colour, depth = _sky(rays, rng), np.full(rays.shape[:2], np.inf)
    _draw_wall(rays, colour, depth, camera, rng)
    _draw_ground(rays, colour, depth, camera, rng)
    solids, frames = _things(camera, rng, things)
    light = Light(np.array(camera.sun), 0.4, np.ones(3))
    seen = camera.see(frames.take(solids.bone))
    hits = cast(solids, seen, x, y)
    points = surface(hits, seen, x, y, hits.depth < depth)
    colour[points.pixels] = shade(points, solids, seen, light, camera.rotation.T)
    depth[points.pixels] = hits.depth[points.pixels]
    return Backdrop(
        cv2.GaussianBlur(colour.astype(np.float32), (0, 0), 0.7), depth.astype(np.float32)
    )


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
    slant = rng.uniform(-0.35, 0.35)
    normal, along = (
        np.array([np.sin(slant), -np.cos(slant)]),
        np.array([np.cos(slant), np.sin(slant)]),
    )
    away = camera.distance + rng.uniform(3.0, 7.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        hit = -away / (rays[..., :2] @ normal)
    height = camera.height + hit * rays[..., 2]
    top = rng.uniform(6.0, 9.0)
    seen = (hit > 0) & (height < top) & (height > 0)
    across = np.where(seen, hit * (rays[..., :2] @ along), 0)
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
        _letters(wall[sign], np.array(draw_colour(rng, 0.5)), rng)
    wall[height - int(2.2 * metre) :, door : door + metre] = frame * rng.uniform(0.5, 1.0)
    for x in range(int(0.5 * metre), width - metre, int(rng.uniform(1.6, 2.4) * metre)):
        wall[int(2.5 * metre) : int(4.2 * metre), x - 4 : x + metre + 4] = 0.7 * frame + 0.2
        wall[int(2.5 * metre) + 4 : int(4.2 * metre) - 4, x : x + metre] = glass


def _letters(sign: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> None:
    high = sign.shape[0]
    for x in range(10, sign.shape[1] - 20, 14):
        if rng.random() < 0.8:
            sign[high // 4 : 3 * high // 4, x : x + int(rng.integers(3, 11))] = colour


def _things(camera: Camera, rng: np.random.Generator, things: int) -> tuple[Solids, Frames]:
    """What stands about, each on its own bone; only slender things before the walking path."""
    rows, places = [], []
    across, away = np.array([np.cos(camera.path), np.sin(camera.path)]), camera.distance
    aside = np.array([across[1], -across[0]])
    aside = aside if aside @ [0, -1] >= 0 else -aside  # towards the camera where it can be
    for number in range(max(things, 1)):
        side = 1 if number % 2 == 0 else -1
        place = np.array([0, away]) + side * rng.uniform(0.9, 1.7) * aside
        place = place + rng.uniform(-3.5, 3.5) * across
        if place[1] < 0.45 * away:  # not right before the lens
            continue
        kinds = (
            ["post", "sign", "bin"] if side > 0 else ["post", "sign", "tree", "bin", "car", "car"]
        )
        kind = str(rng.choice(kinds))
        if kind == "car":
            place = place - 1.2 * aside
        rows += [{**row, "bone": len(places)} for row in thing(kind, rng)]
        places.append(([*place, 0.0], turn(camera.path + rng.uniform(-0.1, 0.1))))
    if not rows:
        rows, places = thing("post", rng), [([0.0, away + 2.5, 0.0], np.eye(3))]
    origin, rotation = (np.array(v, float) for v in zip(*places, strict=True))
    return make_solids(rows), Frames(origin, rotation)


def thing(kind: str, rng: np.random.Generator) -> list[dict]:
    """The solids of one thing that stands at the origin of its bone."""
    colour = np.array(draw_colour(rng, 0.25))
    if kind in ("post", "sign"):
        tall = rng.uniform(0.9, 1.2) if kind == "post" and rng.random() < 0.5 else 5.0
        rows = [_upright([0, 0, 0], [0, 0, tall], rng.uniform(0.04, 0.09), colour)]
        if kind == "sign":
            rows.append(_block([0, 0, 2.3], [0.02, 0.35, 0.25], draw_colour(rng, 0.8)))
        return rows
    if kind == "tree":
        bark, leaf = np.array([0.3, 0.23, 0.17]), np.array([0.2, 0.36, 0.14])
        crown = [_upright([0, 0, 3.4], [0.3, 0.2, 4.2], 1.3, leaf * rng.uniform(0.7, 1.3))]
        return [_upright([0, 0, 0], [0.05, 0, 3.2], rng.uniform(0.1, 0.18), bark), *crown]
    if kind == "bin":
        return [_upright([0, 0, 0.2], [0, 0, 0.75], 0.24, colour)]
    paint, dark = np.array(draw_colour(rng, 0.5)), np.array([0.08, 0.09, 0.1])
    rows = [_block([0, 0, 0.6], [2.1, 0.85, 0.33], paint),
            _block([-0.15, 0, 1.15], [1.1, 0.75, 0.24], dark),
            _block([-0.15, 0, 1.4], [1.0, 0.7, 0.05], paint)]  # fmt: skip
    return rows + [_upright([x, -0.78, 0.32], [x, 0.78, 0.32], 0.32, dark) for x in (-1.35, 1.35)]


def _upright(start, end, radius: float, colour) -> dict:
    return {"start": np.array(start, float), "end": np.array(end, float), "radius": radius,
            "colour": np.array(colour)}  # fmt: skip


def _block(centre, half, colour) -> dict:
    return {"kind": BOX, "start": np.array(centre, float), "end": np.array(half, float),
            "colour": np.array(colour)}  # fmt: skip
