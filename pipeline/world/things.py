"""What stands about before a camera, and where: posts, trees, bins and parked cars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.world.bodies import draw_colour
from pipeline.world.cameras import Camera
from pipeline.world.gait import turn
from pipeline.world.shapes import BOX, Frames, Solids, make_solids

Thing = tuple[list[dict], np.ndarray, float]  # its solids, ground point (2,) and turn, radians


def stand_about(
    camera: Camera,
    rng: np.random.Generator,
    count: int,
    before: Sequence[str],
    behind: Sequence[str],
    make: Callable[[str, np.random.Generator], list[dict]],
) -> tuple[Solids, Frames]:
    """About `count` things, each on its own bone, in turn before and behind the walking path.

    `make` gives the solids of a kind of thing. What stands before the path hides people.
    """
    things: list[Thing] = []
    across, away = np.array([np.cos(camera.path), np.sin(camera.path)]), camera.distance
    aside = np.array([across[1], -across[0]])
    aside = aside if aside @ [0, -1] >= 0 else -aside  # towards the camera where it can be
    for number in range(max(count, 1)):
        side = 1 if number % 2 == 0 else -1
        spot = np.array([0, away]) + side * rng.uniform(0.9, 1.7) * aside
        spot = spot + rng.uniform(-3.5, 3.5) * across
        if spot[1] < 0.45 * away:  # not right before the lens
            continue
        kind = str(rng.choice(before if side > 0 else behind))
        if kind == "car":
            spot = spot - 1.2 * aside
        solids = make(kind, rng)
        things.append((solids, spot, camera.path + rng.uniform(-0.1, 0.1)))
    return assemble(things or [(make(before[0], rng), np.array([0.0, away + 2.5]), 0.0)])


def assemble(things: Sequence[Thing]) -> tuple[Solids, Frames]:
    """The solids of all things, each thing on a bone of its own, and these bones."""
    rows = [{**row, "bone": n} for n, (solids, _, _) in enumerate(things) for row in solids]
    origin = np.array([[*spot, 0.0] for _, spot, _ in things], float)
    return make_solids(rows), Frames(origin, np.array([turn(angle) for _, _, angle in things]))


def thing(kind: str, rng: np.random.Generator) -> list[dict]:
    """The solids of one thing that stands at the origin of its bone."""
    colour = np.array(draw_colour(rng, 0.25))
    if kind in ("post", "sign"):
        tall = rng.uniform(0.9, 1.2) if kind == "post" and rng.random() < 0.5 else 5.0
        rows = [upright([0, 0, 0], [0, 0, tall], rng.uniform(0.04, 0.09), colour)]
        if kind == "sign":
            rows.append(block([0, 0, 2.3], [0.02, 0.35, 0.25], draw_colour(rng, 0.8)))
        return rows
    if kind == "tree":
        bark, leaf = np.array([0.3, 0.23, 0.17]), np.array([0.2, 0.36, 0.14])
        crown = [upright([0, 0, 3.4], [0.3, 0.2, 4.2], 1.3, leaf * rng.uniform(0.7, 1.3))]
        return [upright([0, 0, 0], [0.05, 0, 3.2], rng.uniform(0.1, 0.18), bark), *crown]
    if kind == "bin":
        return [upright([0, 0, 0.2], [0, 0, 0.75], 0.24, colour)]
    paint, dark = np.array(draw_colour(rng, 0.5)), np.array([0.08, 0.09, 0.1])
    rows = [block([0, 0, 0.6], [2.1, 0.85, 0.33], paint),
            block([-0.15, 0, 1.15], [1.1, 0.75, 0.24], dark),
            block([-0.15, 0, 1.4], [1.0, 0.7, 0.05], paint)]  # fmt: skip
    return rows + [upright([x, -0.78, 0.32], [x, 0.78, 0.32], 0.32, dark) for x in (-1.35, 1.35)]


def upright(start, end, radius: float, colour) -> dict:
    """A capsule from `start` to `end`, in metres."""
    return {"start": np.array(start, float), "end": np.array(end, float), "radius": radius,
            "colour": np.array(colour)}  # fmt: skip


def block(centre, half, colour) -> dict:
    """A box by its centre and half sizes, in metres."""
    return {"kind": BOX, "start": np.array(centre, float), "end": np.array(half, float),
            "colour": np.array(colour)}  # fmt: skip
