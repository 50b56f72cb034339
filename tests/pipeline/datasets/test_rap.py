"""RAP v2: labels in a .mat file, images beside it, and whatever may be wrong with either."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import loadmat, savemat

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.rap import reader as rap
from pipeline.datasets.rap.labels import EXTRA
from reid.arrays import images
from reid.project.errors import ReidError

MAT = "RAP_annotation/RAP_annotation.mat"
START = "-2014-02-15-20140215161032-20140215162620-tarid"
ABSENT = [0.0] * 4
# Camera, person and lists (from 1) of each image; the last has no person and is not looked at.
IMAGES = (
    ("01", 3, "train"),
    ("05", 3, "train"),
    ("02", 8, "query gallery"),
    ("06", 8, "gallery"),
    ("31", 9, "query gallery"),
    ("01", 9, "gallery"),
    ("02", -1, ""),
    ("03", None, ""),
)
NAMES = [f"CAM{camera}{START}{i}-frame{10 * i}-line1.png" for i, (camera, *_) in enumerate(IMAGES)]
IDS = [f"RAP_dataset/{name[:-4]}" for name in NAMES]


def labels() -> dict[str, Any]:
    """The fields of the annotation, as MATLAB has them."""
    names = np.empty((len(NAMES), 1), object)
    names[:, 0] = NAMES
    data = np.zeros((len(NAMES), 152))
    data[:, 111] = [1, 2, 3, 4, 1, 2, 3, 4]
    data[2, 112:116] = [1, 0, 0, 1]  # hidden at the left and below
    data[:, 120:124] = [100, 50, 40, 90]  # x, y, width, height in the frame
    data[:, 124:128] = [110, 52, 20, 24]
    data[:, 128:132] = [105, 70, 30, 35]
    data[:, 132:136] = [104, 100, 32, 45]  # reaches below the image by 5
    lists = {
        f"{role}_index": np.array(
            [[i] for i, (*_, roles) in enumerate(IMAGES, 1) if role in roles.split()], float
        )
        for role in ("train", "query", "gallery")
    }
    persons = np.array([[person] for _, person, _ in IMAGES if person is not None], float)
    attribute = np.empty((152, 1), object)
    attribute[:] = "name"
    return {
        "name": names, "data": data, "attribute": attribute, "person_identity": persons,
        "partition_reid": lists,
    }  # fmt: skip


def save(root: Path, fields: Any, **options: Any) -> None:
    savemat(root / MAT, {"RAP_annotation": fields}, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "rap")


def make(home: Path) -> Path:
    (home / "RAP_annotation").mkdir(parents=True)
    (home / "RAP_dataset").mkdir()
    for name in NAMES:
        (home / "RAP_dataset" / name).write_bytes(b"not looked at")
    save(home, labels())
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


# ---------------------------------------------------------------------------------------- reading


def test_rows_have_their_labels(root):
    listing = rap.read(root)
    assert listing.files.schema.equals(pa.schema([*LISTED, *EXTRA]))
    assert listing.rejects == []
    result = rows_of(listing)
    assert list(result) == IDS[:7]
    assert result[IDS[2]] == {
        "path": f"RAP_dataset/{NAMES[2]}", "part": "test", "image_id": IDS[2], "person": 8,
        "train": False, "query": True, "gallery": True, "camera": 2, "tracklet": None,
        "frame": None, "viewpoint": 3, "depth_path": None, "occlusion_left": True,
        "occlusion_right": False, "occlusion_up": False, "occlusion_down": True,
        "box_head_shoulder": [10, 2, 30, 26], "box_upper_body": [5, 20, 35, 55],
        "box_lower_body": [4, 50, 36, 95],
    }  # fmt: skip


@pytest.mark.parametrize("row", range(7))
def test_roles_and_parts(root, row):
    camera, person, roles = IMAGES[row]
    result = rows_of(rap.read(root))[IDS[row]]
    assert (result["camera"], result["person"]) == (int(camera), person)
    assert [r for r in ("train", "query", "gallery") if result[r]] == roles.split()
    assert result["part"] == ("train" if roles == "train" else "test")


def test_counts(root):
    listing = rap.read(root)
    assert listing.found == {
        "images": 7, "identities": 3, "train": 2, "train_identities": 1, "query": 2,
        "query_identities": 2, "gallery": 4, "gallery_identities": 2, "distractors": 1,
    }  # fmt: skip
    assert listing.found.keys() == rap.INFO.published.keys()


def test_published_counts_agree_with_each_other():
    published = rap.PUBLISHED
    assert published["train"] + published["gallery"] + published["distractors"] == 41_585
    assert published["train_identities"] + published["gallery_identities"] == 2_589


def test_the_default_gallery_has_persons_alone_and_the_second_all(root):
    plain, more = rap.read(root).protocols
    assert json.loads(json.dumps([plain, more])) == [plain, more]
    assert (plain["name"], plain["members"]) == ("rap", "columns")
    assert more["name"] == "rap_with_distractors"
    assert more["members"] == {"columns_and": {"gallery": {"persons": [-1]}}}
    assert (plain["found"]["gallery"], more["found"]["gallery"]) == (4, 5)
    assert more["published"]["gallery"] == 13_460 + 14_947
    assert {p["rule"]["exclude"] for p in (plain, more)} == {"same_person_same_camera"}
    assert more["rule"]["distractors"] == [-1]
    assert -1 not in more["rule"]["junk"]


def test_distractors_in_the_gallery_list_are_left_out_all_the_same(root):
    fields = labels()
    fields["partition_reid"]["gallery_index"] = np.array([[3, 4, 5, 6, 7.0]])
    save(root, fields)
    listing = rap.read(root)
    assert listing.rejects == []
    assert rows_of(listing)[IDS[6]]["gallery"] is False
    assert listing.found["gallery"] == 4


def test_fields_are_found_by_name_in_any_order_and_others_left_alone(root):
    expected = rap.read(root).files
    fields = labels()
    save(root, {"partition_attribute": 1.0, **dict(reversed(fields.items()))})
    assert rap.read(root).files == expected


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32])
def test_labels_may_be_stored_as_other_numbers(root, kind):
    expected = rap.read(root).files
    fields = labels()
    fields["data"] = fields["data"].astype(kind)
    fields["person_identity"] = fields["person_identity"].T
    save(root, fields, do_compression=True)
    assert rap.read(root).files == expected


def test_only_the_first_images_say_who_is_seen(root, monkeypatch):
    fields = labels()
    fields["person_identity"] = np.append(fields["person_identity"], 5.0)
    save(root, fields)
    monkeypatch.setattr(rap, "LABELLED", 7)
    assert list(rows_of(rap.read(root))) == IDS[:7]


def test_an_image_without_a_person_label_need_not_be_there(root):
    (root / "RAP_dataset" / NAMES[7]).unlink()
    assert rap.read(root).rejects == []


# ------------------------------------------------------------------------------ damage of one row


def with_name(row: int, name: Any) -> Callable[[dict], None]:
    def change(fields):
        fields["name"][row, 0] = name

    return change


def with_person(row: int, person: float) -> Callable[[dict], None]:
    def change(fields):
        fields["person_identity"][row, 0] = person

    return change


def with_list(role: str, *images: float) -> Callable[[dict], None]:
    def change(fields):
        fields["partition_reid"][f"{role}_index"] = np.array(images, float).reshape(-1, 1)

    return change


NOT_A_NAME = "not a RAP name such as CAM01-2014-02-15-...-tarid0-frame218-line1.png"
NOT_A_PERSON = "person_identity {} is neither a person, from 1, nor -1"
NO_LIST = "of person 9, but in no list of partition_reid"
BAD_NAMES = {
    "no camera": f"CAM{START}0-frame1-line1.png",
    "camera of one digit": f"CAM1{START}0-frame1-line1.png",
    "another ending": f"CAM01{START}0-frame1-line1.jpg",
    "folder in front": f"../RAP_dataset/{NAMES[5]}",
    "negative frame": f"CAM01{START}0-frame-1-line1.png",
    "no line": f"CAM01{START}0-frame1.png",
    "no day": "CAM01-20140215161032-20140215162620-tarid0-frame1-line1.png",
    "line break": f"{NAMES[5]}\n",
}
ROWS = {  # damage of row 5, whose person is 9: the reasons of all rejects
    **{
        f"name: {kind}": (with_name(5, name), [NOT_A_NAME, "not named in " + MAT])
        for kind, name in BAD_NAMES.items()
    },
    "name: camera 0": (
        with_name(5, f"CAM00{START}0-frame1-line1.png"),
        ["camera 00; RAP has cameras 01 to 31", "not named in " + MAT],
    ),
    "name: camera 32": (
        with_name(5, f"CAM32{START}0-frame1-line1.png"),
        ["camera 32; RAP has cameras 01 to 31", "not named in " + MAT],
    ),
    "name: empty": (with_name(5, ""), ["its name is no text", "not named in " + MAT]),
    "name: number": (with_name(5, 7.0), ["its name is no text", "not named in " + MAT]),
    "name: two lines of text": (
        with_name(5, np.array(["ab", "cd"])),
        ["its name is no text", "not named in " + MAT],
    ),
    "name: cell in cell": (
        with_name(5, np.array([["a", 1.0]], object)),
        ["its name is no text", "not named in " + MAT],
    ),
    "name: that of another image": (
        with_name(5, NAMES[4]),
        ["named by image 5 too", "not named in " + MAT],
    ),
    "name: no such file": (
        with_name(5, f"CAM01{START}77-frame1-line1.png"),
        ["no such file in RAP_dataset", "not named in " + MAT],
    ),
    "person: NaN": (with_person(5, np.nan), [NOT_A_PERSON.format("nan")]),
    "person: infinite": (with_person(5, np.inf), [NOT_A_PERSON.format("inf")]),
    "person: 0": (with_person(5, 0), [NOT_A_PERSON.format("0")]),
    "person: -2": (with_person(5, -2), [NOT_A_PERSON.format("-2")]),
    "person: half": (with_person(5, 2.5), [NOT_A_PERSON.format("2.5")]),
    "person: too large": (with_person(5, 2.0**31), [NOT_A_PERSON.format("2.14748e+09")]),
    "list: person in none": (with_list("gallery", 3, 4, 5), [NO_LIST]),
}


@pytest.mark.parametrize(("change", "reasons"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_is_a_reject_and_the_others_are_kept(root, change, reasons):
    fields = labels()
    change(fields)
    save(root, fields)
    listing = rap.read(root)
    assert sorted(r.reason for r in listing.rejects) == sorted(reasons)
    assert list(rows_of(listing)) == [*IDS[:5], IDS[6]]
    assert all(f"{r.image_id}{r.reason}".isprintable() for r in listing.rejects)


LISTS = {  # damage of a list, none of whose good entries are lost: the rejects
    "0": (with_list("train", 1, 2, 0), "train_index/3", "0 is no image; there are 1 to 8"),
    "beyond the last": (with_list("train", 1, 9, 2), "train_index/2", "9 is no image; there are"),
    "far beyond": (with_list("train", 1, 2, 1e30), "train_index/3", "1e+30 is no image"),
    "negative": (with_list("query", -3, 3, 5), "query_index/1", "-3 is no image"),
    "half": (with_list("query", 3, 5, 4.5), "query_index/3", "4.5 is no image"),
    "NaN": (with_list("gallery", 3, 4, np.nan, 5, 6), "gallery_index/3", "nan is no image"),
    "infinite": (with_list("gallery", 3, 4, 5, 6, -np.inf), "gallery_index/5", "-inf is no image"),
    "twice": (with_list("gallery", 3, 4, 5, 6, 3), "gallery_index/5", "names image 3 a second"),
    "twice in train": (with_list("train", 1, 2, 2), "train_index/3", "names image 2 a second time"),
    "no person label": (with_list("train", 1, 2, 8), "train_index/3", "image 8 does not say who"),
}


@pytest.mark.parametrize(("change", "entry", "reason"), LISTS.values(), ids=LISTS.keys())
def test_a_bad_entry_of_a_list_is_a_reject_and_costs_no_row(root, change, entry, reason):
    expected = rap.read(root)
    fields = labels()
    change(fields)
    save(root, fields)
    listing = rap.read(root)
    (reject,) = listing.rejects
    assert reject.image_id == f"{MAT}#partition_reid.{entry}"
    assert reject.reason.startswith(reason)
    assert listing.files == expected.files
    assert listing.found == expected.found


@pytest.mark.parametrize(
    ("change", "lost", "reason"),
    [
        pytest.param(with_list("train", 1, 2, 4), {2, 3}, "person 8 is in train and in test",
                     id="image in train and gallery"),
        pytest.param(with_person(1, 9), {1, 4, 5}, "person 9 is in train and in test",
                     id="person in train and gallery"),
        pytest.param(with_list("query", 3, 5, 1), {0, 1}, "person 3 is in train and in test",
                     id="image in train and query"),
        pytest.param(with_list("train", 1, 2, 7), {6}, "in the list for train, but without a",
                     id="nobody in train"),
        pytest.param(with_list("query", 3, 5, 7), {6}, "in the list for query, but without a",
                     id="nobody in query"),
    ],
)  # fmt: skip
def test_what_is_in_train_and_in_test_is_left_out(root, change, lost, reason):
    fields = labels()
    change(fields)
    save(root, fields)
    listing = rap.read(root)
    assert {r.image_id for r in listing.rejects} == {f"RAP_dataset/{NAMES[i]}" for i in lost}
    assert all(r.reason.startswith(reason) for r in listing.rejects)
    assert list(rows_of(listing)) == [i for row, i in enumerate(IDS[:7]) if row not in lost]


# --------------------------------------------------------------------------- damage of other labels


def with_data(column: int, *values: float) -> Callable[[dict], None]:
    def change(fields):
        fields["data"][4, column : column + len(values)] = values

    return change


LABELS = {  # damage of row 4's labels: the column that is null there
    "viewpoint: 5": (with_data(111, 5), "viewpoint"),
    "viewpoint: -1": (with_data(111, -1), "viewpoint"),
    "viewpoint: half": (with_data(111, 1.5), "viewpoint"),
    "viewpoint: infinite": (with_data(111, np.inf), "viewpoint"),
    "occlusion: 2": (with_data(112, 2), "occlusion_left"),
    "occlusion: negative": (with_data(113, -1), "occlusion_right"),
    "occlusion: infinite": (with_data(114, np.inf), "occlusion_up"),
    "occlusion: half": (with_data(115, 0.5), "occlusion_down"),
    "box: NaN for x": (with_data(124, np.nan), "box_head_shoulder"),
    "box: infinite": (with_data(126, np.inf), "box_head_shoulder"),
    "box: no width": (with_data(126, 0), "box_head_shoulder"),
    "box: no height": (with_data(131, 0), "box_upper_body"),
    "box: negative size": (with_data(130, -30, -35), "box_upper_body"),
    "box: above the image": (with_data(128, 105, 10, 30, 40), "box_upper_body"),
    "box: left of the image": (with_data(132, 10, 60), "box_lower_body"),
    "box: right of the image": (with_data(132, 141, 60), "box_lower_body"),
    "box: below the image": (with_data(132, 104, 140), "box_lower_body"),
    "box: endless": (with_data(134, 1e300, 1e300), "box_lower_body"),
}


@pytest.mark.parametrize(("change", "column"), LABELS.values(), ids=LABELS.keys())
def test_a_label_that_makes_no_sense_is_null_and_counted(root, change, column):
    expected = rows_of(rap.read(root))
    fields = labels()
    change(fields)
    save(root, fields)
    listing = rap.read(root)
    (reject,) = listing.rejects
    assert reject.image_id == f"RAP_annotation.mat#data/{column}"
    assert reject.reason == f"makes no sense in 1 images, null there; the first is {NAMES[4]}"
    expected[IDS[4]][column] = None
    assert rows_of(listing) == expected


ABSENT_LABELS = {
    "viewpoint 0": (with_data(111, 0), ["viewpoint"]),
    "viewpoint NaN": (with_data(111, np.nan), ["viewpoint"]),
    "occlusion NaN": (with_data(112, np.nan), ["occlusion_left"]),
    "part all 0": (with_data(124, *ABSENT), ["box_head_shoulder"]),
    "part all NaN": (with_data(128, *[np.nan] * 4), ["box_upper_body"]),
}


@pytest.mark.parametrize(("change", "columns"), ABSENT_LABELS.values(), ids=ABSENT_LABELS.keys())
def test_an_absent_label_is_null_without_a_word(root, change, columns):
    fields = labels()
    change(fields)
    save(root, fields)
    listing = rap.read(root)
    assert listing.rejects == []
    row = rows_of(listing)[IDS[4]]
    assert [name for name in ("viewpoint", *EXTRA.names) if row[name] is None] == columns


@pytest.mark.parametrize("box", [(np.nan,) * 4, (100, 50, 0, 90), (100, 50, 40, -1), (0.0,) * 4])
def test_parts_need_the_persons_own_box(root, box):
    fields = labels()
    with_data(120, *box)(fields)
    save(root, fields)
    listing = rap.read(root)
    assert len(listing.rejects) == 3
    assert rows_of(listing)[IDS[4]]["box_upper_body"] is None
    assert rows_of(listing)[IDS[3]]["box_upper_body"] == [5, 20, 35, 55]


# --------------------------------------------------------------------------- damage of the whole


def without(*names: str) -> Callable[[dict], None]:
    def change(fields):
        for name in names:
            del fields[name]

    return change


def replaced(name: str, value: Any) -> Callable[[dict], None]:
    def change(fields):
        fields[name] = value

    return change


def relisted(name: str, value: Any) -> Callable[[dict], None]:
    def change(fields):
        fields["partition_reid"][name] = value

    return change


def unlisted(fields):
    del fields["partition_reid"]["query_index"]


CELL = np.array([["a", "b"]], object)
WHOLE = {  # damage of the annotation: what the error says
    "RAP v1": (without("person_identity", "partition_reid"), "looks like RAP v1, which names no"),
    "no names": (without("name"), "no field name; it has data, attribute"),
    "no partition": (without("partition_reid"), "no field partition_reid; it has name"),
    "no query list": (unlisted, "no field partition_reid.query_index; it has train_index, gal"),
    "92 labels": (replaced("data", np.zeros((8, 92))), "`data` is 8 x 92 of float64 for 8 names"),
    "data on its side": (replaced("data", np.zeros((152, 8))), "152 x 8 of float64 for 8 names"),
    "data is text": (replaced("data", "labels"), "`data` is .*; expected numbers"),
    "data is sparse": (replaced("data", sparse.eye_array(8, 152).tocsc()), "csc_array; expected"),
    "fewer names": (replaced("name", CELL), "8 x 152 of float64 for 2 names"),
    "no name": (replaced("name", np.empty((0, 0), object)), "8 x 152 of float64 for 0 names"),
    "more persons": (replaced("person_identity", np.ones(9)), "has 9 entries for 8 names"),
    "persons are text": (replaced("person_identity", "a"), "`person_identity` is .*expected num"),
    "partition is a number": (replaced("partition_reid", 1.0), "1 x 1 of float64; expected one st"),
    "list is text": (relisted("query_index", "a"), "partition_reid.query_index` is .*expected num"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WHOLE.values(), ids=WHOLE.keys())
def test_a_broken_annotation_is_one_line(root, change, words):
    fields = labels()
    change(fields)
    save(root, fields)
    with pytest.raises(ReidError, match=words) as caught:
        rap.read(root)
    assert str(caught.value).startswith(f"{root / MAT}: ")
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------------------- damage of images


# ------------------------------------------------------------------------------- damage at random


NUMBERS = st.floats(width=64) | st.integers(-3, 10).map(float)


@settings(max_examples=80)
@given(
    names=st.lists(st.sampled_from(NAMES) | st.text(max_size=20) | st.floats(), max_size=8),
    cells=st.lists(st.tuples(st.integers(0, 7), st.integers(110, 137), NUMBERS), max_size=12),
    persons=st.lists(NUMBERS, max_size=8),
    lists=st.lists(st.lists(NUMBERS, max_size=6), min_size=3, max_size=3),
)
def test_damaged_labels_never_end_in_a_traceback(tmp_path_factory, names, cells, persons, lists):
    root = make(tmp_path_factory.mktemp("odd") / "rap")
    fields = labels()
    fields["name"][: len(names), 0] = names
    for row, column, value in cells:
        fields["data"][row, column] = value
    fields["person_identity"][: len(persons), 0] = persons[:7]
    for name, entries in zip(("train_index", "query_index", "gallery_index"), lists, strict=True):
        fields["partition_reid"][name] = np.array(entries, float)
    save(root, fields)
    listing = rap.read(root)
    check_sound(listing)
    named = [f for f in fields["name"][:7, 0] if f in NAMES]  # each is a row or has its reject
    seen = {r.image_id for r in listing.rejects} | {
        row["path"] for row in rows_of(listing).values()
    }
    assert {f"RAP_dataset/{name}" for name in named} <= seen


def check_sound(listing) -> None:
    """Whatever was wrong: rows are rows, and nobody is in train and in test."""
    rows = listing.files.to_pylist()
    assert len({row["image_id"] for row in rows}) == len(rows)
    sides: dict[int, set[str]] = {}
    for row in rows:
        assert rap.NAME.fullmatch(row["path"].partition("/")[2])
        assert row["viewpoint"] in (None, 1, 2, 3, 4)
        for part in ("head_shoulder", "upper_body", "lower_body"):
            box = row[f"box_{part}"]
            assert box is None or (box[2] >= box[0] and box[3] >= box[1])
        if row["person"] == -1:
            assert not any(row[role] for role in ("train", "query", "gallery"))
        else:
            sides.setdefault(row["person"], set()).add(row["part"])
    assert all(len(parts) == 1 for parts in sides.values())
    for reject in listing.rejects:
        assert reject.reason
        assert f"{reject.image_id}{reject.reason}".isprintable()


# ---------------------------------------------------------------------------------------- writing

IMAGE = np.full((24, 12, 3), (200, 40, 90), np.uint8)
PNG = images.encode_png(IMAGE)


def sample(person=1, camera=1, role="train", **other) -> Sample:
    return Sample(IMAGE, person, camera, role, **{"encoded": PNG, **other})


@st.composite
def boxes(draw) -> list[float]:
    x1, y1 = draw(st.integers(-5, 11)), draw(st.integers(-5, 23))
    return [x1, y1, draw(st.integers(max(x1, 0) + 1, 20)), draw(st.integers(max(y1, 0) + 1, 30))]


@st.composite
def samples(draw) -> Sample:
    person = draw(st.sampled_from([-1, 1, 2, 3, 4]))
    role = "gallery" if person == -1 else "train" if person % 2 else None
    flags = st.none() | st.booleans()
    extra: dict[str, Any] = {name: draw(flags) for name in EXTRA.names[:4]}
    extra |= {name: draw(st.none() | boxes()) for name in EXTRA.names[4:]}
    return sample(
        person, draw(st.integers(1, 31)), role or draw(st.sampled_from(["query", "gallery"])),
        frame=draw(st.integers(0, 3)), tracklet=draw(st.integers(0, 3)),
        viewpoint=draw(st.none() | st.integers(1, 4)), extra=extra,
    )  # fmt: skip


@settings(max_examples=80)
@given(st.lists(samples(), min_size=1, max_size=8))
def test_what_is_written_is_read(tmp_path_factory, given_samples):
    root = tmp_path_factory.mktemp("written")
    ids = list(rap.write(root, given_samples))
    listing = rap.read(root)
    assert listing.rejects == []
    assert len(set(ids)) == len(ids)
    rows = rows_of(listing)
    assert list(rows) == ids
    for image_id, written in zip(ids, given_samples, strict=True):
        row = rows[image_id]
        assert (root / row["path"]).read_bytes() == PNG
        roles = {"query": ["query", "gallery"]}.get(written.role, [written.role])
        assert [r for r in ("train", "query", "gallery") if row[r]] == (
            [] if written.person == -1 else roles
        )
        for label in ("person", "camera", "viewpoint"):
            assert row[label] == getattr(written, label)
        assert {name: row[name] for name in EXTRA.names} == written.extra


def test_names_are_the_official_ones(tmp_path):
    written = [sample(frame=218), sample(frame=218), sample(2, 31, "query", tracklet=61)]
    assert list(rap.write(tmp_path, written)) == [
        "RAP_dataset/CAM01-2014-02-15-20140215090000-20140215091500-tarid0-frame218-line1",
        "RAP_dataset/CAM01-2014-02-15-20140215090000-20140215091500-tarid0-frame218-line2",
        "RAP_dataset/CAM31-2014-02-16-20140216001500-20140216003000-tarid0-frame0-line1",
    ]


def test_the_annotation_is_that_of_matlab(tmp_path):
    extra = {"box_upper_body": [2, 3, 8, 14], "occlusion_up": True}
    list(rap.write(tmp_path, [sample(), sample(2, 3, "query", viewpoint=4, extra=extra)]))
    record = loadmat(tmp_path / MAT)["RAP_annotation"][0, 0]
    assert record["data"].shape == (2, 152)
    assert record["data"][1, 111] == 4
    assert record["data"][1, 114] == 1
    x, y, width, height = record["data"][1, 120:124]
    assert (width, height) == (12, 24)
    assert x > 0 < y
    assert record["data"][1, 128:132].tolist() == [x + 2, y + 3, 6, 11]
    assert record["person_identity"].tolist() == [[1], [2]]
    partition = record["partition_reid"][0, 0]
    assert partition["train_index"].tolist() == [[1]]
    assert partition["query_index"].tolist() == partition["gallery_index"].tolist() == [[2]]
