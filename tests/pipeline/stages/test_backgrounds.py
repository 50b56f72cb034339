"""Backgrounds and partners: the stage on a tiny data set, and its odd rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import fits
from pipeline.engine.journal import unused
from pipeline.engine.stage import Fit, Resources
from pipeline.stages import backgrounds
from pipeline.stages.backgrounds import Params
from pipeline.swapping.regions import PART_BOXES
from reid.arrays import images, swaps
from reid.arrays.poses import JOINT, joints_column
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.params import check
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE
from tests.conftest import standing_joints
from tests.pipeline.conftest import (
    build,
    make_swaps_project,
    rows_of,
    silhouette,
    write_masks,
)


def change(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))


def labels_of(project: Project) -> list[dict]:
    return Shards(project.shards("toy")).scalars().to_pylist()


# --- the stage -----------------------------------------------------------------------------------


def test_training_rows_have_backgrounds_and_others_are_null_without_being_rejects(swaps_toy):
    rejects = pq.read_table(swaps_toy.derived("backgrounds", "toy") / "rejects.parquet")
    assert rejects.num_rows == 0
    for row, label in zip(rows_of(swaps_toy, "backgrounds"), labels_of(swaps_toy), strict=True):
        assert row["image_id"] == label["image_id"]
        assert (row["background"] is not None) == (row["region"] is not None) == label["train"]
        assert row["rectangle"] is None
        if not label["train"]:
            assert row["partners"] == []


def test_partners_are_numbers_of_training_rows_alike_and_of_others(swaps_toy):
    """Every pair again, by the squared masks."""
    labels, masks = labels_of(swaps_toy), rows_of(swaps_toy, "masks")
    squared = [swaps.square_mask(images.decode_mask(m["mask"]["bytes"]), 64) for m in masks]
    scaled = []
    for mask in squared:
        x1, y1, x2, y2 = swaps.bounds(mask) or (0, 0, 1, 1)
        height = round((y2 - y1) * 40 / (x2 - x1))
        cut = mask[y1:y2, x1:x2].astype(np.uint8) * 255
        scaled.append(np.pad(cv2.resize(cut, (40, height)) > 127, ((0, 400 - height), (0, 0))))
    for i, row in enumerate(rows_of(swaps_toy, "backgrounds")):
        expected = []
        for j, label in enumerate(labels):
            if not (label["train"] and labels[i]["train"]):
                continue
            areas = sorted([squared[i].sum(), squared[j].sum()])
            overlap = (scaled[i] & scaled[j]).sum() / (scaled[i] | scaled[j]).sum()
            other = label["person"] != labels[i]["person"]
            if other and areas[0] / areas[1] >= 0.8 and overlap >= 0.5:
                expected.append(j)
        assert row["partners"] == expected


def test_the_background_is_the_squared_image_without_its_own_person(swaps_toy):
    base, masks = Shards(swaps_toy.shards("toy")), Shards(swaps_toy.derived("masks", "toy"))
    for i, row in enumerate(rows_of(swaps_toy, "backgrounds")):
        if row["background"] is None:
            continue
        image = swaps.square(images.decode(base.read("image", i) or b""), 64)
        mask = swaps.square_mask(images.decode_mask(masks.read("mask", i) or b""), 64)
        made = images.decode(row["background"]["bytes"])
        kept = ~swaps.dilate(mask, 1)
        np.testing.assert_array_equal(made[kept], image[kept])
        assert (made[mask] != image[mask]).any(-1).mean() > 0.9
        np.testing.assert_array_equal(images.decode_mask(row["region"]["bytes"]), mask)


def test_counts_are_published(swaps_toy):
    folder = swaps_toy.derived("backgrounds", "toy")
    facts = json.loads((folder / "fit.json").read_text())
    counts = [len(row["partners"]) for row in rows_of(swaps_toy, "backgrounds")]
    table = pq.read_table(folder / "fit.parquet")
    assert facts["images"] == table.num_rows == 36
    assert facts["partners_mean"] == pytest.approx(sum(counts) / 36, abs=1e-3)
    assert facts["without_partner"] == 0
    assert table.column_names == ["image_id", "position", "partners"]


def given_masks(names: list[str]) -> dict[str, np.ndarray]:
    result = pq.read_table("masks.parquet").to_pylist()
    masks = {row["image_id"]: images.decode_mask(row["mask"]["bytes"]) for row in result}
    return {name: masks[name] for name in names}


def test_an_image_without_partner_is_kept_and_counted(tmp_path, monkeypatch):
    project = make_swaps_project(tmp_path / "project", monkeypatch)
    build(project, "ingest")
    names = [row["image_id"] for row in labels_of(project)]
    odd = next(row["image_id"] for row in labels_of(project) if row["train"])
    masks = given_masks(names)
    masks[odd] = np.zeros((64, 32), bool)
    masks[odd][30:32, 2:30] = True
    write_masks(Path("masks.parquet"), masks)
    build(project, "masks", "backgrounds", "swaps")
    row = next(r for r in rows_of(project, "backgrounds") if r["image_id"] == odd)
    assert row["background"] is not None
    assert row["partners"] == []
    facts = json.loads((project.derived("backgrounds", "toy") / "fit.json").read_text())
    assert facts["without_partner"] == 1
    assert facts["share_without_partner"] == pytest.approx(1 / 36, abs=1e-6)
    assert odd not in {r["source_image_id"] for r in rows_of(project, "swaps")}


def test_a_data_set_of_one_person_gives_no_swaps(tmp_path, monkeypatch):
    project = make_swaps_project(tmp_path / "project", monkeypatch)
    build(project, "ingest")
    one = [row["image_id"] for row in labels_of(project) if row["person"] == 1]
    write_masks(Path("masks.parquet"), given_masks(one))
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("max_reject_rate: 0.5", "max_reject_rate: 1"))
    build(project, "masks", "backgrounds")
    with pytest.raises(ReidError, match="swaps toy: no rows were made"):
        build(project, "swaps")


def test_partners_are_drawn_by_the_seed(swaps_toy):
    every = rows_of(swaps_toy, "backgrounds")
    drawn = []
    for seed in (0, 0, 1):
        Path("params.yaml").write_text(
            Path("params.yaml")
            .read_text()
            .replace("mask_width: 40", f"max_partners: 3, seed: {seed}, mask_width: 40")
        )
        build(swaps_toy, "backgrounds")
        drawn.append([row["partners"] for row in rows_of(swaps_toy, "backgrounds")])
        change(f"max_partners: 3, seed: {seed}, ", "")
    assert drawn[0] == drawn[1] != drawn[2]
    for few, row in zip(drawn[0], every, strict=True):
        assert few == sorted(set(few) & set(row["partners"]))
        assert len(few) == min(3, len(row["partners"]))


def test_odd_masks_are_rejects_with_reasons_and_nobodys_partner(tmp_path, monkeypatch):
    project = make_swaps_project(tmp_path / "project", monkeypatch)
    build(project, "ingest")
    trained = [row["image_id"] for row in labels_of(project) if row["train"]]
    masks = given_masks([row["image_id"] for row in labels_of(project)])
    del masks[trained[0]]
    masks[trained[1]] = np.zeros((64, 32), bool)
    masks[trained[2]] = np.ones((64, 32), bool)  # squared, its sides are still there to fill from
    write_masks(Path("masks.parquet"), masks)
    build(project, "masks", "backgrounds")
    rejects = pq.read_table(project.derived("backgrounds", "toy") / "rejects.parquet").to_pylist()
    assert [(r["image_id"], r["reason"]) for r in rejects] == [
        (trained[0], "no mask"),
        (trained[1], "no mask"),
    ]
    rows = rows_of(project, "backgrounds")
    bad = [i for i, row in enumerate(rows) if row["image_id"] in trained[:2]]
    assert [rows[i]["partners"] for i in bad] == [[], []]
    assert not {j for row in rows for j in row["partners"]} & set(bad)
    assert next(r for r in rows if r["image_id"] == trained[2])["background"] is not None


# --- regions -------------------------------------------------------------------------------------


def mask_cell(mask: np.ndarray | None) -> dict | None:
    return None if mask is None else {"bytes": images.encode_png(mask), "path": None}


def one_row(
    params: Params, mask: np.ndarray | None, train: bool = True, height: int = 64, **columns
) -> dict:
    """The stage's row for a gray image with a mask, 32 pixels wide by default."""
    width = 32 if height == 64 else height
    image = {"bytes": images.encode_png(np.full((height, width, 3), 99, np.uint8)), "path": None}
    cells = {
        "image_id": ["a"], "image": pa.array([image], IMAGE), "train": [train],
        "height": pa.array([height], pa.int32()), "width": pa.array([width], pa.int32()),
        "mask": pa.array([mask_cell(mask)], IMAGE),
    }  # fmt: skip
    empty = pa.table(
        {"image_id": pa.array([], pa.string()), "partners": pa.array([], pa.list_(pa.int32()))}
    )
    step = backgrounds.build(params, Resources(fitted=Fit({}, empty)))
    return step(pa.table({**cells, **columns})).to_pylist()[0]


