"""The arrivals hall that a camera watches, and what is pushed through it.

Its floor and its row of desks are a mall's in paler colours. A pillar and posts with a belt stand
on the camera's side of the way, so that whoever walks there is hidden for some steps; trolleys and
suitcases stand about.
"""

from __future__ import annotations

import numpy as np

from pipeline.world.backdrops import Backdrop, finish
from pipeline.world.bodies import draw_colour
from pipeline.world.cameras import Camera
from pipeline.world.scenes.interiors import CEILING_M, draw_interior
from pipeline.world.things import Thing, assemble, block, upright

REACH_M = 1.4  # people are first seen up to so far to both sides of the middle of their way
LANE_M = 0.4  # and walk up to so far beside it
PALE = 0.35  # what is left of the mall's colours
BEFORE = ("pillar", "belt", "trolley", "case")  # in turn, the nearest to the middle first
BEHIND = ("case", "trolley", "belt", "pillar")


def draw_hall(camera: Camera, rng: np.random.Generator, things: int) -> Backdrop:
    """The empty hall before a camera, with `things` fittings."""
    inside = draw_interior(camera, rng, 1)
    gray = inside.colour.mean(-1, keepdims=True) * np.exp(rng.normal(0, 0.06, 3))
    colour = gray + PALE * (inside.colour - gray)
    placed: list[Thing] = []
    along = np.array([np.cos(camera.path), np.sin(camera.path)])
    aside = np.array([along[1], -along[0]])
    aside = aside if aside[1] <= 0 else -aside  # towards the camera where it can be
    for number in range(things):
        before, turn_of = number % 2 == 0, number // 2
        kind = (BEFORE if before else BEHIND)[turn_of % len(BEFORE)]
        away = rng.uniform(0.9, 1.5) if before else -rng.uniform(1.0, 2.2)
        reach = 0.4 * REACH_M + 0.6 * turn_of
        spot = np.array([0, camera.distance]) + away * aside + rng.uniform(-reach, reach) * along
        solids = hall_thing(kind, rng)
        placed.append((solids, spot, camera.path + rng.normal(0, 0.2)))
    return finish(colour, inside.depth, camera, *assemble(placed))


def hall_thing(kind: str, rng: np.random.Generator) -> list[dict]:
    """The solids of one thing that stands at the origin of its bone, or is pushed forward, +x."""
    grey = rng.uniform(0.35, 0.8) * np.ones(3)
    if kind == "pillar":
        return [upright([0, 0, 0], [0, 0, CEILING_M], rng.uniform(0.08, 0.14), 0.3 + 0.6 * grey)]
    if kind == "belt":
        posts = [upright([x, 0, 0], [x, 0, 0.95], 0.035, grey) for x in (-1.0, 0.0, 1.0)]
        return [*posts, block([0, 0, 0.88], [1.0, 0.01, 0.04], draw_colour(rng, 0.8))]
    if kind == "case":
        half = [0.12, rng.uniform(0.18, 0.26), rng.uniform(0.24, 0.36)]
        return [block([0, 0, half[2] + 0.06], half, draw_colour(rng, 0.6)),
                upright([-0.1, 0, 2 * half[2]], [-0.14, 0, 1.0], 0.02, grey)]  # fmt: skip
    return _trolley(grey, rng)


def _trolley(metal: np.ndarray, rng: np.random.Generator) -> list[dict]:
    """A luggage trolley with one to three cases; its handle is behind."""
    rows = [block([0, 0, 0.18], [0.45, 0.28, 0.03], metal)]
    for side in (-0.26, 0.26):
        rows.append(upright([-0.42, side, 0.18], [-0.5, side, 1.0], 0.025, metal))
        rows += [upright([x, side, 0.08], [x, side, 0.1], 0.07, 0.1 * np.ones(3))
                 for x in (-0.3, 0.36)]  # fmt: skip
    rows.append(upright([-0.5, -0.26, 1.0], [-0.5, 0.26, 1.0], 0.025, draw_colour(rng, 0.7)))
    top = 0.22
    for _ in range(int(rng.integers(1, 4))):
        half = [rng.uniform(0.25, 0.4), rng.uniform(0.2, 0.27), rng.uniform(0.1, 0.17)]
        rows.append(block([rng.uniform(-0.08, 0.05), 0, top + half[2]], half,
                          draw_colour(rng, 0.6)))  # fmt: skip
        top += 2 * half[2] + 0.01
    return rows
