"""A tiny mall, rendered once: roles, determinism, labels against the truth, and the background."""

from __future__ import annotations

from collections import Counter, defaultdict

import cv2
import numpy as np
import pytest

from pipeline.datasets.rap import reader as rap
from pipeline.datasets.rap.labels import EXTRA
from pipeline.world.bodies import PART
from pipeline.world.build import build_world
from pipeline.world.hidden import GROUPS
from pipeline.world.scenes.interiors import REACH_M
from pipeline.world.scenes.mall import Params, plan, site_of
from reid.arrays.images import decode, decode_depth, decode_mask
from reid.arrays.poses import JOINT_NAMES
from reid.project.errors import ReidError
from reid.project.params import check
from tests.pipeline.world.scenes.tiny import SCENES, parts_of, shots_of

TINY = SCENES["mall"]


@pytest.fixture(scope="module")
def shots() -> list:
    return shots_of("mall")


def mask_of(truth):
    return decode_mask(truth.mask)


def joint(truth, name):
    return truth.joints[JOINT_NAMES.index(name), :2]


# --------------------------------------------------------------------------------------- who where


def test_roles(shots):
    people = defaultdict(set)
    for sample, _ in shots:
        people[sample.role].add(sample.person)
    assert (len(people["train"]), len(people["query"])) == (4, 4)
    assert not people["train"] & (people["query"] | people["gallery"])
    assert people["gallery"] == people["query"] | {-1}


def test_each_test_person_has_one_query_for_each_of_two_cameras(shots):
    queries = Counter((s.person, s.camera) for s, _ in shots if s.role == "query")
    assert set(queries.values()) == {1}
    assert set(Counter(person for person, _ in queries).values()) == {2}


def test_the_default_mall_has_the_size_that_it_promises():
    passes = plan(Params())
    assert set(Counter((p.camera, p.slot) for p in passes).values()) == {1}
    images = sum(8 if p.kind == "identity" else 1 for p in passes)
    assert 1800 <= images <= 2200
    assert len({p.person for p in passes if p.role == "train"}) == 60
    assert len({p.person for p in passes if p.role == "test"} - {-1}) == 40
    assert sum(p.person == -1 for p in passes) == 320


# -------------------------------------------------------------------------------------- background


def test_training_and_test_persons_pass_different_cameras(shots):
    cameras = defaultdict(set)
    for sample, _ in shots:
        if sample.person > 0:
            cameras[sample.role == "train"].add(sample.camera)
    assert cameras[True] == {1, 2}
    assert cameras[False] == {3, 4}


def identities(**changes):
    return [p for p in plan(Params(**changes)) if p.kind == "identity"]


def test_a_training_person_has_a_spot_of_its_own_and_test_persons_share_few():
    spots = defaultdict(lambda: defaultdict(list))
    for one in identities():
        spots[one.role][one.camera].append(one.spot)
    for own in spots["train"].values():
        gaps = np.diff(sorted(own))
        np.testing.assert_allclose(gaps, 2 * REACH_M / (len(own) - 1))  # metres, nobody's is equal
    for shared in spots["test"].values():
        near = np.abs(np.subtract.outer(shared, [-0.7 * REACH_M, 0, 0.7 * REACH_M])).min(1)
        assert near.max() < 0.5


@pytest.mark.parametrize(
    ("bias", "low", "high"),
    [pytest.param(0.0, 0.35, 0.65, id="none"), pytest.param(0.5, 0.1, 0.4, id="half"),
     pytest.param(1.0, 0, 0, id="full")],
)  # fmt: skip
def test_the_bias_says_how_many_passes_are_before_cameras_of_the_other_kind(bias, low, high):
    passes = identities(background_bias=bias)
    crossed = np.mean([(p.camera <= 6) != (p.role == "train") for p in passes])
    assert low <= crossed <= high


