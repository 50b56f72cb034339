"""Joints that come from files: each format, and how labels meet images."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline.backends.coco import BODY_25_NAMES, COCO_NAMES
from pipeline.backends.joints.given import load
from reid.arrays.images import BadImage
from reid.arrays.poses import JOINT_NAMES, joints_column
from reid.project.errors import ReidError

# Every joint has its own numbers by its name, so that a wrong order cannot pass.
PLACE = {name: (float(i), 100.0 + i, 0.5 + i / 100) for i, name in enumerate(JOINT_NAMES)}
JOINTS = np.array([PLACE[name] for name in JOINT_NAMES], np.float32)
NECK = JOINT_NAMES.index("neck")

# COCO has no neck: it comes out between the shoulders, with the lower confidence of the two.
FROM_COCO = JOINTS.copy()
FROM_COCO[NECK] = (2 + 5) / 2, (102 + 105) / 2, 0.52


def numbers(names):
    """51, 54 or 75 numbers of the joints above in another order of names."""
    return [v for name in names for v in PLACE.get(name, (-1.0, -1.0, 0.9))]


def columns(rows, count):
    return {f"v{i}": [float(row[i]) for row in rows] for i in range(count)}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_neck_lies_between_the_shoulders_of_the_sample():
    assert JOINT_NAMES.index("right_shoulder") == 2
    assert JOINT_NAMES.index("left_shoulder") == 5


@pytest.mark.parametrize("names", [JOINT_NAMES, COCO_NAMES, BODY_25_NAMES],
                         ids=["OpenPose", "COCO", "BODY_25"])  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_of_numbers(tmp_path, names, ending):
    row = numbers(names)
    table = pa.table({"image_id": ["train/a", "train/b"], **columns([row, row[::-1]], len(row))})
    path = tmp_path / f"joints.{ending}"
    if ending == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    expected = FROM_COCO if names is COCO_NAMES else JOINTS
    np.testing.assert_allclose(load(path).find("train/a"), expected, rtol=1e-6)


def spelt(form, names):
    """Columns x of all joints, then y, then c, as a header may have them."""
    return [form.format(axis=axis, number=i, one=i + 1, name=name)
            for axis in "xyc" for i, name in enumerate(names)]  # fmt: skip


@pytest.mark.parametrize("names", [JOINT_NAMES, COCO_NAMES, BODY_25_NAMES],
                         ids=["OpenPose", "COCO", "BODY_25"])  # fmt: skip
@pytest.mark.parametrize(
    "form",
    ["{axis}{number}", "{number}_{axis}", "{axis}{one}", "Keypoint {number} {axis}",
     "{name}_{axis}", "{axis}.{name}"],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_are_read_by_name_whatever_their_order(tmp_path, names, form, ending):
    row = np.array(numbers(names)).reshape(-1, 3).T.ravel()  # all x, then all y, then all c
    header = spelt(form, names)
    table = pa.table(
        {"image_id": ["a"], **{h: [float(v)] for h, v in zip(header, row, strict=True)}}
    )
    path = tmp_path / f"joints.{ending}"
    if ending == "csv":
        pyarrow.csv.write_csv(table, path)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets save it
    else:
        pq.write_table(table, path)
    expected = FROM_COCO if names is COCO_NAMES else JOINTS
    np.testing.assert_allclose(load(path).find("a"), expected, rtol=1e-6)


def test_numbered_columns_are_in_the_order_of_their_numbers(tmp_path):
    row = numbers(JOINT_NAMES)
    order = np.random.default_rng(0).permutation(54)
    columns = {f"v{i}": [float(row[i])] for i in order}
    pq.write_table(pa.table({"image_id": ["a"], **columns}), tmp_path / "j.parquet")
    np.testing.assert_allclose(load(tmp_path / "j.parquet").find("a"), JOINTS, rtol=1e-6)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        pytest.param([f"w{i}{'abc'[i % 3]}" for i in range(54)], "`w0a` says neither", id="words"),
        pytest.param([f"{a}{i}" for i in range(2, 20) for a in "xyc"], "its joints are not",
                     id="from 2"),
        pytest.param([f"{a}{i}" for i in range(18) for a in ("x", "y", "y_")], "no c of joint 0",
                     id="no c"),
        pytest.param([f"{n}_{a}" for n in (*COCO_NAMES, "tail") for a in "xyc"], "`tail_x` says",
                     id="a tail"),
        pytest.param(["x0", *(f"{a}{i}" for i in range(18) for a in "xyc")][:54],
                     "`x0` stands there twice", id="twice"),
    ],
)  # fmt: skip
def test_columns_that_do_not_say_what_they_are_are_refused(tmp_path, header, message):
    path = tmp_path / "j.csv"
    path.write_text(f"image_id,{','.join(header)}\na,{','.join(['1'] * len(header))}\n")
    with pytest.raises(ReidError, match=message):
        load(path)


def test_numeric_image_ids_of_a_csv_stay_text(tmp_path):
    pyarrow.csv.write_csv(
        pa.table({"image_id": ["0001"], **columns([numbers(JOINT_NAMES)], 54)}), tmp_path / "j.csv"
    )
    assert load(tmp_path / "j.csv").find("0001") is not None


def write_row(path: Path, row: list[Any]) -> Path:
    """The COCO joints `row` of image a, beside those of b, in the format of the file's ending."""
    rows = {"a": row, "b": numbers(COCO_NAMES)}
    if path.suffix == ".json":
        entries = [{"image_id": n, "keypoints": v, "category_id": 1} for n, v in rows.items()]
        path.write_text(json.dumps(entries))
    elif path.suffix == ".csv":
        cells = [[n, *("" if v is None else str(v) for v in r)] for n, r in rows.items()]
        header = ["image_id", *(f"v{i}" for i in range(51))]
        path.write_text("\n".join(",".join(line) for line in [header, *cells]))
    else:
        columns = {
            f"v{i}": pa.array(v, pa.float32())
            for i, v in enumerate(zip(*rows.values(), strict=True))
        }
        pq.write_table(pa.table({"image_id": [*rows], **columns}), path)
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_empty_cells_are_missing_joints(tmp_path, ending):
    row = numbers(COCO_NAMES)
    row[45:47] = [None, None]  # of the left ankle, not its confidence
    labels = load(write_row(tmp_path / f"j.{ending}", row))
    assert labels.find("a")[JOINT_NAMES.index("left_ankle")].tolist() == [0, 0, 0]
    np.testing.assert_allclose(labels.find("b"), FROM_COCO, rtol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_reject_their_image(tmp_path, ending, value):
    row = numbers(COCO_NAMES)
    row[7] = value
    labels = load(write_row(tmp_path / f"j.{ending}", row))
    with pytest.raises(BadImage, match="NaN or infinity among its joints"):
        labels.find("a")
    assert labels.find("b") is not None


def test_a_word_in_a_csv_rejects_its_image_alone(tmp_path):
    row = numbers(COCO_NAMES)
    row[7] = "left"
    labels = load(write_row(tmp_path / "j.csv", row))
    with pytest.raises(BadImage, match="no number"):
        labels.find("a")
    np.testing.assert_allclose(labels.find("b"), FROM_COCO, rtol=1e-6)


def test_a_worlds_truth_is_a_folder_of_parquet_with_other_columns_and_files(tmp_path):
    for index, name in enumerate(["b", "a"]):
        column = joints_column(np.stack([JOINTS + index, JOINTS]), np.array([False, True]))
        table = pa.table({"image_id": [f"t/{name}", f"t/{name}x"], "mask": [b"1", b"2"],
                          "joints": column})  # fmt: skip
        pq.write_table(table, tmp_path / f"{index}.parquet")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "persons.parquet")
    labels = load(tmp_path)
    np.testing.assert_array_equal(labels.find("t/a"), JOINTS + 1)
    assert labels.find("t/ax") is None  # a null row is an image without joints
    assert sorted(labels.joints) == ["t/a", "t/b"]


