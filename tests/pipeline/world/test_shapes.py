import numpy as np
import pytest

from pipeline.world.gait import swing, turn
from pipeline.world.shapes import (
    BOX,
    Frames,
    cast,
    join_frames,
    join_solids,
    make_solids,
    ray_box,
    ray_capsule,
)  # fmt: skip

GRAY = np.array([0.5, 0.5, 0.5])


def walked_depth(inside, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Walk along each ray (x, y, 1) until `inside` holds: slow, and without a formula."""
    steps = np.arange(0.0, 6.0, 0.004)
    depth = np.full((len(y), len(x)), np.inf)
    for row, b in enumerate(y):
        for column, a in enumerate(x):
            met = np.nonzero(inside(steps[:, None] * np.array([a, b, 1.0])))[0]
            if met.size:
                depth[row, column] = steps[met[0]]
    return depth


def inside_capsule(start, end, radius):
    beads = start + np.linspace(0, 1, 100)[:, None] * (end - start)

    def inside(points):
        return ((points[:, None] - beads) ** 2).sum(-1).min(1) < radius**2

    return inside


@pytest.mark.parametrize(
    ("start", "end", "radius"),
    [
        pytest.param([0, -0.5, 3], [0.1, 0.6, 3.2], 0.3, id="upright"),
        pytest.param([-0.4, 0, 2], [0.5, 0.3, 4], 0.2, id="pointing away"),
        pytest.param([0.2, 0.1, 3], [0.2, 0.101, 3], 0.6, id="a ball"),
    ],
)
def test_a_ray_meets_a_capsule_where_a_walk_along_it_does(start, end, radius):
    start, end = np.array(start, float), np.array(end, float)
    x, y = np.linspace(-0.35, 0.35, 8), np.linspace(-0.35, 0.35, 7)
    depth = ray_capsule(x[None, :], y[:, None], start, end, radius)
    walked = walked_depth(inside_capsule(start, end, radius), x, y)
    assert 5 < np.isfinite(walked).sum() < walked.size
    np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(walked))
    met = np.isfinite(walked)
    np.testing.assert_allclose(depth[met], walked[met], atol=0.006)


def test_a_ray_meets_a_capsule_at_values_worked_by_hand():
    upright = np.array([0, -1, 5.0]), np.array([0, 1, 5.0])
    assert ray_capsule(np.array([0.0]), np.array([0.0]), *upright, 0.5) == pytest.approx(4.5)
    behind = np.array([0, -1, -5.0]), np.array([0, 1, -5.0])
    assert ray_capsule(np.array([0.0]), np.array([0.0]), *behind, 0.5)[0] == np.inf


def test_a_ray_meets_a_turned_box_where_a_walk_along_it_does():
    frame = Frames(np.array([0.1, 0, 3.0]), turn(0.4) @ swing(0.5))
    centre, half = np.array([0.1, 0, 0]), np.array([0.3, 0.5, 0.2])
    x, y = np.linspace(-0.4, 0.4, 8), np.linspace(-0.4, 0.4, 7)
    depth = ray_box(x[None, :], y[:, None], frame, centre, half)

    def inside(points):
        return (np.abs((points - frame.origin) @ frame.rotation - centre) < half).all(1)

    walked = walked_depth(inside, x, y)
    met = np.isfinite(walked) & np.isfinite(depth)
    assert met.sum() > 5
    assert (np.isfinite(walked) != np.isfinite(depth)).sum() <= 1  # a grazed edge
    np.testing.assert_allclose(depth[met], walked[met], atol=0.006)


def test_cast_on_rectangles_equals_trying_every_ray():
    rng = np.random.default_rng(0)
    rows = [
        {
            "start": rng.uniform(-1, 1, 3),
            "end": rng.uniform(-1, 1, 3),
            "radius": 0.2,
            "colour": GRAY,
        }
        for _ in range(8)
    ] + [{"kind": BOX, "start": np.zeros(3), "end": np.array([0.3, 0.4, 0.5]), "colour": GRAY}]
    solids = make_solids(rows)
    frames = Frames(np.tile([0.2, 0, 4.0], (9, 1)), np.tile(turn(0.3), (9, 1, 1)))
    x, y = np.linspace(-0.5, 0.5, 31), np.linspace(-0.6, 0.6, 37)
    hits = cast(solids, frames, x, y)
    tried = [
        ray_capsule(x[None], y[:, None], a, b, 0.2)
        for a, b in zip(
            frames.to_outer(solids.start)[:8], frames.to_outer(solids.end)[:8], strict=True
        )
    ]
    box = Frames(frames.origin[8], frames.rotation[8])
    tried.append(ray_box(x[None], y[:, None], box, solids.start[8], solids.end[8]))
    np.testing.assert_array_equal(hits.depth, np.min(tried, axis=0))
    met = np.isfinite(hits.depth)
    np.testing.assert_array_equal(hits.index[met], np.argmin(tried, axis=0)[met])
    assert (hits.index[~met] == -1).all()


def test_what_is_behind_the_camera_is_not_seen():
    rows = [{"start": np.zeros(3), "end": np.ones(3), "radius": 0.3, "colour": GRAY}]
    frames = Frames(np.array([[0, 0, -4.0]]), np.eye(3)[None])
    grid = np.linspace(-0.5, 0.5, 9)
    assert (cast(make_solids(rows), frames, grid, grid).index == -1).all()


def test_frames_there_and_back():
    rng = np.random.default_rng(1)
    frames = Frames(rng.normal(size=(3, 3)), np.stack([turn(a) @ swing(a) for a in (0.1, 1, 2)]))
    points = rng.normal(size=(3, 3))
    np.testing.assert_allclose(frames.to_local(frames.to_outer(points)), points, atol=1e-12)
    camera = Frames(np.array([1.0, 2, 3]), swing(0.7))
    seen = frames.seen_from(*camera)
    outer = seen.to_outer(points) @ camera.rotation.T + camera.origin
    np.testing.assert_allclose(outer, frames.to_outer(points), atol=1e-12)


def test_joined_solids_keep_their_own_bones():
    one = make_solids(
        [{"bone": b, "start": np.zeros(3), "end": np.ones(3), "colour": GRAY} for b in (0, 1)]
    )
    both = join_solids([one, one])
    assert both.bone.tolist() == [0, 1, 2, 3]
    frames = Frames(np.zeros((2, 3)), np.tile(np.eye(3), (2, 1, 1)))
    assert join_frames([frames, frames]).origin.shape == (4, 3)
