"""The ceiling camera: what it sees, what its depth lacks, what the truth knows of each frame."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline import datasets
from pipeline.world import depth_sensor
from pipeline.world.build import build_world
from pipeline.world.scenes import corridor, topview
from pipeline.world.scenes.topview import Params
from pipeline.world.truth import SCHEMA, people_of
from reid.arrays.images import decode, decode_depth, decode_gray, decode_mask
from tests.pipeline.world.scenes.tiny import SCENES, shots_of

SMALL = SCENES["topview"]
FOCAL_PX = 72.0  # of such a frame, about


@pytest.fixture(scope="module")
def shots() -> list:
    return shots_of("topview")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("worlds")
    for layout in ("tvpr", "dpit", "opr"):
        build_world(layout, SMALL, layout, root, workers=1)
    return root


# ---------------------------------------------------------------------------------------- the plan


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 5))
def test_everyone_passes_and_comes_back_in_the_same_recording(people, together, seed):
    params = Params(train_identities=people, people_per_recording=together, seed=seed)
    passes = topview.plan(params)
    assert passes == sorted(passes, key=lambda p: (p.recording, p.first_frame))
    for person in range(1, people + 1):
        (first, second) = [p for p in passes if p.person == person]
        assert (first.camera, second.camera) == (1, 2)
        assert first.recording == second.recording
        assert first.first_frame < second.first_frame
    longest = params.images_max * params.gap_max
    for one, following in pairwise(passes):
        if one.recording == following.recording:
            assert following.first_frame - one.first_frame > longest
    for recording in {p.recording for p in passes}:
        assert len({p.person for p in passes if p.recording == recording}) <= together


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"test_identities": 3}, id="nobody is tested alone"),
        pytest.param({"box_jitter": 0.1}, id="no detector cuts whole frames"),
        pytest.param({"width": 320, "height": 120}, id="wider than the camera"),
        pytest.param({"camera_height": 1.8}, id="among the heads"),
    ],
)
def test_parameters_that_make_no_sense(wrong):
    with pytest.raises(ValidationError):
        Params(**wrong)


# ---------------------------------------------------------------------------------------- frames


def test_the_camera_looks_straight_down():
    rng = np.random.default_rng(0)
    camera = corridor.draw_ceiling_camera(rng, 1, 4.0, 0, 0, 90)
    floor = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.7]], float)
    seen = camera.to_camera(floor)
    assert seen[:, 2] == pytest.approx([4, 4, 4, 2.3])  # depth along the optical axis
    middle, right, up, head = camera.project(seen)
    assert middle == pytest.approx([480, 270])
    assert head == pytest.approx(middle)
    assert right == pytest.approx([480 + camera.focal / 4, 270])
    assert up == pytest.approx([480, 270 - camera.focal / 4])
    assert 2 * np.degrees(np.arctan(360 / camera.focal)) == pytest.approx(58)


def test_the_empty_corridor_is_a_floor_between_walls_and_low_things():
    site = topview.site_of(SMALL)
    depth = site.backdrop.depth
    assert depth.max() == pytest.approx(SMALL.camera_height)
    assert np.median(depth) == pytest.approx(SMALL.camera_height)
    assert depth.min() > SMALL.camera_height - 1.2  # no head among the things


def test_a_frame_is_colour_with_depth_of_its_size(shots):
    for sample, truth in shots:
        assert decode(sample.encoded).shape == sample.image.shape == (60, 80, 3)
        assert (sample.depth_mm.dtype, sample.depth_mm.shape) == (np.uint16, (60, 80))
        exact = decode_depth(truth.depth).astype(int)
        read = sample.depth_mm > 0
        assert exact.min() > 0
        assert 0.01 < 1 - read.mean() < 0.3
        error = (sample.depth_mm.astype(int) - exact)[read]
        assert abs(error.mean()) < 3
        assert np.abs(error).max() < 80


def test_first_to_the_right_then_back_to_the_left(shots):
    ways: dict[tuple[int, int], list[float]] = {}
    for sample, truth in shots:
        _, columns = np.nonzero(decode_mask(truth.mask))
        ways.setdefault((sample.person, sample.camera), []).append(float(columns.mean()))
    assert len(ways) == 8
    for (_, camera), positions in ways.items():
        steps = np.diff(positions)
        assert (steps > 0).all() if camera == 1 else (steps < 0).all()


def test_heads_are_nearer_by_a_persons_height(shots):
    for sample, truth in shots:
        mask = decode_mask(truth.mask)
        depth = decode_depth(truth.depth)[mask]
        height = SMALL.camera_height - depth.min() / 1000
        assert 1.45 < height < 2.1, sample.person


def test_labels_follow_the_plan(shots):
    frames = [(s.tracklet, s.frame) for s, _ in shots]
    assert frames == sorted(set(frames))
    for sample, _ in shots:
        assert sample.role == ("train" if sample.camera == 1 else "query")


# ------------------------------------------------------------------------------------- the sensor


def step() -> np.ndarray:
    """A floor at 4 m with somebody's head, 2 m away, in columns 30 to 49."""
    depth = np.full((40, 80), 4.0)
    depth[10:30, 30:50] = 2.0
    return depth