def test_a_spot_is_seen_behind_the_person():
    """Images of one pass have a background that is nearer to each other than to another spot's."""
    only = TINY.model_copy(
        update={"occluder_probability": 0.0, "truncation_probability": 0.0, "distractor_share": 0.0}
    )
    grids = defaultdict(list)
    for sample, truth in only.render():
        if sample.role == "train":
            there = ~cv2.dilate(mask_of(truth).astype(np.uint8), np.ones((5, 5))).astype(bool)
            share = cv2.resize(there.astype(np.float32), (6, 12), interpolation=cv2.INTER_AREA)
            image = sample.image * there[..., None].astype(np.float32)
            colour = cv2.resize(image, (6, 12), interpolation=cv2.INTER_AREA)
            colour = np.where(share[..., None] > 0.2, colour / share.clip(0.01)[..., None], 127)
            grids[sample.person, sample.camera].append(colour.ravel())
    right = total = 0
    for key, own in grids.items():
        for i, grid in enumerate(own):
            gap = {k: min(np.linalg.norm(grid - g) for j, g in enumerate(gs) if (k, j) != (key, i))
                   for k, gs in grids.items()}  # fmt: skip
            right, total = right + (min(gap, key=lambda k: gap[k]) == key), total + 1
    assert total > 20
    assert right / total > 0.7


# -------------------------------------------------------------------------------- images and labels


def test_images_are_png_of_their_own_size_with_their_truth(shots):
    heights, widths = set(), set()
    for sample, truth in shots:
        np.testing.assert_array_equal(decode(sample.encoded), sample.image)
        height, width = sample.image.shape[:2]
        assert sample.encoded.startswith(b"\x89PNG")
        assert TINY.height_min <= height <= TINY.height_max
        assert mask_of(truth).shape == decode_depth(truth.depth).shape == (height, width)
        heights.add(height)
        widths.add(width)
    assert len(heights) > 15
    assert len(widths) > 15


def test_the_person_fills_the_crop_and_is_mostly_seen(shots):
    shares = [mask_of(truth).mean() for _, truth in shots]
    assert np.median(shares) > 0.2
    assert min(shares) > 0.02


def test_viewpoints_are_of_all_four_kinds():
    small = {"train_identities": 12, "images_min": 2, "images_max": 2, "distractor_share": 0.0}
    seen = Counter(s.viewpoint for s, _ in TINY.model_copy(update=small).render())
    assert set(seen) == {1, 2, 3, 4}
    assert min(seen.values()) >= 3


def test_labels_are_those_of_rap_and_boxes_lie_in_the_image(shots):
    for sample, _ in shots:
        assert sorted(sample.extra) == sorted(EXTRA.names)
        height, width = sample.image.shape[:2]
        for part in GROUPS:
            box = sample.extra[f"box_{part}"]
            if box is not None:
                x1, y1, x2, y2 = box
                assert 0 <= x1 < x2 <= width
                assert 0 <= y1 < y2 <= height
                assert all(value == int(value) for value in box)
    for part in GROUPS:
        known = [s.extra[f"box_{part}"] is not None for s, _ in shots]
        assert np.mean(known) > 0.8


def test_each_part_lies_in_its_box(shots):
    """The pixels of a part are inside its box, and reach near each side where nothing is hidden."""
    tight = []
    for sample, truth in shots:
        parts = parts_of(truth)
        for name, members in GROUPS.items():
            rows, columns = np.nonzero(np.isin(parts, [PART[m] for m in members]))
            box = sample.extra[f"box_{name}"]
            if box is None or not rows.size:
                continue
            x1, y1, x2, y2 = box
            assert x1 - 1 <= columns.min()
            assert columns.max() <= x2
            assert y1 - 1 <= rows.min()
            assert rows.max() <= y2
            if name != "head_shoulder" and not any(sample.extra[n] for n in EXTRA.names[:4]):
                tight.append([columns.min() - x1, rows.min() - y1, x2 - columns.max(),
                              y2 - rows.max()])  # fmt: skip
    assert len(tight) > 20
    assert np.median(tight, 0).max() <= 4  # pixels


