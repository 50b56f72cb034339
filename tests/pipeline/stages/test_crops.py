"""Crops: whose box is cut out and how, bit by bit, and the data set that comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

import reid as library
from pipeline.accuracy import crops as accuracy
from pipeline.backends.boxes import crop_box, inside, iou
from pipeline.backends.crops.person_box import Frame, PersonBox, labelled_box
from pipeline.commands.build import make_plan
from pipeline.commands.main import app
from pipeline.engine import run as engine
from pipeline.engine.stage import Resources
from pipeline.stages import crops
from pipeline.stages.crops import Crops, Params, weights
from pipeline.world.scenes.topview import Params as Topview
from pipeline.world.truth import PERSON
from reid.arrays.images import BadImage, decode, decode_depth, encode_png
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE, ROW
from reid.shards.verify import verify
from tests.conftest import contents
from tests.pipeline.overhead import (
    FLOOR_MM,
    HEIGHT,
    WIDTH,
    build,
    change,
    frame_of,
    make_overhead,
    person_box,
    rows_of,
    walks,
)

# --- boxes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "options", "pixels"),
    [
        pytest.param((10, 6, 22, 16), {}, (10, 6, 22, 16), id="whole pixels stay"),
        pytest.param((10.2, 6.9, 21.1, 15.01), {}, (10, 6, 22, 16), id="all that it touches"),
        pytest.param((-4, -9, 12.5, 60), {}, (0, 0, 13, 48), id="cut off at the border"),
        pytest.param((20, 10, 30, 18), {"margin": 0.2}, (18, 8, 32, 20), id="2 of 10 on each side"),
        pytest.param((1, 10, 11, 18), {"margin": 0.2}, (0, 8, 13, 20), id="as far as the frame"),
        pytest.param((20, 10, 30, 16), {"square": True}, (20, 8, 30, 18), id="widened"),
        pytest.param((20, 10, 30, 17), {"square": True}, (20, 9, 30, 19), id="odd: one more below"),
        pytest.param((20, 0, 30, 4), {"square": True}, (20, 0, 30, 10), id="shifted from above"),
        pytest.param((20, 44, 30, 48), {"square": True}, (20, 38, 30, 48), id="shifted from below"),
        pytest.param((2, 10, 62, 20), {"square": True}, (2, 0, 62, 48), id="frame is too small"),
        pytest.param(
            (20, 10, 30, 16), {"square": True, "margin": 0.1}, (19, 7, 31, 19), id="margin first"
        ),
    ],
)
def test_what_is_cut_out(box, options, pixels):
    assert crop_box(box, HEIGHT, WIDTH, **options) == pixels


spans = st.tuples(st.floats(-20, 80), st.floats(0, 60)).map(lambda s: (s[0], s[0] + s[1]))


@settings(max_examples=150, deadline=None)
@given(spans, spans, st.floats(0, 1), st.booleans())
def test_a_crop_lies_in_the_frame_and_holds_the_box(across, down, margin, square):
    box = (across[0], down[0], across[1], down[1])
    x1, y1, x2, y2 = inside(box, HEIGHT, WIDTH)
    left, top, right, bottom = crop_box(box, HEIGHT, WIDTH, margin, square=square)
    assert 0 <= left <= x1 <= x2 <= right <= WIDTH
    assert 0 <= top <= y1 <= y2 <= bottom <= HEIGHT
    if square and max(right - left, bottom - top) <= HEIGHT and right - left < HEIGHT:
        assert right - left == bottom - top


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 8)] * 4), min_size=2, max_size=2))
def test_iou_by_counting_pixels(corners):
    boxes = [(x, y, x + w + 1, y + h + 1) for x, y, w, h in corners]
    sets = [{(i, j) for i in range(b[0], b[2]) for j in range(b[1], b[3])} for b in boxes]
    expected = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert iou(boxes[0], boxes[1]) == pytest.approx(expected)


# --- whose it is ---------------------------------------------------------------------------------

SMALL_MIDDLE = PersonBox((28, 20, 36, 28), 0.4)
LARGE_LEFT = PersonBox((0, 10, 20, 30), 0.6)
TALL_RIGHT = PersonBox((50, 5, 60, 15), 0.9)


def seen(depth_mm: np.ndarray | None = None) -> Frame:
    return Frame("a", np.zeros((HEIGHT, WIDTH, 3), np.uint8), depth_mm)


def relief() -> np.ndarray:
    """The one on the right is nearest to the camera; on the left a speck is nearer still."""
    depth_mm = np.full((HEIGHT, WIDTH), 3000, np.uint16)
    depth_mm[20:28, 28:36], depth_mm[10:30, 0:20], depth_mm[5:15, 50:60] = 1500, 1400, 1300
    depth_mm[10, 3], depth_mm[22, 30] = 900, 0
    return depth_mm


@pytest.mark.parametrize(("rule", "own"), [("central", 1), ("largest", 0), ("nearest", 2)])
def test_of_several_people_one_has_the_label_by_the_rule(rule, own):
    people = [LARGE_LEFT, SMALL_MIDDLE, TALL_RIGHT]
    assert labelled_box(people, 7, seen(relief()), rule) == own
    assert labelled_box(people[::-1], 7, seen(relief()), rule) == 2 - own
    assert labelled_box([TALL_RIGHT], 7, seen(), rule) == 0
    assert labelled_box([], 7, seen(relief()), rule) is None


def test_of_equals_the_first():
    assert labelled_box([SMALL_MIDDLE, SMALL_MIDDLE._replace(score=1)], 7, seen(), "central") == 0


def test_a_box_with_the_label_is_before_any_rule_and_another_ones_is_never_taken():
    people = [SMALL_MIDDLE._replace(person=0), LARGE_LEFT._replace(person=7), TALL_RIGHT]
    assert labelled_box(people, 7, seen(), "central") == 1
    assert labelled_box(people, 8, seen(), "central") == 2
    assert labelled_box(people[:2], 8, seen(), "central") is None


def test_without_depth_nobody_is_the_nearest():
    with pytest.raises(BadImage, match="no depth to tell the nearest by"):
        labelled_box([LARGE_LEFT, TALL_RIGHT], 7, seen(), "nearest")


# --- the step ------------------------------------------------------------------------------------


def table_of(*frames: tuple[bytes, bytes | None]) -> pa.Table:
    rows = [
        {
            "image_id": f"f{n}", "image": {"bytes": image, "path": None}, "image_size": len(image),
            "depth": None if depth is None else {"bytes": depth, "path": None},
            "depth_size": None if depth is None else len(depth), "person": 5, "train": True,
            "query": False, "gallery": True, "camera": 1, "tracklet": 3, "frame": n,
            "viewpoint": None, "height": HEIGHT, "width": WIDTH,
        }
        for n, (image, depth) in enumerate(frames)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, ROW)


def encoded(people=((20, 14),)) -> tuple[bytes, bytes]:
    image, depth_mm = frame_of(people)
    return encode_png(image), encode_png(depth_mm)


def run(step: Crops, *frames: tuple[bytes, bytes | None]):
    made, rejects = step.finish(step(step.prepare(table_of(*frames))))
    return made.to_pylist(), dict(rejects)


def finding(*people: PersonBox, **params) -> Crops:
    return Crops(lambda frames: [list(people) for _ in frames], Params(**params))


def by_depth(**params) -> Crops:
    floor = encode_png(np.full((HEIGHT, WIDTH), FLOOR_MM, np.uint16))
    cell = pa.array([{"bytes": floor, "path": None}], IMAGE)
    fitted = crops.Fit({}, pa.table({"floor": cell}))
    return crops.build(Params(backend="depth", **params), Resources(fitted=fitted))


def test_colour_and_depth_are_cut_alike_bit_by_bit():
    image, depth_mm = frame_of([(20, 14)])
    (row,), rejects = run(finding(PersonBox((20, 14, 32, 24), 0.8)), encoded())
    assert not rejects
    assert row["crop_box"] == row["box"] == [20, 14, 32, 24]
    assert (decode(row["image"]["bytes"]) == image[14:24, 20:32]).all()
    assert (decode_depth(row["depth"]["bytes"]) == depth_mm[14:24, 20:32]).all()
    labels = ("person", "train", "query", "gallery", "camera", "tracklet", "frame")
    assert [row[name] for name in labels] == [5, True, False, True, 1, 3, 0]
    assert (row["height"], row["width"], row["people"]) == (10, 12, 1)
    assert row["score"] == pytest.approx(0.8)
    assert (row["image_id"], row["source_image_id"]) == ("f0", "f0")


def test_the_box_is_the_person_the_crop_box_what_is_cut():
    step = finding(PersonBox((-3, 14, 11, 24), 0.8), margin=0.1, square=True)
    (row,), _ = run(step, encoded())
    assert row["box"] == [0, 14, 11, 24]
    assert row["crop_box"] == [0, 12, 15, 27]  # 1.1 on each side: 15 x 14, shifted to the right
    assert (row["height"], row["width"]) == (15, 15)


def test_jpeg_by_quality_is_of_the_colour_alone():
    (row,), _ = run(finding(PersonBox((20, 14, 32, 24), 1), quality=90), encoded())
    assert row["image"]["bytes"].startswith(b"\xff\xd8\xff")
    assert decode(row["image"]["bytes"]).shape == (10, 12, 3)
    assert decode_depth(row["depth"]["bytes"]).shape == (10, 12)


def test_frames_that_cannot_be_used_are_rejects():
    image, depth = encoded()
    rows, rejects = run(
        by_depth(), (image, depth), (image, None), (image, encode_png(np.zeros((HEIGHT, WIDTH),
        np.uint16))), (image, encode_png(np.full((24, 32), 2000, np.uint16))),
        (image[:-30], depth), (image, encode_png(np.zeros((HEIGHT, WIDTH), np.uint8))),
        encoded([]),
    )  # fmt: skip
    assert [row["image_id"] for row in rows] == ["f0"]
    assert rejects == {
        "f1": "no depth",
        "f2": "no person found",
        "f3": "depth is 32 x 24 pixels, its image 64 x 48",
        "f4": "truncated PNG",
        "f5": "depth must be one 16-bit channel, not uint8 (48, 64)",
        "f6": "no person found",
    }


def test_colour_alone_is_cut_where_boxes_need_no_depth():
    (row,), _ = run(finding(PersonBox((20, 14, 32, 24), 1)), (encoded()[0], None))
    assert row["depth"] is None
    assert row["depth_size"] is None


def test_where_nobody_is_the_whole_frame_may_be_kept_as_it_is():
    image, depth = encoded([])
    (row,), rejects = run(by_depth(nobody="whole_frame"), (image, depth))
    assert not rejects
    assert (row["image"]["bytes"], row["depth"]["bytes"]) == (image, depth)
    assert (row["box"], row["score"], row["people"]) == (None, None, 0)
    assert row["crop_box"] == [0, 0, WIDTH, HEIGHT]


def test_boxes_that_are_too_small_in_the_frame_are_nobody():
    narrow = PersonBox((10, 10, 17.9, 40), 1)
    outside = PersonBox((-50, 10, 7, 40), 1)
    assert run(finding(narrow, outside), encoded())[1] == {"f0": "no person found"}
    (row,), _ = run(finding(narrow, outside, min_side=7), encoded())
    assert (row["box"], row["people"]) == (pytest.approx([10, 10, 17.9, 40]), 2)


def test_several_people_give_one_crop_or_junk_beside_it():
    people = (LARGE_LEFT, SMALL_MIDDLE, TALL_RIGHT)
    (row,), _ = run(finding(*people), encoded())
    assert (row["box"], row["people"]) == ([28, 20, 36, 28], 3)
    rows, _ = run(finding(*people, others="junk"), encoded())
    assert [row["image_id"] for row in rows] == ["f0", "f0~1", "f0~2"]
    assert [row["person"] for row in rows] == [5, -1, -1]
    assert [row["box"][0] for row in rows] == [28, 0, 50]
    assert {row["source_image_id"] for row in rows} == {"f0"}
    assert not any(row["train"] or row["query"] or row["gallery"] for row in rows[1:])


def test_depth_finds_the_person_at_the_border():
    (row,), _ = run(by_depth(), encoded([(-4, 30)]))
    assert row["box"] == [0, 30, 8, 40]


# --- parameters ----------------------------------------------------------------------------------


def test_parameters_that_do_not_go_together():
    with pytest.raises(ValidationError, match="`body_mm` must not be above `top_mm`"):
        Params(body_mm=1300)


def test_what_decides_the_boxes_is_hashed(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert weights(Params(weights="w.pt"), tmp_path) == sha256
    pin = {"address": "https://example.org/n.pt", "file": "n.pt", "bytes": 1, "sha256": sha256}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.json").write_text(json.dumps({"crops ultralytics yolo11n": pin}))
    assert weights(Params(), tmp_path) == sha256
    assert weights(Params(backend="depth"), tmp_path) == ""
    result = set()
    for x2 in (9, 10):
        (tmp_path / "b.csv").write_text(f"image_id,x1,y1,x2,y2\na,1,2,{x2},9\n")
        result.add(weights(Params(backend="given", path="b.csv"), tmp_path))
    assert len(result) == 2
    assert crops.needs_device(Params())
    assert not crops.needs_device(Params(backend="depth"))


# --- a project -----------------------------------------------------------------------------------


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = make_overhead(tmp_path / "project", monkeypatch)
    build(project, "ingest")
    return project


def test_crops_are_a_data_set_of_their_frames(top: Project):
    finished = build(top, "crops")
    folder, base = top.derived("crops", "top"), rows_of(top.shards("top"))
    assert (finished.rows, finished.rejects) == (len(base), 0) == (48, 0)
    frames = {row["image_id"]: row for row in base}
    rows = rows_of(folder)
    assert list(rows[0]) == [*ROW.names, *crops.SCHEMA.names]
    places = {(camera, frame): people for _, camera, frame, people in walks()}
    for row in rows:
        frame = frames[row["source_image_id"]]
        x1, y1, x2, y2 = row["crop_box"]
        depth_mm = decode_depth(frame["depth"]["bytes"])
        assert (decode_depth(row["depth"]["bytes"]) == depth_mm[y1:y2, x1:x2]).all()
        image = decode(frame["image"]["bytes"])
        assert (decode(row["image"]["bytes"]) == image[y1:y2, x1:x2]).all()
        labels = ("person", "camera", "tracklet", "frame", "train", "query", "gallery")
        assert [row[name] for name in labels] == [frame[name] for name in labels]
        (place,) = places[row["camera"], row["frame"]]
        assert row["box"] == person_box(place)
    assert verify(folder) == []
    facts = json.loads((folder / "fit.json").read_text())["floors"]
    assert [(f["height"], f["width"], f["frames"]) for f in facts] == [(HEIGHT, WIDTH, 24)]
    assert facts[0]["median_mm"] == pytest.approx(FLOOR_MM, abs=5)
    assert facts[0]["without_reading"] == pytest.approx(9 / (HEIGHT * WIDTH), abs=1e-6)


def test_the_rules_of_the_frames_hold_for_their_crops(top: Project):
    build(top, "crops")
    protocol = json.loads((top.derived("crops", "top") / "protocol.json").read_text())
    assert [rule["name"] for rule in protocol["protocols"]] == ["tvpr"]
    roles = dict.fromkeys(("train", "query", "gallery"), 24)
    assert {role: n["images"] for role, n in protocol["built"].items()} == roles
    data = library.open("data", "crops/top", ["image", "depth", "box"])
    assert {role: len(data.role(role)) for role in roles} == roles
    assert data[0]["image"].shape[:2] == data[0]["depth"].shape


def test_random_splits_hold_for_crops_and_the_floor_is_of_all_frames(tmp_path, monkeypatch):
    project = make_overhead(tmp_path / "project", monkeypatch, "opr")
    build(project, "ingest")
    build(project, "crops")
    fitted = json.loads((project.derived("crops", "top") / "fit.json").read_text())
    assert fitted["floors"][0]["frames"] == 48
    frames, data = (library.open("data", name, ["image"]) for name in ("top", "crops/top"))
    differ = set()
    for number in range(1, 11):
        rule = f"split-{number:02d}"
        for role in ("train", "query", "gallery"):
            chosen = data.under(rule).role(role).rows
            expected = frames.under(rule).role(role).rows
            assert chosen["image_id"].to_pylist() == expected["image_id"].to_pylist()
            differ.add((role, tuple(sorted(set(chosen["person"].to_pylist())))))
    assert len(differ) > 3


def test_jet_of_crops_stands_beside_them(top: Project):
    with pytest.raises(ReidError, match="run `reid crops top`"):
        make_plan("jet", "top-crops", top)
    build(top, "crops")
    build(top, "jet", "top-crops")
    folder = top.derived("jet", "top-crops")
    assert json.loads((folder / "manifest.json").read_text())["dataset"] == "crops/top"
    assert verify(folder, top.derived("crops", "top")) == []
    builds = {"jet": "top-crops"}
    data = library.open("data", "crops/top", ["image", "depth", "jet"], builds=builds)
    for row in data.role("query"):
        assert row["jet"].shape == row["image"].shape == (*row["depth"].shape, 3)
    # other boxes: the colours of other crops
    change("    top: {}\n    top-other", "    top: {margin: 0.2}\n    top-other")
    build(top, "crops")
    plan = make_plan("jet", "top-crops", top)
    assert len(engine.missing(plan, top)) == len(plan.tasks)


def test_a_build_over_a_made_data_set_needs_a_name_of_its_own(top: Project):
    build(top, "crops")
    change("    top-crops: {dataset: crops/top}", "    crops/top: {}")
    with pytest.raises(ReidError, match="name it otherwise, with `dataset: crops/top`"):
        make_plan("jet", "crops/top", top)
    change("    crops/top: {}", "    top-crops: {dataset: crops/top}")
    with Path("params.yaml").open("a") as file:
        file.write("parts: {on: {top-crops: {dataset: crops/top}}}\n")
    with pytest.raises(ReidError, match=r"`builds` which build of joints .* joints: top-crops"):
        make_plan("parts", "top-crops", top)


def test_the_same_bytes_from_one_process_and_from_a_pool(tmp_path, monkeypatch):
    result = []
    for executor in ("local", "pool"):
        project = make_overhead(tmp_path / executor, monkeypatch, persons=2)
        build(project, "ingest")
        build(project, "crops", executor=executor)
        build(project, "jet", "top-crops", executor=executor)
        folders = project.derived("crops", "top"), project.derived("jet", "top-crops")
        result.append([contents(folder) for folder in folders])
    assert result[0] == result[1]


def test_a_rerun_computes_nothing_and_other_frames_make_another_floor(top: Project):
    build(top, "crops")
    assert engine.missing(make_plan("crops", "top", top), top) == []
    change("top-other: {dataset: top}", "top-other: {dataset: top, floor_frames: 5}")
    build(top, "crops", "top-other")
    facts = json.loads((top.derived("crops", "top-other") / "fit.json").read_text())
    assert facts["floors"][0]["frames"] == 5


def test_a_data_set_without_depth_says_what_else_can_be_done(toy: Project):
    with Path("params.yaml").open("a") as file:
        file.write("crops: {on: {toy: {backend: depth}}}\n")
    build(toy, "ingest", "toy")
    with pytest.raises(ReidError, match=r"no training frame has depth .* ultralytics or given"):
        build(toy, "crops", "toy")


def test_given_boxes_of_a_project(top: Project):
    ids = [row["image_id"] for row in rows_of(top.shards("top"))]
    lines = [f"{name},4,5,20,25,0.5" for name in ids[:-1]]
    Path("boxes.csv").write_text("\n".join(["image_id,x1,y1,x2,y2,score", *lines, "x,1,1,9,9,1"]))
    given = "dataset: top, backend: given, path: boxes.csv"
    change("top-other: {dataset: top}", f"top-other: {{{given}}}")
    finished = build(top, "crops", "top-other")
    assert (finished.rows, finished.rejects) == (47, 1)
    folder = top.derived("crops", "top-other")
    assert pq.read_table(folder / "rejects.parquet").to_pylist() == [
        {"image_id": ids[-1], "reason": "no box given"}
    ]
    assert {tuple(row["box"]) for row in rows_of(folder)} == {(4, 5, 20, 25)}
    params = Params(backend="given", path="boxes.csv")
    assert crops.unmatched(params, ids) == ["x"]


# --- accuracy ------------------------------------------------------------------------------------


def write_truth(folder: Path, people: dict[str, list[dict]]) -> Path:
    (folder / "rows").mkdir(parents=True)
    column = pa.array(list(people.values()), pa.list_(PERSON))
    pq.write_table(
        pa.table({"image_id": list(people), "people": column}), folder / "rows/0.parquet"
    )
    return folder


def one(person: int, box: list[float] | None) -> dict:
    return {"person": person, "box": box, "pixels": 0}


def test_accuracy_by_hand(tmp_path: Path, top: Project):
    build(top, "crops")
    rows = rows_of(top.derived("crops", "top"))
    truth = {row["image_id"]: [one(row["person"], row["box"])] for row in rows}
    names = list(truth)
    x1, y1, x2, y2 = rows[0]["box"]
    truth[names[0]] = [one(rows[0]["person"], [x1, y1, x2, y2 + 10])]  # iou 0.5: found
    far = [x1 + 40, y1, x2 + 40, y2]
    truth[names[1]] = [one(rows[1]["person"], far), one(0, rows[1]["box"])]  # another one's
    truth[names[2]] = [one(rows[2]["person"], [0, 40, 4, 48])]  # nobody's
    truth[names[3]] = [one(rows[3]["person"], None)]  # not seen: not counted, but a false find
    truth[names[4]].append(one(0, rows[4]["box"]))  # somebody under whom it is: found all the same
    truth["rejected"] = [one(1, [0, 0, 9, 9])]
    result = accuracy.measured(
        top.derived("crops", "top"), write_truth(tmp_path / "t", truth)
    ).numbers
    assert result == {
        "frames": 48, "boxes": 48, "misses": 3, "others": 1, "false": 2,
        "iou": round((0.5 + 44) / 47, 4), "iou_all": round((0.5 + 44) / 48, 4),
        "frames_alone": 46, "misses_alone": 2,
        "iou_alone": round((0.5 + 43) / 45, 4), "iou_all_alone": round((0.5 + 43) / 46, 4),
    }  # fmt: skip
    with pytest.raises(ReidError, match="knows nothing of"):
        accuracy.measured(
            top.derived("crops", "top"), write_truth(tmp_path / "u", {"x": [one(1, far)]})
        )
    with pytest.raises(ReidError, match="not the ground truth"):
        accuracy.measured(top.derived("crops", "top"), tmp_path / "none")


def test_whole_frames_and_junk_are_no_finds_of_the_person(tmp_path: Path, top: Project):
    build(top, "crops")
    rows = rows_of(top.derived("crops", "top"))[:3]
    truth = {row["image_id"]: [one(row["person"], row["box"])] for row in rows}
    rows[0]["box"] = None
    rows[1] |= {"person": -1, "train": False}
    folder = tmp_path / "built"
    (folder / "rows").mkdir(parents=True)
    schema = Shards(top.derived("crops", "top")).shards[0].schema
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "rows/all-0.parquet")
    result = accuracy.measured(folder, write_truth(tmp_path / "t", truth)).numbers
    assert (result["iou"], result["iou_all"], result["misses"]) == (1, round(1 / 3, 4), 2)
    assert (result["boxes"], result["false"]) == (2, 0)


def test_a_rendered_top_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever is alone is found; of several people it is mostly the right one."""
    from pipeline.world.build import build_world

    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    Path("params.yaml").write_text(
        "ingest: {on: {top: {reader: tvpr}}}\ncrops: {on: {top: {backend: depth}}}\n"
    )
    world = Topview(train_identities=8, images_min=4, images_max=5, occluder_probability=0.4)
    build_world("top", world, "tvpr", Path("data/0-raw"), workers=1)
    project = Project(Path())
    build(project, "ingest")
    build(project, "crops")
    result = accuracy.measured(project.derived("crops", "top"), project.raw("top.truth")).numbers
    assert result["iou_alone"] > 0.95
    assert result["iou"] > 0.8
    assert result["misses_alone"] == 0
    assert result["false"] <= 1


def test_the_command_finds_the_world_s_truth(top: Project):
    build(top, "crops")
    rows = rows_of(top.derived("crops", "top"))
    truth = {row["image_id"]: [one(row["person"], row["box"])] for row in rows}
    write_truth(top.raw("top.truth"), truth)
    done = CliRunner().invoke(app, ["accuracy", "crops", "top", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["iou"] == 1
    kept = json.loads((top.reports / "accuracy/crops-top.json").read_text())
    assert kept["numbers"] == json.loads(done.output)
    with pytest.raises(ReidError, match=r"no accuracy of `jet` \(there is one of masks, joints"):
        CliRunner().invoke(app, ["accuracy", "jet", "top"], catch_exceptions=False)