def boxes(head_shoulder: list[float] | None, upper_body: list[float] | None) -> dict[str, pa.Array]:
    kind = pa.list_(pa.float32(), 4)
    return {
        "box_head_shoulder": pa.array([head_shoulder], kind),
        "box_upper_body": pa.array([upper_body], kind),
    }


def test_the_upper_body_by_part_boxes():
    params = Params(region="upper_body", side=64)
    mask = np.zeros((64, 32), bool)
    mask[4:60, 6:28] = True
    row = one_row(params, mask, **boxes([10, 2, 20, 14], [4, 10, 24, 36]))
    assert row["rectangle"] == [16, 2, 40, 36]  # the image begins at column 16 of its square
    region = images.decode_mask(row["region"]["bytes"])
    assert swaps.bounds(region) == (22, 4, 40, 36)
    image = np.full((64, 64, 3), 99, np.uint8)
    made = swaps.background(image, region, (16, 2, 40, 36))
    np.testing.assert_array_equal(images.decode(row["background"]["bytes"]), made)


def test_the_upper_body_by_joints_goes_from_the_heads_top_to_the_hips():
    params = Params(region="upper_body", side=64)
    joints = standing_joints(64, 32)
    hips = joints[JOINT["right_hip"], 1]
    row = one_row(params, np.ones((64, 32), bool), joints=joints_column(joints[None]))
    x1, y1, x2, y2 = row["rectangle"]
    assert (x1, x2) == (16, 48)  # half the body's height and more: the whole image
    assert y1 < joints[JOINT["nose"], 1]
    assert y2 == round(float(hips))
    hidden = joints * [1, 1, 0]
    assert (
        one_row(params, np.ones((64, 32), bool), joints=joints_column(hidden[None]))["reject"]
        == "no joints to find the upper body by"
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(boxes(None, [0, 0, 9, 9]), "no part boxes", id="a box is missing"),
        pytest.param(boxes([0, 90, 9, 99], [0, 90, 9, 99]), "empty region", id="outside"),
        pytest.param(boxes([0, 0, 9, 3], [0, 0, 9, 3]), "empty region", id="nothing set in it"),
    ],
)
def test_rows_without_an_upper_body_are_rejects(row, reason):
    mask = np.zeros((64, 32), bool)
    mask[30:50, 10:20] = True
    made = one_row(Params(region="upper_body", side=64), mask, **row)
    assert made["reject"].startswith(reason)
    assert made["background"] is None
    assert made["partners"] == []


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        pytest.param(None, "no mask", id="none"),
        pytest.param(np.zeros((64, 32), bool), "empty mask", id="empty"),
        pytest.param(np.ones((32, 64), bool), "the mask has another size", id="another size"),
    ],
)
def test_masks_that_cannot_be_used_are_rejects(mask, reason):
    made = one_row(Params(side=64), mask)
    assert made["reject"].startswith(reason)
    assert made["background"] is None