def test_where_chance_takes_nothing_the_shadow_and_the_strip_remain():
    result = depth_sensor.readings(step(), np.zeros((40, 80)), FOCAL_PX, 0.0,
                                  np.random.default_rng(0))  # fmt: skip
    missing = result == 0
    assert missing[:, 79].all()  # the strip
    # The projector sees column x at x + 0.075 * 72 / depth: 49 (head) at 51.7, the floor's 50 at
    # 51.35, which is behind, and 51 at 52.35.
    expected = np.zeros((40, 80), bool)
    expected[10:30, 50] = True
    expected[:, 79] = True
    assert (missing == expected).all()


def test_noise_grows_with_the_square_of_the_distance():
    spread = []
    for metres in (1.0, 2.0, 4.0):
        flat = np.full((60, 80), metres)
        result = depth_sensor.readings(flat, flat * 0, FOCAL_PX, 0.0, np.random.default_rng(0))
        spread.append(result[:, :79].astype(float).std())
    expected = [400 * (0.0012 + 0.0019 * (m - 0.4) ** 2) for m in (1.0, 2.0, 4.0)]
    assert spread == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("dark", "low", "high"), [(0.0, 0.0, 0.05), (0.5, 0.15, 0.5), (1.0, 0.5, 0.95)]
)
def test_dark_hair_swallows_readings(dark, low, high):
    flat = np.full((60, 80), 2.5)
    result = depth_sensor.readings(flat, flat * 0 + dark, FOCAL_PX, 1.0, np.random.default_rng(0))
    assert low <= (result[:, :79] == 0).mean() <= high


def test_readings_are_lost_along_steep_edges_more_than_elsewhere():
    result = depth_sensor.readings(step(), np.zeros((40, 80)), FOCAL_PX, 1.0,
                                  np.random.default_rng(0))  # fmt: skip
    edge = np.zeros((40, 80), bool)
    edge[9:31, 29:51] = True
    edge[11:29, 31:49] = False
    assert (result == 0)[edge].mean() > 0.15
    assert (result == 0)[~edge][:, None].mean() < 0.06


# -------------------------------------------------------------------------------------- the truth


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-1, 4), min_size=5, max_size=5), min_size=4, max_size=4))
def test_people_by_a_loop(solid):
    """Two people of 2 and 3 solids."""
    people, instances = people_of([7, 0], [2, 3], np.array(solid))
    drawn = decode_gray(instances)
    for number, (person, solids) in enumerate(((7, (0, 1)), (0, (2, 3, 4))), 1):
        pixels = [(x, y) for y in range(4) for x in range(5) if solid[y][x] in solids]
        assert people[number - 1]["person"] == person
        assert people[number - 1]["pixels"] == len(pixels)
        box = people[number - 1]["box"]
        if not pixels:
            assert box is None
            continue
        xs, ys = zip(*pixels, strict=True)
        assert box == [min(xs), min(ys), max(xs) + 1, max(ys) + 1]
        assert {(x, y) for y, x in np.argwhere(drawn == number).tolist()} == set(pixels)


def test_the_one_meant_is_the_first_and_others_have_no_label(shots):
    several = 0
    for sample, truth in shots:
        instances = decode_gray(truth.instances)
        assert truth.people[0]["person"] == sample.person
        assert [p["person"] for p in truth.people[1:]] == [0] * (len(truth.people) - 1)
        assert ((instances == 1) == decode_mask(truth.mask)).all()
        assert instances.max() <= len(truth.people)
        assert truth.people[0]["pixels"] >= topview.LEAST_SEEN * 60 * 80
        several += sum(p["pixels"] > 0 for p in truth.people) > 1
    assert 0 < several < len(shots)


# ------------------------------------------------------------------------------------ the layouts


@pytest.mark.parametrize("layout", ["tvpr", "dpit", "opr"])
def test_what_is_written_in_a_layout_is_read_with_its_depth(built, shots, layout):
    reader = datasets.reader(layout)
    listing = reader.read(built / layout)
    assert listing.rejects == []
    truth = pq.read_table(built / f"{layout}.truth/rows")
    assert truth.schema.equals(SCHEMA)
    ids = truth["image_id"].to_pylist()
    rows = {row["image_id"]: row for row in listing.files.to_pylist()}
    assert sorted(rows) == sorted(ids)
    read = reader.open_source(built / layout)
    for image_id, (sample, _), known in zip(ids, shots, truth.to_pylist(), strict=True):
        row = rows[image_id]
        labels = (row["person"], row["camera"], row["frame"])
        assert labels == (sample.person, sample.camera, sample.frame)
        assert read(row["path"]) == sample.encoded
        assert (decode_depth(read(row["depth_path"])) == sample.depth_mm).all()  # bit by bit
        assert known["people"][0]["person"] == sample.person
        assert known["instances_size"] == len(known["instances"]["bytes"])


@pytest.mark.parametrize("layout", ["tvpr", "dpit"])
def test_first_passages_are_the_gallery_of_the_second(built, layout):
    for row in datasets.reader(layout).read(built / layout).files.to_pylist():
        first = row["camera"] == 1
        assert (row["train"], row["gallery"], row["query"]) == (first, first, not first)


def test_half_of_the_people_are_trained_on_in_oprs_layout(built):
    listing = datasets.reader("opr").read(built / "opr")
    assert (listing.found["train_identities"], listing.found["query_identities"]) == (2, 2)


def test_the_same_world_gives_the_same_bytes(built, tmp_path):
    for layout in ("tvpr", "dpit"):
        build_world(layout, SMALL, layout, tmp_path, workers=1)
        for path in sorted((built / layout).rglob("*")):
            if path.is_file():
                again = tmp_path / layout / path.relative_to(built / layout)
                assert again.read_bytes() == path.read_bytes(), path