@pytest.mark.parametrize("names", [JOINT_NAMES, BODY_25_NAMES], ids=["18", "BODY_25"])
def test_openpose_folder_takes_the_surest_person(tmp_path, names):
    weak = [v * (0.5 if i % 3 == 2 else 2) for i, v in enumerate(numbers(names))]
    people = [{"pose_keypoints_2d": weak}, {"pose_keypoints_2d": numbers(names)}]
    write_json(tmp_path / "train" / "a_keypoints.json", {"people": people})
    write_json(tmp_path / "train" / "b_keypoints.json", {"people": []})
    labels = load(tmp_path)
    np.testing.assert_allclose(labels.find("train/a"), JOINTS, rtol=1e-6)
    assert labels.find("train/b") is None


def test_alphapose_takes_the_person_with_the_highest_score(tmp_path):
    entry = {"image_id": "a.jpg", "category_id": 1, "keypoints": numbers(COCO_NAMES), "score": 2.5}
    other = {**entry, "keypoints": [0.9] * 51, "score": 1.5}
    path = write_json(tmp_path / "alphapose-results.json", [other, entry, other])
    np.testing.assert_allclose(load(path).find("test/a"), FROM_COCO, rtol=1e-6)


def test_coco_annotations_by_file_name(tmp_path):
    keypoints = numbers(COCO_NAMES)
    keypoints[2::3] = [2] * 17
    keypoints[2 + 3 * COCO_NAMES.index("left_ear")] = 1  # labelled, not visible
    keypoints[:3] = [0, 0, 0]  # the nose is not labelled
    images = [{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "train/b.jpg"}]
    annotations = [
        {"image_id": 7, "keypoints": keypoints},
        {"image_id": 8, "keypoints": [0] * 51},
        {"image_id": 8, "bbox": [0, 0, 1, 1]},
    ]
    value = {"images": images, "annotations": annotations}
    labels = load(write_json(tmp_path / "person_keypoints.json", value))
    result = labels.find("train/a")
    assert result is not None
    assert result[JOINT_NAMES.index("left_ear")].tolist() == [17, 117, 0.5]
    assert result[JOINT_NAMES.index("right_ear")].tolist() == [16, 116, 1]
    assert result[0].tolist() == [0, 0, 0]
    assert labels.find("train/b") is None


