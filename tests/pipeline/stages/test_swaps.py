"""Swaps: the arrays against hand-worked values, and the data set of swapped images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.arrays import images, swaps
from reid.project.layout import Project
from reid.shards.folder import Shards
from reid.shards.schema import ROW
from reid.shards.verify import verify
from tests.conftest import contents, reid
from tests.pipeline.conftest import build, make_swaps_project, rows_of

STAGES = ["masks", "backgrounds", "swaps"]  # each reads the ones before
RED, BLUE, GREEN = (200, 20, 10), (10, 20, 200), (20, 200, 10)


# --- squaring ------------------------------------------------------------------------------------


def test_a_tall_image_is_padded_half_and_half_the_odd_column_right():
    tall = np.zeros((8, 3, 3), np.uint8)
    tall[:, 0], tall[:, 2] = RED, BLUE
    squared = swaps.square(tall, 8)
    assert squared.shape == (8, 8, 3)
    assert (squared[:, :3] == RED).all()  # 2 of 5 missing columns left, and the image's first
    assert (squared[:, 4:] == BLUE).all()


def test_a_wide_image_is_padded_above_and_below():
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[0], wide[3] = RED, BLUE
    squared = swaps.square(wide, 8)
    assert (squared[:3] == RED).all()
    assert (squared[5:] == BLUE).all()


@pytest.mark.parametrize(
    ("size", "method"),
    [
        pytest.param((40, 20), cv2.INTER_AREA, id="shrinking by area"),
        pytest.param((10, 5), cv2.INTER_CUBIC, id="enlarging by cubic"),
    ],
)
def test_how_images_are_scaled(size, method):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    scaled = cv2.resize(image, (10, 20), interpolation=method)
    np.testing.assert_array_equal(swaps.square(image, 20)[:, 5:15], scaled)


def test_a_mask_at_the_edge_is_not_smeared_and_lies_as_its_image():
    image = np.zeros((64, 20, 3), np.uint8)
    image[16:48, :10] = 255  # touches the left edge
    mask = image[..., 0] > 0
    squared, squared_mask = swaps.square(image, 32), swaps.square_mask(mask, 32)
    assert squared_mask.sum() == 16 * 5
    assert not squared_mask[:, :11].any()
    assert (squared[:, :11] == squared[:, [11]]).all()
    np.testing.assert_array_equal(squared_mask[:, 11:21], squared[:, 11:21, 0] > 127)


def test_a_pixel_counts_where_half_of_it_is_covered():
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = True  # a quarter of its pixel
    mask[2:, 3] = True  # half of its pixel
    assert swaps.square_mask(mask, 2).tolist() == [[False, False], [False, True]]


# --- regions -------------------------------------------------------------------------------------


def test_head_and_torso_go_from_the_image_left_and_head_top_to_the_upper_bodys_corner():
    box = swaps.head_torso(np.array([12, 3, 30, 22]), np.array([6, 18, 38, 60]))
    assert box.tolist() == [0, 3, 38, 60]
    # 100 x 40 in 50: scale 1/2, 20 wide, 15 columns before it
    assert swaps.rectangle_in_square(box, 100, 40, 50) == (15, 2, 34, 30)


@pytest.mark.parametrize(
    ("box", "rectangle"),
    [
        pytest.param((-9, -5, 70, 60), (15, 0, 35, 30), id="cut off at the image"),
        pytest.param((5, 120, 30, 140), None, id="below the image"),
        pytest.param((30, 10, 20, 40), None, id="turned around"),
    ],
)
def test_rectangles_stay_in_the_image(box, rectangle):
    assert swaps.rectangle_in_square(np.array(box), 100, 40, 50) == rectangle


def test_inside_and_bounds():
    mask = np.zeros((10, 12), bool)
    mask[2:9, 3:7] = True
    assert swaps.bounds(mask) == (3, 2, 7, 9)
    assert swaps.bounds(swaps.inside(mask, (0, 0, 5, 4))) == (3, 2, 5, 4)
    assert swaps.bounds(np.zeros((3, 3), bool)) is None


@pytest.mark.parametrize(("iterations", "side"), [(1, 7), (2, 13), (5, 31)])
def test_dilation_by_7x7(iterations, side):
    mask = np.zeros((41, 41), bool)
    mask[20, 20] = True
    grown = swaps.dilate(mask, iterations)
    assert swaps.bounds(grown) == (*[20 - side // 2] * 2, *[21 + side // 2] * 2)
    assert grown.sum() == side**2


# --- filling in ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    radius=st.sampled_from([0.2, 1.0, 2.5, 3.4, 5.0, 8.6]),
    blobs=st.integers(1, 3),
)
def test_a_window_gives_the_pixels_of_the_whole_image(seed, radius, blobs):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (40, 52, 3), dtype=np.uint8)
    mask = np.zeros((40, 52), bool)
    for _ in range(blobs):  # anywhere, the image's edges and corners too
        y, x = random.integers(0, 40), random.integers(0, 52)
        mask[y : y + random.integers(1, 15), x : x + random.integers(1, 12)] = True
    whole = cv2.inpaint(image, mask.astype(np.uint8), radius, cv2.INPAINT_TELEA)
    np.testing.assert_array_equal(swaps.inpaint(image, mask, radius), whole)


def test_nothing_to_fill_in_is_the_same_image():
    image = np.full((8, 8, 3), 7, np.uint8)
    filled = swaps.inpaint(image, np.zeros((8, 8), bool), 3)
    np.testing.assert_array_equal(filled, image)
    assert filled is not image


def test_the_background_is_filled_by_telea_under_the_dilated_region_a_tenth_of_its_width_away():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    region = np.zeros((64, 64), bool)
    region[10:50, 12:52] = True  # 40 wide: radius 4
    grown = cv2.dilate(region.astype(np.uint8), np.ones((7, 7), np.uint8), iterations=2)
    expected = cv2.inpaint(image, grown, 4.0, cv2.INPAINT_TELEA)
    made = swaps.background(image, region, (12, 10, 52, 50), iterations=2)
    np.testing.assert_array_equal(made, expected)


# --- pasting -------------------------------------------------------------------------------------


def scene(ground: tuple[int, int, int], person: tuple[int, int, int], left: int):
    """A squared image of a person of one colour, and where it is."""
    image, mask = np.full((32, 32, 3), ground, np.uint8), np.zeros((32, 32), bool)
    mask[6:26, left : left + 8] = True
    image[mask] = person
    return image, mask


def test_the_person_keeps_place_and_colours_and_the_other_one_is_gone():
    one, mask_one = scene((90, 90, 90), RED, 4)
    other, mask_other = scene(GREEN, BLUE, 18)
    ground = swaps.background(other, mask_other, (18, 6, 26, 26))
    swapped = swaps.paste(one, mask_one, ground)
    for y in range(32):
        for x in range(32):
            expected = RED if mask_one[y, x] else GREEN  # blue is nowhere: it was filled in
            assert np.abs(swapped[y, x].astype(int) - expected).max() <= 10, (y, x)


def test_with_rectangles_the_part_is_scaled_into_the_other_one_each_side_by_itself():
    image, region = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), bool)
    image[2:4, 2:4], image[2:4, 4:6] = RED, BLUE
    region[2:4, 2:5] = True  # the red half and one column of the blue one
    onto = np.full((16, 16, 3), GREEN, np.uint8)
    swapped = swaps.paste(image, region, onto, (2, 2, 6, 4), (1, 6, 9, 12))
    assert (swapped[6:12, 1:4] == RED).all()  # 4 x 2 became 8 x 6: two columns for each
    assert (swapped[6:12, 7:9] == GREEN).all()
    changed = (swapped != GREEN).any(-1)
    assert swaps.bounds(changed) == (1, 6, 7, 12)
    assert (onto == GREEN).all()


def test_a_part_covers_only_the_other_rectangle():
    image, region = np.full((16, 16, 3), RED, np.uint8), np.ones((16, 16), bool)
    onto = np.full((16, 16, 3), GREEN, np.uint8)
    swapped = swaps.paste(image, region, onto, (4, 4, 12, 12), (5, 6, 8, 9))
    assert swaps.bounds((swapped == RED).all(-1)) == (5, 6, 8, 9)


# --- the data set --------------------------------------------------------------------------------


def test_swapped_images_are_a_data_set_with_the_labels_of_their_source(swaps_toy: Project):
    build(swaps_toy, "swaps")
    base = Shards(swaps_toy.shards("toy"))
    labels = {row["image_id"]: row for row in base.scalars().to_pylist()}
    rows = rows_of(swaps_toy, "swaps")
    assert list(rows[0]) == [*ROW.names, "source_image_id", "donor_image_id", "seed"]
    trained = sum(label["train"] for label in labels.values())
    assert 1.5 * trained < len(rows) <= 2 * trained
    for row in rows:
        source, donor = labels[row["source_image_id"]], labels[row["donor_image_id"]]
        same = ("person", "camera", "viewpoint", "tracklet", "frame")
        assert [row[name] for name in same] == [source[name] for name in same]
        assert (row["train"], row["query"], row["gallery"]) == (True, False, False)
        assert (row["height"], row["width"]) == (64, 64)
        assert donor["train"]
        assert donor["person"] != source["person"]
    assert len({row["image_id"] for row in rows}) == len(rows)
    drawn = [(row["source_image_id"], row["donor_image_id"]) for row in rows]
    assert len(set(drawn)) == len(drawn)
    assert verify(swaps_toy.derived("swaps", "toy")) == []


def test_every_swapped_image_is_what_the_arrays_say(swaps_toy: Project):
    build(swaps_toy, "swaps")
    base, masks = (Shards(f) for f in (swaps_toy.shards("toy"), swaps_toy.derived("masks", "toy")))
    number = {name: i for i, name in enumerate(base.scalars(["image_id"])["image_id"].to_pylist())}
    for row in rows_of(swaps_toy, "swaps")[::7]:
        squared = []
        for name in (row["source_image_id"], row["donor_image_id"]):
            image = images.decode(base.read("image", number[name]) or b"")
            mask = images.decode_mask(masks.read("mask", number[name]) or b"")
            squared.append((swaps.square(image, 64), swaps.square_mask(mask, 64)))
        (image, mask), (other, removed) = squared
        grown = cv2.dilate(removed.astype(np.uint8), np.ones((7, 7), np.uint8))
        columns = np.flatnonzero(removed.any(0))
        radius = 0.1 * (columns[-1] + 1 - columns[0])
        ground = cv2.inpaint(other, grown, radius, cv2.INPAINT_TELEA)
        expected = np.where(mask[..., None], image, ground)
        np.testing.assert_array_equal(images.decode(row["image"]["bytes"]), expected)


def test_the_same_bytes_from_one_process_and_from_a_pool(tmp_path, monkeypatch):
    result = []
    for executor in ("local", "pool"):
        project = make_swaps_project(tmp_path / executor, monkeypatch)
        build(project, "ingest")
        build(project, *STAGES, executor=executor)
        result.append([contents(project.derived(s, "toy")) for s in STAGES])
    assert result[0] == result[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "call", "n"),
    [
        pytest.param("masks", "journal.write_shard", 1, id="masks before the first shard"),
        pytest.param("masks", "journal.write_shard", 3, id="masks before a later shard"),
        pytest.param("masks", "journal.write_atomically", 2, id="masks before a shard's note"),
        pytest.param("backgrounds", "fits.write_shard", 1, id="backgrounds before the fit's table"),
        pytest.param("backgrounds", "fits.write_atomically", 1, id="backgrounds before its note"),
        pytest.param("backgrounds", "journal.write_shard", 2, id="backgrounds before a shard"),
        pytest.param("backgrounds", "journal.write_atomically", 2, id="backgrounds before a note"),
        pytest.param("swaps", "journal.write_shard", 4, id="swaps before the last shard"),
        pytest.param("swaps", "journal.write_atomically", 2, id="swaps before an empty one's note"),
        pytest.param("swaps", "run.publishing", 1, id="swaps before it is published"),
    ],
)
def test_a_killed_stage_resumes_to_the_same_bytes(tmp_path, monkeypatch, stage, call, n):
    module, name = call.split(".")
    patch = f"""
