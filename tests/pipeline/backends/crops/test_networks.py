"""Where boxes of people come from: depth above a floor, an untrained YOLO, files of each format."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.backends.crops import depth as crops_depth
from pipeline.backends.crops.depth import draw_frames, learn_floor, learn_floors, people_above
from pipeline.backends.crops.given import load
from pipeline.backends.crops.person_box import Frame, PersonBox
from pipeline.stages.crops import Params
from pipeline.world.truth import PERSON
from reid.arrays.images import BadImage, encode_png
from reid.project.errors import ReidError
from reid.shards.schema import IMAGE
from tests.pipeline.overhead import FLOOR_MM, HEIGHT, WIDTH, frame_of, person_box

FLOOR = np.full((HEIGHT, WIDTH), FLOOR_MM, np.uint16)

# --- the floor -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(arrays(np.uint16, (5, 3, 2), elements=st.integers(0, 6)))
def test_the_floor_is_each_pixels_median_reading(frames):
    floor = learn_floor(list(frames))
    for y in range(3):
        for x in range(2):
            readings = sorted(int(v) for v in frames[:, y, x] if v)
            expected = readings[len(readings) // 2] if readings else 0
            assert floor[y, x] == expected


def test_large_frames_are_learnt_in_strips():
    frames = np.random.default_rng(0).integers(1, 5000, (7, 50, 4)).astype(np.uint16)
    assert (learn_floor(list(frames)) == np.median(frames, axis=0)).all()


def test_people_who_pass_leave_no_trace():
    frames = [frame_of([(2 + 9 * step, 20)], step)[1] for step in range(6)]
    floor = learn_floor(frames)
    assert np.abs(floor[3:].astype(int) - FLOOR_MM).max() <= 5
    assert not floor[:3, :3].any()


def test_a_floor_for_each_size():
    frames = [np.full((4, 6), 9, np.uint16), np.full((3, 3), 7, np.uint16)] * 2
    assert [(floor.shape, n) for floor, n in learn_floors(frames)] == [((3, 3), 2), ((4, 6), 2)]


def tables(count: int, each: int):
    """Frames whose readings are their numbers, `each` a table; every fifth has no depth."""
    for first in range(0, count, each):
        numbers = range(first, min(first + each, count))
        pictures = [encode_png(np.full((2, 2), n + 1, np.uint16)) for n in numbers]
        cells = [
            None if n % 5 == 4 else {"bytes": p, "path": None}
            for n, p in zip(numbers, pictures, strict=True)
        ]
        ids = [f"f{n}" for n in numbers]
        yield pa.table({"image_id": ids, "depth": pa.array(cells, IMAGE)})


def test_frames_are_drawn_by_the_seed_whatever_the_shards():
    drawn = [int(depth_mm[0, 0]) for depth_mm in draw_frames(tables(40, 40), 10, seed=0)]
    assert len(set(drawn)) == 10
    assert all(number % 5 for number in drawn)
    for each in (1, 7, 13):
        assert [int(d[0, 0]) for d in draw_frames(tables(40, each), 10, seed=0)] == drawn
    assert [int(d[0, 0]) for d in draw_frames(tables(40, 40), 10, seed=1)] != drawn
    assert len(list(draw_frames(tables(40, 7), 100, seed=0))) == 32


def test_depth_that_cannot_be_decoded_is_left_out():
    cells = [{"bytes": b"\x89PNG\r\n\x1a\nbroken", "path": None}]
    table = pa.table({"image_id": ["a"], "depth": pa.array(cells, IMAGE)})
    assert list(draw_frames([table], 5, seed=0)) == []


# --- people above it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        pytest.param((20, 14), id="in the middle"),
        pytest.param((-4, 20), id="cut by the left border"),
        pytest.param((56, 20), id="cut by the right border"),
        pytest.param((20, -3), id="cut by the upper border"),
        pytest.param((20, 41), id="cut by the lower border"),
    ],
)
def test_one_person(place):
    (result,) = people_above(frame_of([place])[1], FLOOR, 1200, 100)
    x1, y1, x2, y2 = person_box(place)
    assert result.box == (max(0, x1), max(0, y1), min(WIDTH, x2), min(HEIGHT, y2))
    assert result.score == 1


def test_nobody_and_who_is_too_low():
    assert people_above(frame_of([])[1], FLOOR, 1200, 100) == []
    assert people_above(frame_of([(20, 14)])[1], FLOOR, 1800, 100) == []
    assert people_above(np.zeros_like(FLOOR), FLOOR, 1200, 100) == []


def test_a_bag_on_the_floor_is_nobody_and_what_always_stands_there_is_floor():
    depth_mm = frame_of([(40, 30)])[1]
    depth_mm[5:15, 5:15] = FLOOR_MM - 600  # a trolley
    (result,) = people_above(depth_mm, FLOOR, 1200, 100)
    assert result.box == tuple(person_box((40, 30)))
    cupboard = FLOOR.copy()
    cupboard[20:40, 0:20] = 1000
    depth_mm[20:40, 0:20] = 1000
    assert len(people_above(depth_mm, cupboard, 1200, 100)) == 1


def test_two_people_apart_and_two_who_touch():
    (one, other) = people_above(frame_of([(5, 10), (40, 30)])[1], FLOOR, 1200, 100)
    assert {one.box, other.box} == {tuple(person_box((5, 10))), tuple(person_box((40, 30)))}
    result = people_above(frame_of([(20, 14), (32, 14)])[1], FLOOR, 1200, 100)
    assert sorted(f.box for f in result) == [(20, 14, 32, 24), (32, 14, 44, 24)]


def test_the_one_with_the_most_pixels_is_first():
    cut, whole = (-6, 10), (40, 30)
    result = people_above(frame_of([cut, whole])[1], FLOOR, 1200, 100)
    assert [f.box[0] for f in result] == [40, 0]


def test_gaps_between_readings_are_closed_and_lower_the_score():
    depth_mm = frame_of([(20, 14)])[1]
    depth_mm[14:24, 26] = 0  # a crack through the person, one pixel wide
    (result,) = people_above(depth_mm, FLOOR, 1200, 100)
    assert result.box == tuple(person_box((20, 14)))
    assert result.score == pytest.approx(1 - 1 / 12)


def test_specks_are_nobody():
    depth_mm = FLOOR.copy()
    depth_mm[10, 10] = depth_mm[30:31, 40:42] = 1000
    assert people_above(depth_mm, FLOOR, 1200, 100) == []


def test_frames_say_why_they_have_nobody():
    find = crops_depth.build(Params(backend="depth"), [FLOOR])
    image, depth_mm = frame_of([(20, 14)])
    one, none, small = find([
        Frame("a", image, depth_mm), Frame("b", image, None), Frame("c", image, depth_mm[:24, :32]),
    ])  # fmt: skip
    assert [result.box for result in one if isinstance(result, PersonBox)] == [(20, 14, 32, 24)]
    assert none == "no depth"
    assert small == "no floor of 32 x 24 pixels was learnt"


# --- ultralytics ---------------------------------------------------------------------------------


def test_classes_by_name():
    from pipeline.backends.crops.ultralytics import class_of

    assert class_of({0: "bicycle", 1: "person"}, "") == 1
    assert class_of({0: "head", 3: "shoulder"}, "") == 0
    assert class_of({0: "person", 3: "head"}, "head") == 3
    with pytest.raises(ReidError, match=r"no class `hat` \(it has head, person\)"):
        class_of({0: "person", 3: "head"}, "hat")


def test_boxes_of_a_result():
    torch = pytest.importorskip("torch")
    from pipeline.backends.crops.ultralytics import boxes_of

    boxes = SimpleNamespace(
        xyxy=torch.tensor([[1.0, 2.5, 30, 40], [0, 0, 5, 5]]), conf=torch.tensor([0.75, 0.5])
    )
    assert boxes_of(SimpleNamespace(boxes=boxes)) == [
        PersonBox((1.0, 2.5, 30.0, 40.0), 0.75), PersonBox((0.0, 0.0, 5.0, 5.0), 0.5),
    ]  # fmt: skip


@pytest.mark.slow
def test_an_untrained_network(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ultralytics")
    from safetensors.torch import save_file

    from pipeline.backends.crops import ultralytics as crops_ultralytics
    from pipeline.backends.libraries.ultralytics import untrained

    threads = torch.get_num_threads()
    state = untrained("yolo11n", "detect").model.state_dict()
    for scale in range(3):  # every region is of class 2
        state[f"model.23.cv3.{scale}.2.bias"][2] += 8
    save_file(state, tmp_path / "w.safetensors")
    settings = {"weights": str(tmp_path / "w.safetensors"), "longest_side": 64}
    images = [frame_of([(10 * n, 20)], n)[0] for n in range(3)] + [frame_of([])[0][:40, :30]]
    frames = [Frame(str(n), image, None) for n, image in enumerate(images)]
    find = crops_ultralytics.build(Params(person_class="2", person_score=0.01, **settings), "cpu")
    together = find(frames)
    for frame, result in zip(frames, together, strict=True):
        (alone,) = find([frame])
        assert 0 < len(result) <= 32
        for one, other in zip(result, alone, strict=True):
            assert isinstance(one, PersonBox)
            assert isinstance(other, PersonBox)
            assert one.box == pytest.approx(other.box, abs=1e-2)
            x1, y1, x2, y2 = one.box
            height, width = frame.image.shape[:2]
            assert -1e-3 <= x1 < x2 <= width + 1e-3
            assert -1e-3 <= y1 < y2 <= height + 1e-3
    assert torch.get_num_threads() == threads
    strict = crops_ultralytics.build(
        Params(person_class="2", person_score=0.9999, **settings), "cpu"
    )
    assert strict(frames[:1]) == [[]]
    with pytest.raises(ReidError, match="such as yolo11n"):
        crops_ultralytics.build(Params(model="nope", weights="random"), "cpu")


# --- given ---------------------------------------------------------------------------------------

BOX = (4.0, 5.0, 20.0, 25.5)


def write_json(path: Path, value) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def given_parquet(root: Path) -> Path:
    box = pa.array([list(BOX), [0, 0, 9, 9], None], pa.list_(pa.float32(), 4))
    columns = {"image_id": ["a/1", "a/1", "a/2"], "box": box, "score": [0.5, None, None]}
    pq.write_table(pa.table(columns), root / "b.parquet")
    return root / "b.parquet"


def given_csv(root: Path) -> Path:
    lines = [
        "image_id,x1,y1,x2,y2,score",
        "a/1.jpg,4,5,20,25.5,0.5",
        "a/1.jpg,0,0,9,9,",
        "a/2,,,,,",
    ]
    (root / "b.csv").write_text("\n".join(lines) + "\n")
    return root / "b.csv"


def given_coco(root: Path) -> Path:
    images = [{"id": 7, "file_name": "a/1.jpg"}, {"id": 8, "file_name": "a/2.jpg"}]
    people = [
        {"image_id": 7, "category_id": 1, "bbox": [4, 5, 16, 20.5], "score": 0.5},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9]},
        {"image_id": 8, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 8, "category_id": 3, "bbox": [0, 0, 9, 9]},
    ]
    names = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    result = {"images": images, "annotations": people, "categories": names}
    return write_json(root / "coco.json", result)


def given_yolo(root: Path) -> Path:
    folder = root / "yolo"
    (folder / "a").mkdir(parents=True)
    middle = f"{12 / WIDTH} {15.25 / HEIGHT} {16 / WIDTH} {20.5 / HEIGHT}"
    lines = [f"0 {middle} 0.5", f"0 {4.5 / WIDTH} {4.5 / HEIGHT} {9 / WIDTH} {9 / HEIGHT}",
             f"2 {middle} 0.9", ""]  # fmt: skip
    (folder / "a/1.txt").write_text("\n".join(lines))
    (folder / "a/2.txt").write_text("")
    (folder / "classes.txt").write_text("person\n")
    return folder


@pytest.mark.parametrize("write", [given_parquet, given_csv, given_coco, given_yolo])
def test_each_format(tmp_path, write):
    labels = load(write(tmp_path))
    first, second = labels.find("a/1", HEIGHT, WIDTH) or []
    assert first.box == pytest.approx(BOX)
    assert second.box == pytest.approx((0, 0, 9, 9))
    assert (first.score, second.score, first.person) == (0.5, 1.0, None)
    assert labels.find("a/2", HEIGHT, WIDTH) == []  # nobody, by the labels
    assert labels.find("a/3", HEIGHT, WIDTH) is None  # unknown to them
    assert labels.unmatched(["a/1", "x"]) == ["a/2"]


def test_a_box_that_is_none_is_a_reject_of_its_frame(tmp_path):
    names = [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate("abc")]
    boxes = [(0, [1, 2, 0, 5]), (1, [1, 2, 10, 5]), (2, [1, 2, 0, 5]), (2, [1, 2, 10, 5]),
             (7, [1, 2, 10, 5])]  # fmt: skip
    annotations = [{"image_id": i, "category_id": 1, "bbox": bbox} for i, bbox in boxes]
    result = {"images": names, "annotations": annotations,
             "categories": [{"id": 1, "name": "PERSON"}]}  # fmt: skip
    labels = load(write_json(tmp_path / "coco.json", result))
    for name in ("b", "c"):
        assert labels.find(name, HEIGHT, WIDTH) == [PersonBox((1, 2, 11, 7), 1.0)]
    with pytest.raises(BadImage, match="x1 below x2"):
        labels.find("a", HEIGHT, WIDTH)
    assert labels.unmatched("abc") == ["image 7"]


def test_what_a_desktop_left_in_a_folder_of_yolo_is_passed_over(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeff0 0.5 0.5 0.2 0.2\n", "utf-8")
    (tmp_path / "b.txt").write_text("0 0.5 0.5 0 0.2\n")
    (tmp_path / "._a.txt").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    labels = load(tmp_path)
    assert len(labels.find("a", HEIGHT, WIDTH) or []) == 1
    assert labels.unmatched(["a", "b"]) == []
    with pytest.raises(BadImage, match="x1 below x2"):
        labels.find("b", HEIGHT, WIDTH)


def test_coco_results(tmp_path):
    result = [{"image_id": "a/1.png", "bbox": [4, 5, 16, 20.5], "score": 0.25},
             {"image_id": "a/1.png", "bbox": [4, 5, 16, 20.5], "category_id": 2}]  # fmt: skip
    labels = load(write_json(tmp_path / "r.json", result))
    assert labels.find("a/1", HEIGHT, WIDTH) == [PersonBox(BOX, 0.25)]


def test_a_worlds_truth_says_whose_boxes_they_are(tmp_path):
    hidden = {"person": 0, "box": None, "pixels": 0}
    people = [[{"person": 3, "box": list(BOX), "pixels": 9}, hidden], None]
    (tmp_path / "t/rows").mkdir(parents=True)
    table = pa.table({"image_id": ["a", "b"], "people": pa.array(people, pa.list_(PERSON)),
                      "box": pa.array([[9.0] * 4, None], pa.list_(pa.float32(), 4))})  # fmt: skip
    pq.write_table(table, tmp_path / "t/rows/00000.parquet")
    labels = load(tmp_path / "t")
    assert labels.find("a", HEIGHT, WIDTH) == [PersonBox(BOX, 1.0, 3)]
    assert labels.find("b", HEIGHT, WIDTH) == []


def test_what_is_hashed_are_names_and_boxes(tmp_path):
    one = load(given_csv(tmp_path)).digest()
    assert load(given_parquet(tmp_path)).digest() == one
    text = (tmp_path / "b.csv").read_text()
    for old, new in (("25.5", "25"), ("0.5", "0.6"), ("a/2", "a/3")):
        (tmp_path / "b.csv").write_text(text.replace(old, new))
        assert load(tmp_path / "b.csv").digest() != one


def damaged(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root / name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param(
            "b.csv", "image_id,x1,y1,x2\na,1,2,3\n", "needs image_id, and box or", id="x2"
        ),
        pytest.param("b.csv", "x1,y1,x2,y2\n1,2,3,4\n", "needs image_id", id="no name"),
        pytest.param("b.csv", "image_id,x1,y1,x2,y2\na,9,2,3,4\n", "x1 below x2", id="turned"),
        pytest.param("b.csv", "image_id,x1,y1,x2,y2\na,1,2,3,\n", "four numbers", id="one lacks"),
        pytest.param("b.csv", "image_id,x1,y1,x2,y2\na,1,2,inf,4\n", "numbers", id="infinite"),
        pytest.param("b.csv", "image_id,x1,y1,x2,y2\na,1,2,x,4\n", "four numbers", id="a word"),
        pytest.param("b.csv", "image_id,x1,y1,x2,y2\n", "no boxes of people", id="no rows"),
        pytest.param("b.csv", "image_id,x1,y1,x2,y2\na,1\n", "not readable as CSV", id="torn"),
        pytest.param("b.json", "[{", "not readable as JSON", id="torn JSON"),
        pytest.param("b.json", '[{"image_id": "a"}]', "neither COCO", id="no bbox"),
        pytest.param("b.json", '{"images": []}', "neither COCO", id="no annotations"),
        pytest.param(
            "b.json", '[{"image_id": "a", "bbox": [1, 2, 3]}]', "neither COCO", id="three"
        ),
        pytest.param("b.json", '[{"image_id": "a", "bbox": [1, 2, -3, 4]}]', "x1 below", id="size"),
    ],
)
def test_damaged_files(tmp_path, name, text, message):
    with pytest.raises(ReidError, match=message) as caught:
        load(damaged(tmp_path, name, text))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("0 0.5 0.5 0.2\n", "4 numbers", id="too few"),
        pytest.param("0 0.5 0.5 0.2 0.2 1 1\n", "7 numbers", id="too many"),
        pytest.param("person 0.5 0.5 0.2 0.2\n", "not YOLO's", id="a word"),
        pytest.param("0 32 24 12 10\n", "in pixels", id="pixels"),
        pytest.param("0 0.5 0.5 0 0.2\n", "x1 below x2", id="no width"),
        pytest.param("2 0.5 0.5 0.2 0.2\n", "no boxes of people", id="nobody at all"),
    ],
)
def test_damaged_yolo(tmp_path, text, message):
    damaged(tmp_path, "yolo/a.txt", text)
    with pytest.raises(ReidError, match=message):
        load(tmp_path / "yolo")