COCO_IMAGES = [{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "train/b.jpg"}]


def coco_file(tmp_path, annotations, categories):
    value = {"images": COCO_IMAGES, "annotations": annotations, "categories": categories}
    return write_json(tmp_path / "keypoints.json", value)


@pytest.mark.parametrize("written", [int, str, "{} ".format])
def test_a_dog_s_joints_and_a_crowd_s_are_nobodys(tmp_path, written):
    own = [v for name in COCO_NAMES for v in (*PLACE[name][:2], 1)]
    other = [v for _ in COCO_NAMES for v in (20, 10, 2)]
    annotations = [
        {"image_id": 7, "category_id": written(2), "keypoints": other},
        {"image_id": 7, "category_id": written(1), "keypoints": own},
        {"image_id": 7, "category_id": written(1), "iscrowd": 1, "keypoints": other},
    ]
    names = [{"id": 1, "name": "Person"}, {"id": 2, "name": "dog"}]
    result = load(coco_file(tmp_path, annotations, names)).find("train/a")
    assert result is not None
    assert result[0].tolist() == [0, 100, 0.5]


def test_categories_without_a_person_are_refused(tmp_path):
    names = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    with pytest.raises(ReidError, match=r"none of its categories is `person` \(cat, dog\)"):
        load(coco_file(tmp_path, [], names))


def test_a_file_of_entries_that_are_nobody_is_refused(tmp_path):
    entries = [{"image_id": 7, "category_id": number, "keypoints": [1] * 51} for number in ("5", 9)]
    only = [{"id": 1, "name": "person"}]
    for path in (write_json(tmp_path / "r.json", entries), coco_file(tmp_path, entries, only)):
        with pytest.raises(
            ReidError, match=r"none of its entries is a person \(category_id '5', 9"
        ):
            load(path)


def test_bad_labels_end_no_build(tmp_path):
    good = [v for name in COCO_NAMES for v in (*PLACE[name][:2], 1)]
    annotations = [
        {"image_id": 7, "keypoints": good[:-1]},
        {"image_id": 8, "keypoints": good},
        {"image_id": 9, "keypoints": good},
    ]
    labels = load(coco_file(tmp_path, annotations, []))
    assert labels.find("train/b") is not None
    with pytest.raises(BadImage, match="50 numbers"):
        labels.find("train/a")
    assert labels.unmatched(["train/a", "train/b"]) == ["image 9"]
    assert load(coco_file(tmp_path, annotations[1:], [])).digest() != labels.digest()


def test_an_empty_pose_is_a_bad_label_and_a_desktop_s_file_none(tmp_path):
    people = [{"pose_keypoints_2d": []}]
    write_json(tmp_path / "a_keypoints.json", {"people": people})
    write_json(
        tmp_path / "b_keypoints.json",
        {"people": [*people, {"pose_keypoints_2d": numbers(JOINT_NAMES)}]},
    )
    (tmp_path / "._b_keypoints.json").write_bytes(b"\0\5\x16\7")
    (tmp_path / "b_keypoints.json").write_text(
        "\ufeff" + (tmp_path / "b_keypoints.json").read_text(), "utf-8"
    )
    labels = load(tmp_path)
    np.testing.assert_allclose(labels.find("b"), JOINTS, rtol=1e-6)
    with pytest.raises(BadImage, match="0 numbers"):
        labels.find("a")