import os, signal
import pipeline.engine.{module} as m
real, count = m.{name}, [0]
def killer(*a, **k):
    count[0] += 1
    if count[0] == {n}: os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
m.{name} = killer
"""
    whole = make_swaps_project(tmp_path / "whole", monkeypatch)
    given = pq.read_table("masks.parquet")
    some_missing = [i for i in range(given.num_rows) if i % 24]  # rejects are kept as well
    pq.write_table(given.take(some_missing), "masks.parquet")
    build(whole, "ingest", *STAGES[: STAGES.index(stage)])
    killed = Project(Path(shutil.copytree(whole.root, tmp_path / "killed")))
    build(whole, stage)
    assert reid(stage, "toy", cwd=killed.root, patch=patch).returncode == -9
    assert not killed.derived(stage, "toy").exists()
    resumed = reid(stage, "toy", cwd=killed.root)
    assert resumed.returncode == 0, resumed.stderr
    assert contents(killed.derived(stage, "toy")) == contents(whole.derived(stage, "toy"))


def test_the_same_rows_from_other_shards(swaps_toy, tmp_path, monkeypatch):
    build(swaps_toy, "swaps")
    before = rows_of(swaps_toy, "swaps")
    project = make_swaps_project(tmp_path / "other", monkeypatch, shard_rows=13)
    build(project, "ingest", "masks", "backgrounds", "swaps")
    assert rows_of(project, "swaps") == before


def test_an_empty_shard_is_left_out_and_rules_follow_the_base(swaps_toy: Project):
    build(swaps_toy, "swaps")
    folder = swaps_toy.derived("swaps", "toy")
    assert {p.name.split("-")[0] for p in (folder / "rows").iterdir()} == {"train"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["new_rows"]
    assert manifest["dataset"] == "toy"
    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["found"] == {"images": manifest["rows"], "identities": 4}
    assert [p["name"] for p in protocol["protocols"]] == ["market1501"]


def test_another_seed_draws_others_and_a_rerun_computes_nothing(swaps_toy: Project):
    build(swaps_toy, "swaps")
    before = {r["image_id"]: r["donor_image_id"] for r in rows_of(swaps_toy, "swaps")}
    plan = make_plan("swaps", "toy", swaps_toy)
    assert engine.missing(plan, swaps_toy) == []
    path = swaps_toy.root / "params.yaml"
    path.write_text(path.read_text().replace("per_image: 2", "per_image: 2, seed: 1"))
    build(swaps_toy, "swaps")
    after = {r["image_id"]: r["donor_image_id"] for r in rows_of(swaps_toy, "swaps")}
    assert before != after
    assert {row["seed"] for row in rows_of(swaps_toy, "swaps")} == {1}
