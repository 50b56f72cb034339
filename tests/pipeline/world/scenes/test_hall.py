"""A tiny hall, rendered once: tracklets, the tracker's windows, who is in the way, and the flow."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.datasets.ilids_vid import reader as ilids_vid
from pipeline.world.build import build_world
from pipeline.world.crowd import person_of, walker_of
from pipeline.world.scenes import hall
from pipeline.world.scenes.hall import Params
from pipeline.world.scenes.hall_things import hall_thing
from reid.arrays.flow import decode_known_flow
from reid.arrays.images import decode, decode_depth, decode_mask
from tests.pipeline.world.scenes.tiny import SCENES, shots_of

TINY = SCENES["hall"]
CLEAR = Params(  # nobody else, and no noise: only the person and the window move
    seed=2, train_identities=2, images_min=5, images_max=6, occluder_probability=0, bystanders=0,
    noise=0, blur=0, jpeg_quality=98,
)  # fmt: skip


@pytest.fixture(scope="module")
def shots() -> list:
    return shots_of("hall")


@pytest.fixture(scope="module")
def clear() -> list:
    return list(CLEAR.render(1))


def tracklets_of(shots) -> list[list]:
    """The shots of each person and camera, in the order of rendering."""
    result: dict[tuple[int, int], list] = {}
    for shot in shots:
        result.setdefault((shot[0].person, shot[0].camera), []).append(shot)
    return list(result.values())


def steps(shots) -> list[tuple]:
    """Each two shots that follow each other in a tracklet."""
    return [step for tracklet in tracklets_of(shots) for step in pairwise(tracklet)]


# ---------------------------------------------------------------------------------------- the plan


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(0, 20), st.integers(2, 4), st.integers(0, 5))
def test_everyone_passes_each_camera_once(train, test, cameras, seed):
    params = Params(train_identities=train, test_identities=test, cameras=cameras, seed=seed)
    passes = hall.plan(params)
    expected = [(p, c) for p in range(1, train + test + 1) for c in range(1, cameras + 1)]
    assert [(one.person, one.camera) for one in passes] == expected
    for camera in range(1, cameras + 1):
        slots = sorted(one.slot for one in passes if one.camera == camera)
        assert slots == list(range(train + test))
    assert len({one.person for one in passes if one.role == "train"}) == train
    for one in passes:
        assert one.role in ("train", "query" if one.camera == 1 else "gallery")


def test_the_default_hall_is_one_list_of_80_persons():
    passes = hall.plan(Params())
    assert len(passes) == 160
    assert {one.role for one in passes} == {"train"}
    worn = Counter(person_of(Params(), person).outfit for person in range(1, 81))
    assert 0.3 < sum(times for times in worn.values() if times > 1) / 80 < 0.7


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"gap_max": 2}, id="frames left out"),
        pytest.param({"cameras": 1}, id="one camera"),
        pytest.param({"test_identities": -1}, id="fewer than nobody"),
    ],
)
def test_parameters_that_make_no_sense(wrong):
    with pytest.raises(ValidationError):
        Params(**wrong)


# ----------------------------------------------------------------------------------- the tracklets


def test_a_tracklet_is_of_consecutive_frames(shots):
    assert len(tracklets_of(shots)) == 6
    assert [shot for tracklet in tracklets_of(shots) for shot in tracklet] == shots
    lengths = set()
    for tracklet in tracklets_of(shots):
        numbers = [sample.frame for sample, _ in tracklet]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert {sample.tracklet for sample, _ in tracklet} == {1}
        lengths.add(len(numbers))
    assert lengths <= set(range(6, 10))
    assert len(lengths) > 1
    frames = Counter((sample.camera, sample.frame) for sample, _ in shots)
    assert set(frames.values()) == {1}  # of a camera's recording


def test_images_and_truth_have_the_size_asked_for(shots, clear):
    for result, size in ((shots, (64, 32)), (clear, (128, 64))):
        for sample, truth in result:
            assert sample.image.shape == (*size, 3)
            assert decode_mask(truth.mask).shape == decode_depth(truth.depth).shape == size


def test_cameras_differ_in_light_view_and_background():
    default = Params()
    one, two = (hall.site_of(default, camera) for camera in (1, 2))
    ratios = [site.camera.gain[0] / site.camera.gain[2] for site in (one, two)]
    assert ratios[0] > 1.2 * ratios[1]  # lamplight and daylight
    turned = abs(one.camera.path - two.camera.path) % np.pi
    assert min(turned, np.pi - turned) > 0.7
    assert np.abs(one.backdrop.colour - two.backdrop.colour).mean() > 0.05


# ------------------------------------------------------------------------------------- the tracker


def boxes(frames: int, sway: float = 0.0) -> np.ndarray:
    """A person 150 pixels high, 4 pixels to the right each frame, whose box sways with the gait."""
    time = np.arange(frames)
    left, high = 100 + 4.0 * time + sway * np.sin(2 * np.pi * time / 13), np.full(frames, 50.0)
    return np.column_stack([left, high, left + 60, high + 150])


def test_a_window_goes_steadily_with_who_walks_steadily():
    params = CLEAR.model_copy(update={"box_jitter": 0.0, "truncation_probability": 0.0})
    windows = np.array(hall.track(params, boxes(30), np.random.default_rng(0)))
    height = 150 * hall.MARGIN
    np.testing.assert_allclose(windows[:, 0], 130 + 4.0 * np.arange(30) - height / 4, atol=1e-6)
    np.testing.assert_allclose(windows[:, 3] - windows[:, 1], height)
    np.testing.assert_allclose(windows[:, 2] - windows[:, 0], height / 2)
    np.testing.assert_allclose(windows[:, [1, 3]].mean(1), 125)


def test_a_window_does_not_sway_with_the_gait():
    params = CLEAR.model_copy(update={"box_jitter": 0.0, "truncation_probability": 0.0})
    windows = np.array(hall.track(params, boxes(60, sway=12), np.random.default_rng(0)))
    strays = windows[:, 0] - np.polyval(np.polyfit(range(60), windows[:, 0], 1), range(60))
    assert np.abs(strays[12:-12]).max() < 0.4 * 12


def test_a_window_strays_slowly():
    params = CLEAR.model_copy(update={"box_jitter": 0.04, "truncation_probability": 0.0})
    rng = np.random.default_rng(0)
    tracks = [np.array(hall.track(params, boxes(40), rng)) for _ in range(60)]
    centres = np.stack([t[:, [0, 2]].mean(1) - 130 - 4.0 * np.arange(40) for t in tracks])
    assert centres.std() == pytest.approx(0.04 * 0.6 * 150, rel=0.25)  # pixels
    assert np.diff(centres, axis=1).std() < 0.3 * centres.std()
    assert np.diff(centres, axis=1).std() > 0.05 * centres.std()


def test_a_box_that_is_cut_off_stays_so_for_the_whole_tracklet():
    rng, jitter = np.random.default_rng(0), {"box_jitter": 0.0}
    lost = [
        np.array(hall.track(CLEAR.model_copy(update={**jitter, "truncation_probability": share}),
                            boxes(9), rng))
        for share in (0.0, 1.0)
    ]  # fmt: skip
    high = [windows[:, 3] - windows[:, 1] for windows in lost]
    assert np.ptp(high[1]) < 1e-6
    assert 0.12 * 150 < (high[0] - high[1])[0] < 0.3 * 150


def test_a_window_that_stands_holds_all_of_the_way():
    still = {"window": "stands", "box_jitter": 0.0, "truncation_probability": 0.0}
    params = CLEAR.model_copy(update=still)
    windows = hall.stand(params, boxes(16), np.random.default_rng(0))
    (window,) = {*windows}
    assert len(windows) == 16
    wide = 60 + 4 * 15
    assert window.y2 - window.y1 == pytest.approx(hall.MARGIN * max(150, 2 * wide))
    assert (window.x1 + window.x2) / 2 == pytest.approx(100 + wide / 2)
    assert window.x1 < 100
    assert window.x2 > 100 + wide


def test_before_a_window_that_stands_people_alone_move():
    """The default tracker's window moves the background, often by more than the person."""
    still = CLEAR.model_copy(update={"window": "stands"})
    moved: dict[str, list[float]] = {"stands": [], "follows": []}
    for params in (CLEAR, still):
        for (one, now), (two, _) in steps(params.render(1)):
            flow, valid = decode_known_flow(now.flow)
            mask = decode_mask(now.mask)
            moved[params.window].append(np.abs(flow[valid & ~mask]).mean())
            if params.window == "stands":
                assert (one.camera, one.person) == (two.camera, two.person)
                assert np.abs(flow[valid & ~mask]).max() == 0
                assert np.abs(flow[valid & mask]).mean() > 0.1
    assert np.mean(moved["follows"]) > 0.5