def test_a_mask_that_covers_everything_is_a_reject():
    made = one_row(Params(side=64), np.ones((80, 80), bool), height=80)
    assert "leaves nothing to fill it in from" in made["reject"]


def test_a_row_that_is_not_for_training_is_null_and_no_reject():
    made = one_row(Params(side=64), np.zeros((64, 32), bool), train=False)
    assert [made[name] for name in ("background", "region", "reject")] == [None, None, None]


def test_any_mask_can_be_the_region(swaps_toy):
    build(swaps_toy, "masks", name="hair")
    change(
        "on: {toy: {max_reject_rate: 0.5}}",
        "on: {toy: {}, hair: {dataset: toy, region: given, builds: {region_masks: hair}}}",
    )
    build(swaps_toy, "backgrounds", name="hair")
    persons, hair = rows_of(swaps_toy, "backgrounds"), rows_of(swaps_toy, "backgrounds", "hair")
    assert [r["partners"] for r in persons] == [r["partners"] for r in hair], "persons are alike"
    for person, row in zip(persons, hair, strict=True):
        if row["region"] is None:
            continue
        region = images.decode_mask(row["region"]["bytes"])
        assert row["rectangle"] == list(swaps.bounds(region) or ())
        assert region.sum() < images.decode_mask(person["region"]["bytes"]).sum() / 2
    with pytest.raises(ReidError, match="goes with region `given`"):
        check(Params, {"region": "given"}, "backgrounds")