def test_boxes_agree_with_the_joints(shots):
    for sample, truth in shots:
        boxes = {part: sample.extra[f"box_{part}"] for part in GROUPS}
        if any(box is None for box in boxes.values()) or truth.joints[:14, 2].min() == 0:
            continue
        for side in ("left", "right"):
            x, y = joint(truth, f"{side}_shoulder")
            x1, y1, x2, y2 = boxes["head_shoulder"]
            assert x1 - 1 <= x <= x2 + 1
            assert y1 - 1 <= y <= y2 + 1
            _, knee = joint(truth, f"{side}_knee")
            assert boxes["lower_body"][1] - 1 <= knee <= boxes["lower_body"][3] + 1
        assert boxes["head_shoulder"][1] <= boxes["upper_body"][1] + 1
        assert boxes["upper_body"][1] < boxes["lower_body"][1]


def test_what_is_cut_off_below_counts_as_hidden_there(shots):
    result = 0
    for sample, truth in shots:
        height = sample.image.shape[0]
        whole = truth.box[3] - truth.box[1]
        if truth.box[3] - height > 0.25 * whole:  # a quarter of the person is below the image
            assert sample.extra["occlusion_down"]
            result += 1
    assert result >= 2


def test_nobody_in_the_way_means_nothing_hidden():
    free = TINY.model_copy(
        update={"occluder_probability": 0.0, "truncation_probability": 0.0, "things": 1,
                "train_identities": 2, "test_identities": 2, "distractor_share": 0.0}
    )  # fmt: skip
    flags = [[s.extra[n] for n in EXTRA.names[:4]] for s, _ in free.render()]
    assert np.mean(flags) < 0.05


@pytest.mark.parametrize("side", ["left", "right", "down"])
def test_hidden_sides_show_less_of_the_person(shots, side):
    """The mask's share of the person's box is smaller on a side that counts as hidden."""
    shares = {True: [], False: []}
    for sample, truth in shots:
        x1, y1, x2, y2 = truth.box.round().astype(int) + 200
        mask = np.pad(mask_of(truth), 200)[y1:y2, x1:x2]
        height, width = mask.shape
        third = {"left": mask[:, : width // 3], "right": mask[:, 2 * width // 3 :],
                 "down": mask[2 * height // 3 :]}[side]  # fmt: skip
        shares[sample.extra[f"occlusion_{side}"]].append(third.mean())
    assert len(shares[True]) >= 3
    assert np.mean(shares[True]) < 0.6 * np.mean(shares[False])


# ------------------------------------------------------------------------------- layout and params


def test_the_mall_goes_through_the_real_reader(tmp_path, shots, monkeypatch):
    monkeypatch.setattr(Params, "render", lambda self, workers: iter(shots))  # not once more
    counts = build_world("mall", TINY, "rap", tmp_path, workers=1)
    listing = rap.read(tmp_path / "mall")
    assert listing.rejects == []
    assert counts["images"] == len(shots) == listing.files.num_rows
    for row, (sample, _) in zip(listing.files.to_pylist(), shots, strict=True):
        assert (tmp_path / "mall" / row["path"]).read_bytes() == sample.encoded
        assert (row["person"], row["camera"], row["viewpoint"]) == (
            sample.person, sample.camera, sample.viewpoint,
        )  # fmt: skip
        assert {name: row[name] for name in EXTRA.names} == sample.extra
        assert row["query"] == (sample.role == "query")


def test_equal_malls_share_their_sites():
    assert site_of(TINY, 1) is site_of(TINY.model_copy(), 1)
    assert site_of(TINY, 1) is not site_of(TINY.model_copy(update={"things": 2}), 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param({"height_min": 90, "height_max": 80}, "height_max must not", id="heights"),
        pytest.param({"cameras_per_identity": 7}, "not be more than the cameras", id="cameras"),
        pytest.param({"background_bias": 1.5}, "background_bias", id="bias"),
    ],
)
def test_what_cannot_be_is_one_line(wrong, words):
    with pytest.raises(ReidError, match=words):
        check(Params, wrong, "world.on.mall")