def test_persons_stay_in_the_middle_of_their_windows(shots):
    for _, truth in shots:
        centre = (truth.box[:2] + truth.box[2:]) / 2 / [32, 64]
        assert np.abs(centre - 0.5).max() < 0.3


# ------------------------------------------------------------------------------- who is in the way


@pytest.mark.parametrize("heading", [0.0, 1.3, np.pi])
@pytest.mark.parametrize("nearer", [1.2, -1.7])
def test_who_crosses_is_in_the_line_of_sight_at_the_time_and_goes_against(heading, nearer):
    rng = np.random.default_rng(0)
    meant = walker_of(person_of(TINY, 1), np.array([0.6, 8.0]), heading)
    for time in np.linspace(-0.5, 0.5, 6):
        other, *carts = hall.crossing(TINY, meant, nearer, float(time), rng)
        there, spot = meant.at(float(time))[2], other.at(float(time))[2]
        np.testing.assert_allclose(spot, there * (1 - nearer / np.linalg.norm(there)))
        ways = [np.array([np.cos(w.heading), np.sin(w.heading)]) for w in (meant, other)]
        assert ways[0] @ ways[1] < 0.45
        for cart in carts:
            ahead = cart.at(2.0)[2] - other.at(2.0)[2]
            np.testing.assert_allclose(ahead, 0.8 * ways[1])