# --- matching ------------------------------------------------------------------------------------


def labels_of(tmp_path, names):
    row = numbers(JOINT_NAMES)
    table = pa.table({"image_id": names, **columns([row] * len(names), 54)})
    pq.write_table(table, tmp_path / "joints.parquet")
    return load(tmp_path / "joints.parquet")


@pytest.mark.parametrize(
    ("label", "image_id", "matches"),
    [
        pytest.param("train/a", "train/a", True, id="whole image_id"),
        pytest.param("./train/a.jpg", "train/a", True, id="with ending and leading ./"),
        pytest.param("train\\a.PNG", "train/a", True, id="Windows path"),
        pytest.param("a.jpg", "train/a", True, id="file name alone"),
        pytest.param("images/a", "train/a", False, id="file name in another folder"),
        pytest.param("train/a.jpg", "market/train/a", True, id="the last folders"),
        pytest.param("/home/me/train/a.jpg", "train/a", True, id="more folders than the image's"),
        pytest.param("strain/a", "train/a", False, id="half a folder's name"),
        pytest.param("e\u0301/a", "\u00e9/a", True, id="decomposed, the image composed"),
        pytest.param("\u00e9", "x/e\u0301", True, id="composed, the image decomposed"),
        pytest.param("b", "train/a", False, id="another name"),
        pytest.param("0001_c1.2", "x/0001_c1.2", True, id="a dot that is no ending"),
    ],
)
def test_matching(tmp_path, label, image_id, matches):
    assert (labels_of(tmp_path, [label]).find(image_id) is not None) == matches


def test_file_names_that_labels_share_match_by_whole_image_id_alone(tmp_path):
    labels = labels_of(tmp_path, ["cam_a/0001", "cam_b/0001"])
    assert labels.find("cam_a/0001") is not None
    assert labels.find("cam_c/0001") is None


def test_the_label_with_most_in_common_counts(tmp_path):
    labels = labels_of(tmp_path, ["b/0001", "0001", "a/b/0001"])
    assert labels.key_of("x/a/b/0001") == "a/b/0001"
    assert labels.key_of("y/b/0001") == "b/0001"
    assert labels.key_of("y/c/0001") == "0001"


def test_a_bare_name_that_two_images_have_is_an_error_before_one_gets_it(tmp_path):
    labels = labels_of(tmp_path, ["0001"])
    with pytest.raises(ReidError, match="0001 fits both cam_a/0001 and cam_b/0001"):
        labels.among(["cam_a/0001", "cam_b/0001"])


@pytest.mark.parametrize("order", [1, -1])
def test_an_image_s_very_label_is_nobody_elses(tmp_path, order):
    labels = labels_of(tmp_path, ["a/0001"])
    labels.among(["a/0001", "x/a/0001"][::order])
    assert labels.key_of("x/a/0001") == ""
    assert labels.key_of("a/0001") == "a/0001"


@pytest.mark.parametrize("order", [1, -1])
def test_a_longer_label_is_of_the_image_with_more_of_it(tmp_path, order):
    labels = labels_of(tmp_path, ["data/train/a"])
    labels.among(["a", "train/a"][::order])
    assert labels.key_of("train/a") == "data/train/a"
    assert labels.key_of("a") == ""


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("j.json", "{", "not readable as JSON", id="broken JSON"),
        pytest.param("j.json", "[]", "no joints in it", id="empty list"),
        pytest.param("j.json", '[{"image_id": "a", "keypoints": [1, 2]}]', "2 numbers",
                     id="two numbers"),
        pytest.param("j.json", '[{"image_id": "a"}]', "neither a list", id="no keypoints"),
        pytest.param("j.json", '{"a": 1}', "neither a list", id="another JSON"),
        pytest.param("j.csv", "image_id,x\na,1\n", "1 numbers", id="CSV of one number"),
        pytest.param("j.csv", "image_id\na\n", "no joints beside image_id", id="CSV of names"),
        pytest.param("j.csv", "name,x\na,1\n", "no column image_id", id="CSV without image_id"),
        pytest.param("j.csv", "", "not readable as CSV", id="empty CSV"),
        pytest.param("d/a_keypoints.json", "[1]", "no list `people`", id="not OpenPose's"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_what_is_wrong(tmp_path, name, text, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(ReidError, match=message) as caught:
        load(tmp_path / name.split("/")[0])
    assert str(tmp_path) in str(caught.value)
