"""MARS: names, tables of tracklets and files, and whatever of these does not fit together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.layouts.tracklets import Tracklet, queries_without_match
from pipeline.datasets.mars import info as mars_info
from pipeline.datasets.mars import reader as mars
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.data.dataset import Data, with_roles
from reid.data.dataset import open as open_data
from reid.evaluation import metrics
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import protocol_of
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.verify import verify

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)
TRACKLETS = (  # person, camera, T, frames, role; in the order of the official lists
    (1, 1, 1, (1, 2, 3), "train"),
    (1, 2, 2, (1,), "train"),
    (3, 1, 1, (1, 2, 5), "train"),  # 3 and 4 were never there
    (-1, 1, 1, (1,), "gallery"),
    (0, 2, 1, (1, 2), "gallery"),
    (2, 1, 1, (1, 2), "query"),
    (2, 1, 3, (1,), "gallery"),
    (2, 2, 2, (1, 2), "gallery"),
    (4, 3, 1, (1,), "query"),  # whose only matches are queries too
    (4, 4, 2, (1,), "query"),
)
TRAIN, TEST = "info/tracks_train_info.mat", "info/tracks_test_info.mat"
TRAIN_NAMES, TEST_NAMES, QUERY = "info/train_name.txt", "info/test_name.txt", "info/query_IDX.mat"


def samples(tracklets=TRACKLETS):
    for person, camera, number, frames, role in tracklets:
        for frame in frames:
            yield Sample(IMAGE, person, camera, role, frame=frame, tracklet=number)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "data/0-raw/hall"
    assert next(iter(list(mars.write(home, samples())))) == "bbox_train/0001/0001C1T0001F001"
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


def tracklets_of(rows) -> set[tuple[int, int, int]]:
    return {(r["person"], r["camera"], r["tracklet"]) for r in rows}


# ---------------------------------------------------------------------------------------- reading


def test_a_frame_gives_its_row(root):
    listing = mars.read(root)
    assert listing.files.schema.equals(LISTED)
    assert rows_of(listing)["bbox_test/0002/0002C2T0002F001"] == {
        "path": "bbox_test/0002/0002C2T0002F001.jpg", "part": "test",
        "image_id": "bbox_test/0002/0002C2T0002F001", "person": 2, "train": False, "query": False,
        "gallery": True, "camera": 2, "tracklet": 2, "frame": 1, "viewpoint": None,
        "depth_path": None,
    }  # fmt: skip


@pytest.mark.parametrize("tracklet", TRACKLETS, ids=lambda t: f"person {t[0]}, camera {t[1]}")
def test_all_frames_of_a_tracklet_have_its_role_and_junk_has_none(root, tracklet):
    person, camera, number, frames, role = tracklet
    rows = [
        r for r in mars.read(root).files.to_pylist()
        if (r["person"], r["camera"], r["tracklet"]) == (person, camera, number)
    ]  # fmt: skip
    assert [r["frame"] for r in rows] == list(frames)
    expected = [] if person == -1 else [role]
    for row in rows:
        assert [r for r in ("train", "query", "gallery") if row[r]] == expected
        assert row["part"] == ("train" if role == "train" else "test")


def test_counts(root):
    listing = mars.read(root)
    assert listing.rejects == []
    assert listing.found == {
        "train": 7, "train_identities": 2, "train_tracklets": 3, "query": 4, "query_identities": 2,
        "query_tracklets": 3, "gallery": 5, "gallery_identities": 1, "gallery_tracklets": 3,
        "test": 10, "test_tracklets": 7, "distractor_tracklets": 1, "junk_tracklets": 1,
        "queries_without_match": 2, "names_without_file": 0, "names_that_disagree": 0,
        "files_without_tracklet": 0,
    }  # fmt: skip
    assert set(mars.INFO.published) <= set(listing.found)


def test_published_counts_agree_with_each_other():
    published = mars.PUBLISHED
    assert published["train"] + published["test"] == 1_191_003
    tested = sum(published[f"{n}_tracklets"] for n in ("query", "gallery", "junk"))
    assert tested == published["test_tracklets"] == mars.OFFICIAL["gallery_tracklets"]
    assert mars.OFFICIAL["gallery"] == published["test"]


def test_info_is_as_the_official_files_are(root):
    assert (root / TRAIN_NAMES).read_bytes().startswith(b"0001C1T0001F001.jpg\r\n")
    test_names = (root / TEST_NAMES).read_bytes().split(b"\r\n")
    assert test_names[0] == b"00-1C1T0001F001.jpg"  # junk sorts before distractors
    assert (len(test_names), test_names[-1]) == (11, b"")
    train, test = loadmat(root / TRAIN), loadmat(root / TEST)
    assert train["track_train_info"].dtype == test["track_test_info"].dtype == np.int32
    assert train["track_train_info"].tolist() == [[1, 3, 1, 1], [4, 4, 1, 2], [5, 7, 3, 1]]
    assert test["track_test_info"].tolist() == [
        [1, 1, -1, 1], [2, 3, 0, 2], [4, 5, 2, 1], [6, 6, 2, 1], [7, 8, 2, 2], [9, 9, 4, 3],
        [10, 10, 4, 4],
    ]  # fmt: skip
    queries = loadmat(root / QUERY)["query_IDX"]
    assert (queries.dtype, queries.tolist()) == (np.uint16, [[3, 6, 7]])


def test_a_list_with_a_byte_order_mark_and_plain_line_ends_is_as_good(root):
    data = (root / TRAIN_NAMES).read_bytes().replace(b"\r\n", b"\n")
    (root / TRAIN_NAMES).write_bytes(b"\xef\xbb\xbf" + data)
    assert (mars.read(root).files.num_rows, mars.read(root).rejects) == (17, [])


# -------------------------------------------------------------------------------------- protocols


def test_the_first_rule_leaves_queries_and_junk_out_of_the_gallery(root):
    plain = mars.read(root).protocols[0]
    assert (plain["name"], plain["metrics"]) == ("mars", ["cmc", "map"])
    assert plain["published"]["queries_without_match"] == 140
    assert plain["found"]["queries_without_match"] == 2
    assert plain["found"]["gallery_tracklets"] == 3


def test_the_official_gallery_is_every_tracklet_of_the_test(root):
    listing = mars.read(root)
    official = listing.protocols[1]
    assert official["name"] == "mars-official"
    rows = with_roles(listing.files, official["members"]).to_pylist()
    test = tracklets_of(r for r in rows if r["part"] == "test")
    assert tracklets_of(r for r in rows if r["gallery"]) == test
    assert len(test) == official["found"]["gallery_tracklets"] == 7
    assert sum(r["gallery"] for r in rows) == official["found"]["gallery"] == 10
    assert [r["query"] for r in rows] == listing.files["query"].to_pylist()
    assert [r["train"] for r in rows] == listing.files["train"].to_pylist()
    assert official["found"]["queries_without_match"] == 0
    assert official["published"]["gallery_tracklets"] == 12_180


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from("qg")), max_size=9))
def test_queries_without_match_as_a_loop_counts_them(drawn):
    roles = {"q": ("query",), "g": ("gallery",)}
    tracklets = [Tracklet(person, camera, 1, roles[role]) for person, camera, role in drawn]
    expected = 0
    for person, camera, role in drawn:
        if role == "q":
            expected += not any(p == person and c != camera and r == "g" for p, c, r in drawn)
    assert queries_without_match(tracklets) == expected


# ----------------------------------------------------------------------------------------- damage


def table(path: str, change: Callable[[np.ndarray], object], **variables):
    """Change the one variable of a .mat; `change` may return another in its place."""

    def harm(root: Path) -> None:
        ((name, values),) = [v for v in loadmat(root / path).items() if not v[0].startswith("_")]
        values = values.astype(np.int64)
        changed = change(values)
        savemat(root / path, {name: values if changed is None else changed} | variables)

    return harm


def cell(path: str, row: int, column: int, value: int):
    return table(path, lambda values: values.__setitem__((row, column), value))


def line(path: str, number: int, text: bytes | str):
    """Put `text` in place of a line, from 1."""

    def harm(root: Path) -> None:
        lines = (root / path).read_bytes().split(b"\r\n")
        lines[number - 1] = text if isinstance(text, bytes) else text.encode()
        (root / path).write_bytes(b"\r\n".join(lines))

    return harm


def move(source: str, target: str):
    return lambda root: (root / source).rename(root / target)


def touch(path: str):
    def harm(root: Path) -> None:
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()

    return harm


def both(*harms):
    return lambda root: [harm(root) for harm in harms]


ONE = "bbox_train/0001/0001C1T0001F00"
NO_NAME = "not a MARS name such as 0001C1T0001F001.jpg"
UNUSED = f"in no tracklet of {TRAIN} that can be used"
FIRST = {f"{ONE}{frame}.jpg": UNUSED for frame in (1, 2, 3)}
REJECTED = {  # damage: what it does, the rejects, and what of them is counted; other rows stay
    "a file is gone": (
        lambda r: (r / f"{ONE}2.jpg").unlink(), {f"{ONE}2.jpg": "no such file"}, (1, 0, 0),
    ),
    "a folder is gone": (
        lambda r: shutil.rmtree(r / "bbox_test/0004"),
        {f"bbox_test/0004/0004C{c}T000{t}F001.jpg": "no such file" for c, t in ((3, 1), (4, 2))},
        (2, 0, 0),
    ),
    "a file that no list knows": (touch(f"{ONE}9.jpg"), {f"{ONE}9.jpg": UNUSED}, (0, 0, 1)),
    "a person that no list knows": (
        touch("bbox_train/0008/0008C1T0001F001.jpg"),
        {"bbox_train/0008/0008C1T0001F001.jpg": UNUSED}, (0, 0, 1),
    ),
    "a file in another's folder": (
        touch("bbox_train/0001/0003C1T0001F001.jpg"),
        {"bbox_train/0001/0003C1T0001F001.jpg": "in the folder of 0001"}, (0, 0, 1),
    ),
    "an ending in capitals": (
        move(f"{ONE}1.jpg", f"{ONE}1.JPG"),
        {f"{ONE}1.jpg": "no such file", f"{ONE}1.JPG": NO_NAME}, (1, 0, 1),
    ),
    "a link to itself": (
        lambda r: (r / "bbox_train/0007").symlink_to("0007"),
        {"bbox_train/0007": "cannot be looked at: Too many levels of symbolic links"}, (0, 0, 0),
    ),
    "a folder of nobody": (
        touch("bbox_train/people/0001C1T0001F001.jpg"),
        {"bbox_train/people": "not a person's folder such as 0001"}, (0, 0, 0),
    ),
    "a file beside the folders": (
        touch("bbox_test/0001C1T0001F001.jpg"),
        {"bbox_test/0001C1T0001F001.jpg": "not a folder; expected persons' folders such as 0001"},
        (0, 0, 0),
    ),
    "a listed name upwards": (
        line(TRAIN_NAMES, 2, "../0003/0003C1T0001F001.jpg"),
        {f"{TRAIN_NAMES}#2": NO_NAME, f"{ONE}2.jpg": UNUSED}, (0, 1, 1),
    ),
    "a blank line": (
        line(TRAIN_NAMES, 2, ""), {f"{TRAIN_NAMES}#2": NO_NAME, f"{ONE}2.jpg": UNUSED}, (0, 1, 1),
    ),
    "a name twice in the list": (
        line(TRAIN_NAMES, 2, "0001C1T0001F001.jpg"),
        {f"{TRAIN_NAMES}#2": "0001C1T0001F001.jpg is in tracklet 1 already", f"{ONE}2.jpg": UNUSED},
        (0, 1, 1),
    ),
    "a name of another number among the frames": (
        line(TRAIN_NAMES, 2, "0001C1T0000F002.jpg"),
        {f"{TRAIN_NAMES}#2": "0001C1T0000F002.jpg in tracklet 1, which is 0001C1T0001",
         f"{ONE}2.jpg": UNUSED}, (0, 1, 1),
    ),
    "a tracklet before the list": (
        cell(TRAIN, 0, 0, 0), {f"{TRAIN}#1": f"lines 0 to 3; {TRAIN_NAMES} has 7", **FIRST},
        (0, 0, 3),
    ),
    "a tracklet beyond the list": (
        cell(TRAIN, 2, 1, 8),
        {f"{TRAIN}#3": f"lines 5 to 8; {TRAIN_NAMES} has 7",
         **{f"bbox_train/0003/0003C1T0001F00{f}.jpg": UNUSED for f in (1, 2, 5)}}, (0, 0, 3),
    ),
    "a tracklet too long": (
        cell(TRAIN, 0, 1, 4),
        {f"{TRAIN_NAMES}#4": "0001C2T0002F001.jpg in tracklet 1, which is 0001C1T0001"}, (0, 1, 0),
    ),
    "a tracklet too short": (cell(TRAIN, 0, 1, 2), {f"{ONE}3.jpg": UNUSED}, (0, 0, 1)),
    "a tracklet is not listed": (
        table(TRAIN, lambda rows: rows[1:]), FIRST, (0, 0, 3),
    ),
    "a tracklet twice": (
        table(TRAIN, lambda rows: rows[[0, 1, 2, 0]]),
        {f"{TRAIN}#4": "0001C1T0001 is tracklet 1 already"}, (0, 0, 0),
    ),
    "another camera in the table": (
        cell(TRAIN, 1, 3, 5),
        {f"{TRAIN_NAMES}#4": "0001C2T0002F001.jpg in tracklet 2, which is 0001C5"}, (0, 1, 0),
    ),
    "camera 7 in the table": (
        cell(TRAIN, 0, 3, 7), {f"{TRAIN}#1": "camera 7; MARS has cameras 1 to 6", **FIRST},
        (0, 0, 3),
    ),
    "person -2": (
        cell(TRAIN, 0, 2, -2),
        {f"{TRAIN}#1": "person -2; MARS has 1 to 9999, 0 for distractors, -1 for junk", **FIRST},
        (0, 0, 3),
    ),
    "junk in train": (
        cell(TRAIN, 0, 2, -1),
        {f"{TRAIN}#1": "person -1 is junk, which belongs in bbox_test", **FIRST}, (0, 0, 3),
    ),
    "a distractor in train": (
        cell(TRAIN, 0, 2, 0),
        {f"{TRAIN}#1": "person 0 is a distractor, which belongs in bbox_test", **FIRST}, (0, 0, 3),
    ),
    "a query beyond the test": (
        table(QUERY, lambda q: np.append(q, 8)),
        {f"{QUERY}#4": "8 is no tracklet; the test has 1 to 7"}, (0, 0, 0),
    ),
    "a query twice": (
        table(QUERY, lambda q: np.append(q, 3)),
        {f"{QUERY}#4": "names tracklet 3 a second time"}, (0, 0, 0),
    ),
    "a query of junk": (
        table(QUERY, lambda q: np.append(q, 1)),
        {f"{QUERY}#4": "tracklet 1 is of person -1, who cannot be searched"}, (0, 0, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected, counted = REJECTED[damage]
    before = rows_of(mars.read(root))
    harm(root)
    listing = mars.read(root)
    assert dict(listing.rejects) == expected
    assert len(listing.rejects) == len(expected)
    assert tuple(listing.found[kind] for kind in mars.MISFITS) == counted
    lost = {i for i in before if f"{i}.jpg" in expected}
    if damage.startswith("another"):  # the one row that the table has wrong
        lost = {"bbox_train/0001/0001C2T0002F001"}
    assert rows_of(listing) == {i: row for i, row in before.items() if i not in lost}


def test_a_person_in_train_and_in_test_is_left_out_of_both(root):
    shutil.copytree(root / "bbox_test/0002", root / "bbox_train/0002")
    line(TRAIN_NAMES, 4, "0002C1T0001F001.jpg")(root)
    cell(TRAIN, 1, 2, 2)(root)
    listing = mars.read(root)
    assert {row["person"] for row in listing.files.to_pylist()} == {-1, 0, 1, 3, 4}
    reasons = dict(listing.rejects)
    for entry in (f"{TRAIN}#2", *(f"{TEST}#{n}" for n in (3, 4, 5))):
        assert reasons[entry] == "person 2 is in train and in test"
    assert listing.found["query_tracklets"] == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_tracklets_and_of_folders_does_not_matter(root, seed):
    before = mars.read(root)
    order = np.random.default_rng(seed).permutation(7)
    table(TEST, lambda rows: rows[order])(root)
    table(QUERY, lambda q: np.flatnonzero(np.isin(order, q - 1)) + 1)(root)
    for folder in sorted((root / "bbox_test").iterdir(), reverse=bool(seed % 2)):
        shutil.copytree(folder, root / "copy")
        shutil.rmtree(folder)
        (root / "copy").rename(folder)
    after = mars.read(root)
    assert (rows_of(after), after.found, after.rejects) == (rows_of(before), before.found, [])


def write_mat(path: str, values, name: str = "", **options):
    """Put another value into a .mat."""
    known = {TRAIN: "track_train_info", TEST: "track_test_info", QUERY: "query_IDX"}
    return lambda root: savemat(root / path, {name or known[path]: values}, **options)


def write_bytes(path: str, data: bytes):
    return lambda root: (root / path).write_bytes(data)


ROWS = r"expected whole numbers \(T, 4\): first line, last line, person, camera"
NOT_WHOLE = "has numbers that are not whole, or beyond 32 bits; expected"
REFUSED = {  # damage: what it does, and the one line
    "a list without names": (write_bytes(TRAIN_NAMES, b"\r\n\r\n"), "txt: lists no names"),
    "a list in UTF-16": (
        lambda r: (r / TRAIN_NAMES).write_text((r / TRAIN_NAMES).read_text(), "utf-16"),
        "no tracklet of .* agrees with the names of .*; first reject: .*: not a MARS name",
    ),
    "the list of another data set": (
        write_bytes(TRAIN_NAMES, b"0002_c1s1_000451_03.jpg\r\n" * 7),
        "no tracklet of .*tracks_train_info.mat agrees with the names of .*train_name.txt",
    ),
    "the list of the test": (
        lambda r: shutil.copy(r / TEST_NAMES, r / TRAIN_NAMES),
        r"no tracklet of .* agrees .*; first reject: .*#1: 00-1C1T0001F001\.jpg in tracklet 1",
    ),
    "no image": (
        both(lambda r: shutil.rmtree(r / "bbox_train"), lambda r: (r / "bbox_train").mkdir()),
        "none of the 7 images of info/train_name.txt is in bbox_train/",
    ),
    "three columns": (write_mat(TRAIN, np.ones((3, 3))), f"is 3 x 3 of int64; {ROWS}"),
    "a third axis": (write_mat(TRAIN, np.ones((3, 4, 2))), f"is 3 x 4 x 2 of int64; {ROWS}"),
    "no tracklet": (write_mat(TRAIN, np.ones((0, 4))), "`track_train_info` has no tracklet"),
    "fractions": (write_mat(TRAIN, np.full((3, 4), 1.5)), f"{NOT_WHOLE} whole"),
    "no number": (write_mat(TRAIN, np.array([[1, np.nan, 1, 2]])), NOT_WHOLE),
    "beyond 32 bits": (write_mat(TRAIN, np.full((1, 4), 2**40)), NOT_WHOLE),
    "tracklets of the whole list": (
        write_mat(TRAIN, np.array([[1, 7, 1, 1]] * 3)),
        "has 21 lines in its tracklets, of a list of 7; it is of another list, or damaged",
    ),
    "no query": (write_mat(QUERY, np.ones((1, 0))), "query_IDX.mat: names no tracklet of the test"),
    "queries that are none": (write_mat(QUERY, [[0, 99]]), "names no tracklet of the test as a q"),
    "train and test swapped": (
        both(move("bbox_train", "x"), move("bbox_test", "bbox_train"), move("x", "bbox_test")),
        "none of the 7 images of info/train_name.txt is in bbox_train/",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REFUSED)
def test_damage_is_one_line(root, damage):
    harm, expected = REFUSED[damage]
    harm(root)
    with pytest.raises(ReidError, match=expected) as error:
        mars.read(root)
    assert str(error.value).isprintable()


@settings(max_examples=50)
@given(
    st.lists(st.tuples(*[st.integers(-2, 12)] * 4), min_size=1, max_size=9),
    st.lists(st.integers(-1, 9), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 10), st.text("0124C13TF-.jpg/", max_size=24)), max_size=3),
)
def test_damaged_tables_never_end_in_a_traceback(tmp_path_factory, rows, queries, lines):
    home = tmp_path_factory.mktemp("damaged") / "hall"
    list(mars.write(home, samples()))
    write_mat(TEST, np.array(rows))(home)
    write_mat(QUERY, np.array([queries]))(home)
    for number, text in lines:
        line(TEST_NAMES, number, text)(home)
    try:
        listing = mars.read(home)
    except ReidError:
        return
    ids = listing.files["image_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert all(f"{r.image_id}{r.reason}".isprintable() for r in listing.rejects)
    for row in listing.files.to_pylist():
        assert (home / row["path"]).is_file()
        assert f"{row['camera']}T{row['tracklet']:04d}F{row['frame']:03d}" in row["path"]


# ---------------------------------------------------------------------------------------- writing


def test_more_than_65535_queries_have_their_numbers(tmp_path):
    (tmp_path / "info").mkdir()
    tracks = np.stack([np.arange(1, 70_001)] * 2 + [np.full(70_000, 2), np.ones(70_000)], axis=1)
    mars_info.save(tmp_path, {}, {}, [1, 70_000])
    assert mars_info.load_queries(tmp_path, tracks.astype(np.int64)) == ([0, 69_999], [])


def sample(**labels) -> Sample:
    values = {"person": 1, "camera": 1, "role": "train", "tracklet": 1, "frame": 1}
    return Sample(IMAGE, **{**values, **labels})


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        pytest.param(
            [sample(role="query"), sample(role="gallery", frame=2)],
            "tracklet 0001C1T0001 is query and gallery", id="two roles",
        ),
        pytest.param(
            [sample(), sample(role="query", tracklet=2)], "person 1 is in train and in test",
            id="trained and tested",
        ),
        pytest.param([sample()], "one of them is missing", id="no query"),
        pytest.param([sample(role="query")], "one of them is missing", id="nothing to train"),
        pytest.param([], "one of them is missing", id="nothing"),
    ],
)  # fmt: skip
def test_labels_without_a_place_are_refused(tmp_path, written, reason):
    with pytest.raises(ReidError, match=reason):
        list(mars.write(tmp_path / "hall", written))


# ----------------------------------------------------------------------------------------- ingest


def build(tmp_path: Path, monkeypatch, **params) -> Path:
    plan = ingest.plan("hall", ingest.Params(reader="mars", **params), Project(tmp_path))
    return engine.run(plan, Project(tmp_path), executor="local").folder


def ranked(data: Data) -> metrics.Result:
    """Tracklets against tracklets, each by a feature of its own."""
    labels = {n: data.labels(n) for n in ("person", "camera", "tracklet", "query", "gallery")}
    _, first = np.unique(np.stack(list(labels.values())), axis=1, return_index=True)
    feature = np.random.default_rng(0).normal(size=(len(data), 4))
    query, gallery = (first[labels[role][first].astype(bool)] for role in ("query", "gallery"))
    named = [labels[name][side] for side in (query, gallery) for name in ("person", "camera")]
    protocol = protocol_of(data.protocol_in_force())
    return metrics.evaluate(feature[query], feature[gallery], Labels.of(*named), protocol)


def test_ingest_and_both_rules_of_evaluation(root, tmp_path, monkeypatch):
    folder = build(tmp_path, monkeypatch, shard_rows=4)
    assert verify(folder) == []
    paths = sorted((folder / "rows").iterdir())
    assert len(paths) > 2
    seen = [tracklets_of(pq.read_table(path).to_pylist()) for path in paths]
    assert sum(map(len, seen)) == len(TRACKLETS)  # no tracklet is in two shards
    rows = pa.concat_tables([pq.read_table(path) for path in paths if path.name[:4] == "test"])
    order = [(r["person"], r["camera"], r["tracklet"], r["frame"]) for r in rows.to_pylist()]
    assert order == sorted(order)
    written = json.loads((folder / "protocol.json").read_text())
    assert [p["found"]["queries_without_match"] for p in written["protocols"]] == [2, 0]
    data = open_data(tmp_path / "data", "hall")
    result = ranked(data)
    assert (result.queries, result.queries_without_match, result.gallery) == (1, 2, 3)
    official = ranked(data.under("mars-official"))
    assert (official.queries, official.queries_without_match) == (3, 0)
    assert (official.gallery, official.junk_dropped) == (6, 1)
    assert len(data.role("gallery")) == 5
    assert len(data.under("mars-official").role("gallery")) == 10