def test_passers_by_hide_the_person_for_some_frames():
    busy = Params(seed=9, train_identities=5, images_min=20, images_max=24, height=32, width=16,
                  occluder_probability=1, things=1)  # fmt: skip
    hidden = 0
    for tracklet in tracklets_of(busy.render()):
        seen = [decode_mask(truth.mask).sum() for _, truth in tracklet]
        hidden += min(seen) < 0.6 * max(seen)
        assert np.median(seen) > 0.3 * max(seen)
    assert hidden >= 6  # of 10


@pytest.mark.parametrize("kind", ["pillar", "belt", "case", "trolley"])
def test_things_stand_on_the_floor(kind):
    for seed in range(5):
        rows = hall_thing(kind, np.random.default_rng(seed))
        low = [r["start"][2] - (r.get("radius") or r["end"][2]) for r in rows]
        assert -0.15 <= min(low) < 0.25
        assert all((np.asarray(r["colour"]) >= 0).all() for r in rows)


# ---------------------------------------------------------------------------------------- the flow


def test_flow_of_what_stands_is_the_move_of_the_window_and_no_more(clear):
    """Linear in the column alone, and in the row alone, within the step of its storage."""
    for (_, now), _ in steps(clear):
        flow, valid = decode_known_flow(now.flow)
        rows, columns = np.nonzero(valid & ~decode_mask(now.mask))
        assert len(rows) > 2000
        for axis, positions in ((0, columns), (1, rows)):
            line = np.polyfit(positions, flow[rows, columns, axis], 1)
            assert np.abs(flow[rows, columns, axis] - np.polyval(line, positions)).max() < 0.01
            assert abs(line[0]) < 0.05  # the window grows or shrinks by little


def warped(image: np.ndarray, flow: np.ndarray, method: int) -> np.ndarray:
    """The next frame at the positions where this frame's pixels go."""
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return cv2.remap(image, columns + flow[..., 0], rows + flow[..., 1], method,
                     borderMode=cv2.BORDER_CONSTANT)  # fmt: skip


def test_the_next_frame_warped_back_is_this_frame(clear):
    errors: dict[str, list[float]] = {"flow": [], "still": [], "turned": [], "swapped": []}
    kept = []
    for (one, now), (two, then) in steps(clear):
        flow, valid = decode_known_flow(now.flow)
        depth, later = (decode_depth(truth.depth).astype(float) for truth in (now, then))
        result = warped(later, flow, cv2.INTER_NEAREST)
        same = valid & (np.abs(result - depth) < 120) & (result > 0)  # in both, hidden in neither
        kept.append(same.mean())
        for name, tried in (("flow", flow), ("still", 0 * flow), ("turned", -flow),
                            ("swapped", flow[..., ::-1])):  # fmt: skip
            back = warped(two.image.astype(np.float32), tried, cv2.INTER_LINEAR)
            errors[name].append(float(np.abs(back - one.image)[same].mean()))
    assert np.mean(kept) > 0.8
    error = {name: np.mean(values) for name, values in errors.items()}
    assert error["flow"] < 6  # gray levels: sharp edges fall between pixels
    assert error["flow"] < 0.6 * error["still"]
    assert error["flow"] < 0.45 * error["turned"]
    assert error["flow"] < 0.6 * error["swapped"]


def test_flow_carries_the_persons_joints(clear):
    errors = []
    for (_, now), (_, then) in steps(clear):
        flow, _ = decode_known_flow(now.flow)
        for before, after in zip(now.joints, then.joints, strict=True):
            if before[2] == 1 and after[2] == 1:
                errors.append(flow[int(before[1]), int(before[0])] - (after - before)[:2])
    assert len(errors) > 100
    assert np.median(np.linalg.norm(errors, axis=1)) < 0.3  # pixels; the joint is below the skin


# ------------------------------------------------------------------------------------- the layout


def test_what_is_written_as_ilids_vid_is_read(shots, tmp_path: Path):
    build_world("hall", TINY, "ilids_vid", tmp_path, workers=1)
    listing = ilids_vid.read(tmp_path / "hall")
    assert listing.rejects == []
    assert (listing.found["tracklets"], listing.found["tracklets_with_gaps"]) == (6, 0)
    rows = listing.files.to_pylist()
    assert [(r["person"], r["camera"], r["frame"]) for r in rows] == [
        (s.person, s.camera, s.frame) for s, _ in shots
    ]
    truth = pq.read_table(tmp_path / "hall.truth/rows").to_pylist()
    assert [row["image_id"] for row in truth] == [row["image_id"] for row in rows]
    for row, known, (sample, _) in zip(rows, truth, shots, strict=True):
        assert (decode((tmp_path / "hall" / row["path"]).read_bytes()) == sample.image).all()
        following = f"{row['image_id'][:-5]}{row['frame'] + 1:05d}"
        assert known["flow_to"] in (None, following)
        assert (known["flow_to"] is None) == (known["flow"] is None)