# --- viewpoints ----------------------------------------------------------------------------------


def fit_table(masks: list[np.ndarray], **columns) -> pa.Table:
    count = len(masks)
    cells = [{"bytes": images.encode_png(m), "path": None} for m in masks]
    height, width = masks[0].shape
    table = {
        "image_id": [str(i) for i in range(count)],
        "height": pa.array([height] * count, pa.int32()),
        "width": pa.array([width] * count, pa.int32()),
        "person": pa.array(range(count), pa.int32()),
        "viewpoint": pa.nulls(count, pa.int8()),
        "mask": pa.array(cells, IMAGE),
        "position": pa.array(range(10, 10 + count), pa.int32()),
    }
    return pa.table({**table, **columns})


def partners_of(params: Params, **columns) -> list[list[int]]:
    mask = silhouette(np.random.default_rng(0))
    result = backgrounds.fit(iter([fit_table([mask] * 4, **columns)]), params)
    assert result.table["position"].to_pylist() == [10, 11, 12, 13]
    return result.table["partners"].to_pylist()


def test_partners_share_the_viewpoint_and_show_their_head():
    views = pa.array([1, 1, 2, 1], pa.int8())
    assert partners_of(Params(side=64), viewpoint=views) == [[11, 13], [10, 13], [], [10, 11]]
    hidden = pa.array([False, True, False, None])
    assert partners_of(Params(side=64), viewpoint=views, occlusion_up=hidden) == [
        [13], [10, 13], [], [10]
    ]  # fmt: skip
    anyone = Params(side=64, same_viewpoint=False, not_occluded=False)
    assert partners_of(anyone, viewpoint=views, occlusion_up=hidden)[2] == [10, 11, 13]


def test_poses_are_viewpoints_where_there_are_no_labels():
    with pytest.raises(ReidError, match="set `viewpoint: poses`"):
        partners_of(Params(side=64))
    front, back = standing_joints(64, 32), standing_joints(64, 32)
    back[:, 0] = 32 - back[:, 0]  # left is right
    nobody = np.full((18, 3), np.nan)
    joints = joints_column(np.stack([front, back, front + 1, nobody]))
    params = Params(side=64, viewpoint="poses", viewpoints=2)
    assert partners_of(params, joints=joints) == [[12], [], [10], []]


def test_columns_are_read_only_where_needed():
    upper = Params(region="upper_body")
    with_boxes = ["image", *PART_BOXES, "occlusion_up"]
    assert set(backgrounds.reads(Params(), ["image"])) == {"rows", "masks"}
    assert backgrounds.reads(upper, ["image"])["joints"] == ["joints"]
    assert "joints" not in backgrounds.reads(upper, with_boxes)
    assert set(PART_BOXES) <= set(backgrounds.reads(upper, with_boxes)["rows"])
    assert "occlusion_up" in backgrounds.fit_reads(Params(), with_boxes)["rows"]
    assert "joints" in backgrounds.fit_reads(Params(viewpoint="poses"), ["image"])
    assert "image" not in backgrounds.fit_reads(upper, with_boxes)["rows"]


# --- the fit is kept -----------------------------------------------------------------------------


def test_a_fit_is_computed_once_and_a_broken_one_again(swaps_toy, monkeypatch):
    before = rows_of(swaps_toy, "backgrounds")
    calls = []
    real = backgrounds.fit
    counted = replace(backgrounds.STAGE, fit=lambda *a: calls.append(1) or real(*a))
    monkeypatch.setattr(backgrounds, "STAGE", counted)
    make_plan("backgrounds", "toy", swaps_toy)
    assert calls == []
    table = next((swaps_toy.work / "backgrounds").glob("*.fit.parquet"))
    table.unlink()
    build(swaps_toy, "backgrounds")
    assert calls == [1]
    assert rows_of(swaps_toy, "backgrounds") == before
    assert unused(swaps_toy.work) == [], "the fit is in use"


def test_a_kill_between_a_fits_table_and_its_note_leaves_nothing_to_be_believed(
    swaps_toy, monkeypatch
):
    change("mask_width: 40}", "mask_width: 32}")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fits, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            make_plan("backgrounds", "toy", swaps_toy)
    build(swaps_toy, "backgrounds")
    assert (
        json.loads((swaps_toy.derived("backgrounds", "toy") / "manifest.json").read_text())[
            "parameters"
        ]["mask_width"]
        == 32
    )
