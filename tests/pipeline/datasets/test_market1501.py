"""Market-1501: the real names, and whatever may be wrong with a copy of it."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import datasets
from pipeline.datasets import market1501
from pipeline.datasets.base import LISTED, Sample, counts_table
from pipeline.datasets.layouts import names
from reid.arrays import images
from reid.project.errors import ReidError

CALM = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)
GOOD = (  # a small data set: two people to train on, two to test, with junk and distractor
    "bounding_box_train/0002_c1s1_000451_03",
    "bounding_box_train/0002_c2s1_000776_01",
    "bounding_box_train/0007_c3s2_028597_02",
    "query/0001_c1s1_001051_00",
    "query/0003_c6s4_015641_00",
    "bounding_box_test/0001_c2s1_000301_01",
    "bounding_box_test/0003_c5s3_015240_04",
    "bounding_box_test/0000_c1s1_000151_01",
    "bounding_box_test/-1_c1s1_000401_03",
)


def make(root: Path) -> Path:
    for image_id in GOOD:
        path = root / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return root


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return make(tmp_path / "market")


def reasons(listing) -> dict[str, str]:
    return dict(listing.rejects)


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("image_id", "part", "person", "role", "camera"),
    [
        pytest.param("bounding_box_train/0002_c1s1_000451_03", "train", 2, "train", 1, id="train"),
        pytest.param("query/0003_c6s4_015641_00", "test", 3, "query", 6, id="query"),
        pytest.param(
            "bounding_box_test/0001_c2s1_000301_01", "test", 1, "gallery", 2, id="gallery"
        ),
        pytest.param(
            "bounding_box_test/0000_c1s1_000151_01", "test", 0, "gallery", 1, id="distractor"
        ),
        pytest.param("bounding_box_test/-1_c1s1_000401_03", "test", -1, "gallery", 1, id="junk"),
    ],
)
def test_a_name_gives_its_row(market, image_id, part, person, role, camera):
    files = market1501.read(market).files
    assert files.schema.equals(LISTED)
    row = next(r for r in files.to_pylist() if r["image_id"] == image_id)
    roles = {r: r == role for r in ("train", "query", "gallery")}
    absent = dict.fromkeys(("tracklet", "frame", "viewpoint", "depth_path"))
    expected = {"path": f"{image_id}.jpg", "part": part, "person": person, "camera": camera}
    assert row == {"image_id": image_id, **expected, **roles, **absent}


def test_counts(market):
    listing = market1501.read(market)
    assert listing.found == {
        "train": 3,
        "train_identities": 2,
        "query": 2,
        "query_identities": 2,
        "gallery": 4,
        "gallery_identities": 2,
        "gallery_distractors": 1,
        "gallery_junk": 1,
    }
    assert listing.rejects == []
    assert listing.found.keys() == market1501.INFO.published.keys()


def test_published_counts_agree_with_each_other():
    published = market1501.PUBLISHED
    assert published["train"] + published["gallery"] == 32_668  # boxes of the data set
    assert published["gallery"] - published["gallery_junk"] == 15_913
    assert published["train_identities"] + published["gallery_identities"] == 1_501


def test_counts_table_shows_what_differs(market):
    table = {row[0]: row[1:] for row in counts_table({"train": 3, "query": 9, "views": 1}, FOUND)}
    assert table == {
        "train": (3, 3, False),
        "query": (9, 2, True),
        "views": (1, None, True),
        "gallery": (None, 4, False),
    }


FOUND = {"train": 3, "query": 2, "gallery": 4}


def test_the_protocol_is_the_papers_and_json(market):
    (protocol,) = market1501.read(market).protocols
    assert json.loads(json.dumps(protocol)) == protocol
    assert protocol["rule"] == {
        "exclude": "same_person_same_camera",
        "junk": [-1],
        "distractors": [0],
        "query": "single",
    }
    assert protocol["published"]["query"] == 3368
    assert protocol["found"]["query"] == 2


def test_the_folder_above_is_as_good(tmp_path):
    home = make(tmp_path / "Market-1501-v15.09.15")
    above, itself = market1501.read(tmp_path), market1501.read(home)
    assert above.files["image_id"] == itself.files["image_id"]
    for path, below in zip(*(x.files["path"].to_pylist() for x in (above, itself)), strict=True):
        assert path == f"Market-1501-v15.09.15/{below}"
        assert (tmp_path / path).is_file()
    assert market1501.locate(tmp_path) == home == market1501.locate(home)


def test_the_order_is_by_name(market, monkeypatch):
    expected = market1501.read(market).files
    real = os.scandir

    class Reversed(list):
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

    monkeypatch.setattr(
        names.os, "scandir", lambda p: Reversed(sorted(real(p), key=lambda e: e.name)[::-1])
    )
    assert market1501.read(market).files == expected


def test_thousands_of_names_take_no_time(tmp_path):
    make(tmp_path)
    for frame in range(2_000):
        os.close(os.open(tmp_path / f"query/0001_c1s1_{frame:06d}_01.jpg", os.O_CREAT))
    market1501.read(tmp_path)  # the folder's own cache is filled
    start = time.process_time()  # of this process alone, whoever else is at work
    assert market1501.read(tmp_path).files.num_rows == 2_000 + len(GOOD)
    assert time.process_time() - start < 1  # 5 ms on an idle core


# ---------------------------------------------------------------------------------- bad data sets


@pytest.mark.parametrize("missing", ["bounding_box_train", "bounding_box_test", "query"])
def test_a_missing_folder_is_named(market, missing):
    (market / missing).rename(market / "elsewhere")
    with pytest.raises(ReidError, match=f"market: no folder {missing}; this is not a Market-1501"):
        market1501.read(market)


def test_a_wrong_root_is_one_line(tmp_path):
    with pytest.raises(ReidError, match="no folder bounding_box_train, query, bounding_box_test;"):
        market1501.read(tmp_path)
    with pytest.raises(ReidError, match="none: no such folder"):
        market1501.read(tmp_path / "none")
    (tmp_path / "market.zip").touch()
    with pytest.raises(ReidError, match=r"market\.zip: no such folder"):
        market1501.read(tmp_path / "market.zip")
    with pytest.raises(ReidError, match="no such folder"):
        market1501.read(tmp_path / ("x" * 5000))


def test_test_linked_to_train_is_refused(market):
    (market / "bounding_box_test").rename(market / "elsewhere")
    (market / "bounding_box_test").symlink_to("bounding_box_train")
    with pytest.raises(ReidError, match="one and the same folder"):
        market1501.read(market)


def test_swapped_folders_do_not_pass_unseen(market):
    (market / "bounding_box_test").rename(market / "x")
    (market / "bounding_box_train").rename(market / "bounding_box_test")
    (market / "x").rename(market / "bounding_box_train")
    found = reasons(market1501.read(market))
    assert found == {
        "bounding_box_train/-1_c1s1_000401_03.jpg": "person -1 is junk, which belongs in "
        "bounding_box_test",
        "bounding_box_train/0000_c1s1_000151_01.jpg": "person 0000 is a distractor, which belongs "
        "in bounding_box_test",
    }


def test_an_unreadable_folder_is_one_line(market, monkeypatch):
    def scandir(place):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(names.os, "scandir", scandir)
    with pytest.raises(ReidError, match=r"bounding_box_train: cannot be read \(Permission denied"):
        market1501.read(market)


def test_a_root_that_may_not_be_looked_into_is_one_line(market, monkeypatch):
    def is_dir(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", is_dir)
    with pytest.raises(ReidError, match="no such folder"):
        market1501.read(market)


# --------------------------------------------------------------------------------- bad files in it

NOT_A_NAME = "not a Market-1501 name such as 0002_c1s1_000451_03.jpg"
STRAY = {  # a stray file's name in bounding_box_train: the reason of its reject
    "0002_c7s1_000451_03.jpg": "camera 7; Market-1501 has cameras 1 to 6",
    "0002_c0s1_000451_03.jpg": "camera 0; Market-1501 has cameras 1 to 6",
    "0002_c12s1_000451_03.jpg": "camera 12; Market-1501 has cameras 1 to 6",
    "-1_c1s1_000451_03.jpg": "person -1 is junk, which belongs in bounding_box_test",
    "0000_c1s1_000451_03.jpg": "person 0000 is a distractor, which belongs in bounding_box_test",
    "0002_c1s1_000451_03.png": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000451_03.jpeg": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_C1S1_000451_03.JPG": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000451_03.jpg.jpg": NOT_A_NAME,
    "0002_c1s1_000451_03": NOT_A_NAME,
    "0002_c1s1_000451_03 (1).jpg": NOT_A_NAME,
    "0002_c1s1_000451_03.jpg~": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000451_03.jpg.part": NOT_A_NAME,
    "Copy of 0002_c1s1_000451_03.jpg": NOT_A_NAME,
    " 0002_c1s1_000451_03.jpg": NOT_A_NAME,
    "0002_c1s1_000451_03.jpg ": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000452_03.JPG": NOT_A_NAME,
    "0002_c1s1_000452_03.png": NOT_A_NAME,
    "0002_c1s1_000452_03.gif": NOT_A_NAME,
    "0002_c1s1_000452_3.jpg": NOT_A_NAME,
    "0002_c1s1_00452_03.jpg": NOT_A_NAME,
    "0002_c1s1_0004520_03.jpg": NOT_A_NAME,
    "0002_c1s1_000452_003.jpg": NOT_A_NAME,
    "0002_c1s12_000452_03.jpg": NOT_A_NAME,
    "0002_c1_000452_03.jpg": NOT_A_NAME,
    "002_c1s1_000452_03.jpg": NOT_A_NAME,
    "00002_c1s1_000452_03.jpg": NOT_A_NAME,
    "-2_c1s1_000452_03.jpg": NOT_A_NAME,
    "-001_c1s1_000452_03.jpg": NOT_A_NAME,
    "+002_c1s1_000452_03.jpg": NOT_A_NAME,
    "0x02_c1s1_000452_03.jpg": NOT_A_NAME,
    "0005_c2_f0046985.jpg": NOT_A_NAME,  # DukeMTMC-reID
    "0001C1T0001F001.jpg": NOT_A_NAME,  # MARS
    "readme.txt": NOT_A_NAME,
    ".jpg": NOT_A_NAME,
    "jpg": NOT_A_NAME,
    "....": NOT_A_NAME,
    "*.jpg": NOT_A_NAME,
    "[red]0002.jpg": NOT_A_NAME,
    "x" * 255: NOT_A_NAME,
    "9" * 255: NOT_A_NAME,
    "0002_c" + "9" * 200 + "s1_000452_03.jpg": "camera " + "9" * 200 + "; Market-1501 has cameras "
    "1 to 6",
    "٠٠٠٢_c١s١_٠٠٠٤٥٢_٠٣.jpg": NOT_A_NAME,  # digits, but not these
    "０００２_c1s1_000452_03.jpg": NOT_A_NAME,
    "0002_c1s1_000452_0³.jpg": NOT_A_NAME,
    "行人.jpg": NOT_A_NAME,
    "é\u0301.jpg": NOT_A_NAME,
}
ESCAPED = {  # names that would break a line or a Parquet file, and how they are shown
    "0002_c1s1_000452_03.jpg\n": "0002_c1s1_000452_03.jpg\\n",
    "0002\n_c1s1_000452_03.jpg": "0002\\n_c1s1_000452_03.jpg",
    "a\tb\r.jpg": "a\\tb\\r.jpg",
    "\x1b[31mred.jpg": "\\x1b[31mred.jpg",
    "\u202egpj.2000": "\\u202egpj.2000",
    os.fsdecode(b"\xff\xfe.jpg"): "\\xff\\xfe.jpg",
    os.fsdecode(b"0002_c1s1_000452_03\x80.jpg"): "0002_c1s1_000452_03\\x80.jpg",
    os.fsdecode(b"\xed\xa0\x80.jpg"): "\\xed\\xa0\\x80.jpg",
}


@pytest.mark.parametrize(("name", "reason"), STRAY.items(), ids=[n[:40] for n in STRAY])
def test_a_stray_file_is_a_reject_with_its_reason(market, name, reason):
    (market / "bounding_box_train" / name).touch()
    listing = market1501.read(market)
    assert reasons(listing) == {f"bounding_box_train/{name}": reason}
    assert sorted(listing.files["image_id"].to_pylist()) == sorted(GOOD)


@pytest.mark.parametrize(("name", "shown"), ESCAPED.items(), ids=ESCAPED.values())
def test_an_unprintable_name_is_shown_escaped(market, name, shown):
    (market / "query" / name).touch()
    listing = market1501.read(market)
    assert reasons(listing) == {f"query/{shown}": NOT_A_NAME}
    assert listing.files.num_rows == len(GOOD)


CLUTTER = ["Thumbs.db", "thumbs.db", ".DS_Store", "desktop.ini", "._0002_c1s1_000451_03.jpg"]


@pytest.mark.parametrize("name", CLUTTER)
def test_clutter_is_passed_over(market, name):
    (market / "bounding_box_train" / name).touch()
    assert market1501.read(market).rejects == []


def test_what_lies_beside_the_folders_is_left_alone(market):
    (market / "gt_bbox").mkdir()
    (market / "gt_bbox" / "0001_c1s1_001051_00.jpg").touch()
    (market / "gt_query").mkdir()
    (market / "readme.txt").touch()
    listing = market1501.read(market)
    assert (listing.files.num_rows, listing.rejects) == (len(GOOD), [])


SAMPLE = "0009_c1s1_000001_01.jpg"  # a good name, for things that are no good file
ODD = {  # what is made, and the reason of the reject
    "folder": (lambda p: p.mkdir(), "a folder among the images"),
    "link to nothing": (lambda p: p.symlink_to("nowhere"), "a link to nothing"),
    "link to itself": (lambda p: p.symlink_to(p.name), "cannot be looked at: Too many levels of"),
    "link to the folder": (lambda p: p.symlink_to("."), "a folder among the images"),
    "link upwards": (lambda p: p.symlink_to("../.."), "a folder among the images"),
    "pipe": (os.mkfifo, "neither file nor folder"),
}


@pytest.mark.parametrize(("make_it", "reason"), ODD.values(), ids=ODD.keys())
def test_what_is_no_file_is_a_reject(market, make_it, reason):
    make_it(market / "bounding_box_train" / SAMPLE)
    listing = market1501.read(market)
    (found,) = listing.rejects
    assert found.image_id == f"bounding_box_train/{SAMPLE}"
    assert found.reason.startswith(reason)
    assert listing.files.num_rows == len(GOOD)


def test_a_link_to_a_file_is_a_file(market):
    (market / "query" / "0001_c3s1_001051_00.jpg").symlink_to("0001_c1s1_001051_00.jpg")
    listing = market1501.read(market)
    assert (listing.files.num_rows, listing.rejects) == (len(GOOD) + 1, [])


def test_nested_images_are_not_taken(market):
    nested = market / "bounding_box_train" / "more"
    nested.mkdir()
    (nested / SAMPLE).touch()
    assert reasons(market1501.read(market)) == {
        "bounding_box_train/more": "a folder among the images"
    }


# ------------------------------------------------------------------------------- damage at random

PIECES = st.sampled_from([*STRAY, *ESCAPED, *CLUTTER, SAMPLE, *(Path(g).name for g in GOOD)])


@st.composite
def mutated(draw) -> str:
    """A good name with a character put in, taken out or changed."""
    name = f"{Path(draw(st.sampled_from(GOOD))).name}.jpg"
    at = draw(st.integers(0, len(name)))
    put = draw(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]) | st.just(""))
    return name[:at] + put + name[at + draw(st.integers(0, 1)) :]


FREE = st.binary(min_size=1, max_size=60).map(os.fsdecode)
NAMES = (PIECES | mutated() | FREE).filter(
    lambda n: n not in {"", ".", ".."} and not {"/", "\0"} & set(n) and len(os.fsencode(n)) <= 255
)
KINDS = {  # kinds of thing that may lie under a name
    "empty file": lambda p: p.touch(),
    "text": lambda p: p.write_bytes(b"hello"),
    "folder": lambda p: p.mkdir(),
    "nested folders": lambda p: (p / "a" / p.name[:20]).mkdir(parents=True),
    "link to nothing": lambda p: p.symlink_to("nowhere"),
    "link to itself": lambda p: p.symlink_to(p.name),
    "link upwards": lambda p: p.symlink_to(".."),
    "link to a file": lambda p: p.symlink_to(p.parent / f"{Path(GOOD[0]).name}.jpg"),
    "pipe": os.mkfifo,
}
PLACES = ("bounding_box_train", "bounding_box_test", "query", ".")
DAMAGE = st.lists(
    st.tuples(st.sampled_from(PLACES), NAMES, st.sampled_from(sorted(KINDS))), max_size=8
)
WHOLE = st.sampled_from(
    ["none", "empty a folder", "remove a folder", "folder is a file", "folder links to itself",
     "folder links to another", "folder links upwards", "folder links to nothing", "swap folders"]
)  # fmt: skip


def damage_whole(root: Path, kind: str, place: str, other: str) -> None:
    """Damage a whole folder, after it was moved away."""
    if kind == "none" or place == "." or other in {".", place}:
        return
    if kind == "swap folders":
        (root / place).rename(root / "away")
        (root / other).rename(root / place)
        (root / "away").rename(root / other)
        return
    (root / place).rename(root / "away")
    if kind == "empty a folder":
        (root / place).mkdir()
    elif kind == "folder is a file":
        (root / place).touch()
    elif kind != "remove a folder":
        targets = {"itself": place, "another": other, "upwards": ".", "nothing": "nowhere"}
        (root / place).symlink_to(targets[kind.rsplit(" ", 1)[-1]])


@CALM
@given(DAMAGE, WHOLE, st.sampled_from(PLACES), st.sampled_from(PLACES))
@example([("query", "0002\n", "pipe")], "folder links to itself", "query", "bounding_box_test")
@example([], "folder links upwards", "query", "bounding_box_test")
def test_damage_never_ends_in_a_traceback(tmp_path_factory, damage, whole, place, other):
    root = make(tmp_path_factory.mktemp("damaged"))
    for folder, name, kind in damage:
        if not os.path.lexists(root / folder / name):  # not two damages under one name
            KINDS[kind](root / folder / name)
    damage_whole(root, whole, place, other)
    if whole == "none":  # a file more or less never loses the data set
        listing = market1501.read(root)
    else:
        try:
            listing = market1501.read(root)
        except ReidError:
            return
    ids = listing.files["image_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    if whole == "none":
        assert set(GOOD) <= set(ids)
    for image_id, path in zip(ids, listing.files["path"].to_pylist(), strict=True):
        assert market1501.NAME.fullmatch(path.rpartition("/")[2])
        assert image_id == path.removesuffix(".jpg")
    for reject in listing.rejects:
        assert reject.reason
        assert f"{reject.image_id}{reject.reason}".isprintable()
    seen = {f.name for f in (root / "query").iterdir()} if (root / "query").is_dir() else set()
    rejected = sum(r.image_id.startswith("query/") for r in listing.rejects)
    listed = sum(i.startswith("query/") for i in ids)
    assert rejected + listed == sum(not names.is_clutter(name) for name in seen)


# ---------------------------------------------------------------------------------------- writing


def sample(person=1, camera=1, role="train", **other) -> Sample:
    return Sample(IMAGE, person, camera, role, **other)


@st.composite
def samples(draw) -> list[Sample]:
    role = draw(st.sampled_from(["train", "query", "gallery"]))
    person = st.integers(-1 if role == "gallery" else 1, 9999)
    one = st.builds(
        Sample, st.just(IMAGE), person, st.integers(1, 6), st.just(role),
        frame=st.sampled_from([0, 1, 999_999]), tracklet=st.integers(0, 9),
        encoded=st.just(b"bytes"),
    )  # fmt: skip
    return draw(st.lists(one, max_size=6))


@CALM
@given(st.lists(samples(), max_size=4).map(lambda groups: [s for group in groups for s in group]))
def test_what_is_written_is_read(tmp_path_factory, given_samples):
    root = tmp_path_factory.mktemp("written")
    ids = list(market1501.write(root, given_samples))
    listing = market1501.read(root)
    assert listing.rejects == []
    assert len(set(ids)) == len(given_samples) == listing.files.num_rows
    rows = {row["image_id"]: row for row in listing.files.to_pylist()}
    for image_id, written in zip(ids, given_samples, strict=True):
        row = rows[image_id]
        roles = [role for role in ("train", "query", "gallery") if row[role]]
        assert (row["person"], row["camera"], roles) == (
            written.person, written.camera, [written.role],
        )  # fmt: skip


def test_names_are_the_official_ones(tmp_path):
    written = [
        sample(2, 1, "train", frame=451),
        sample(2, 1, "train", frame=451),
        sample(1, 3, "query", frame=1051, tracklet=4),
        sample(-1, 1, "gallery", frame=401),
        sample(0, 6, "gallery", frame=151),
    ]
    assert list(market1501.write(tmp_path, written)) == [
        "bounding_box_train/0002_c1s1_000451_01",
        "bounding_box_train/0002_c1s1_000451_02",
        "query/0001_c3s4_001051_00",
        "bounding_box_test/-1_c1s1_000401_01",
        "bounding_box_test/0000_c6s1_000151_01",
    ]


def test_pixels_and_given_bytes_are_kept(tmp_path):
    png = images.encode_png(IMAGE)
    first, second = market1501.write(tmp_path, [sample(1), sample(2, encoded=png)])
    assert (tmp_path / f"{second}.jpg").read_bytes() == png
    data = (tmp_path / f"{first}.jpg").read_bytes()
    assert images.kind_of(data) == "jpeg"
    assert np.abs(images.decode(data).astype(int) - IMAGE).max() <= 3


def test_no_samples_make_an_empty_data_set(tmp_path):
    assert list(market1501.write(tmp_path / "new", [])) == []
    assert market1501.read(tmp_path / "new").files.num_rows == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(sample(10_000), "person 10000 does not fit", id="five digits"),
        pytest.param(sample(-2), "person -2", id="below junk"),
        pytest.param(sample(1, 7), "camera 7 does not fit a Market-1501 name", id="camera 7"),
        pytest.param(sample(1, 0), "camera 0 does not fit", id="camera 0"),
        pytest.param(sample(1, frame=1_000_000), "frame 1000000", id="frame too late"),
        pytest.param(sample(1, frame=-1), "frame -1", id="frame below zero"),
        pytest.param(sample(1, tracklet=10), "tracklet 10", id="sequence of two digits"),
        pytest.param(sample(1, role="probe"), "no role `probe`", id="unknown role"),
        pytest.param(sample(-1), "person -1 may be in the gallery, not in train", id="junk"),
        pytest.param(sample(0, role="query"), "person 0 may be in the gallery", id="distractor"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, bad, message):
    with pytest.raises(ReidError, match=message):
        list(market1501.write(tmp_path, [bad]))
    assert not list(tmp_path.rglob("*.jpg"))


def test_more_boxes_than_a_name_holds(tmp_path):
    same = [sample(encoded=b"x")] * 100
    with pytest.raises(ReidError, match="more than 99 images named bounding_box_train/0001_c1s1"):
        list(market1501.write(tmp_path, same))
    assert len(list(tmp_path.rglob("*.jpg"))) == 99


def test_a_used_folder_is_not_written_into(market):
    before = sorted(market.rglob("*"))
    with pytest.raises(ReidError, match="bounding_box_train: not empty"):
        list(market1501.write(market, [sample()]))
    assert sorted(market.rglob("*")) == before


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def write_bytes(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(ReidError, match=r"_01\.jpg: cannot be written: No space left on device"):
        list(market1501.write(tmp_path, [sample()]))


def test_a_root_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReidError, match="cannot be made"):
        list(market1501.write(tmp_path / "file", [sample()]))


# ---------------------------------------------------------------------------------- the known names


def test_every_reader_has_its_parts():
    for name in datasets.READERS:
        module = datasets.reader(name)
        assert callable(module.read)
        assert callable(module.write)
        assert module.INFO.layout


def test_an_unknown_reader_names_the_nearest():
    with pytest.raises(ReidError, match="no reader `Market-1501`; did you mean `market1501`"):
        datasets.reader("Market-1501")
    with pytest.raises(ReidError, match=r"no reader `os` \(there are .*market1501"):
        datasets.reader("os")
