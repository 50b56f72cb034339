"""iLIDS-VID: sequences of two cameras, the .mat with its splits, and damage of both."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

import reid
from pipeline.builds.add_dataset import add
from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.ilids_vid import reader as ilids_vid
from pipeline.datasets.layouts.two_camera_splits import halves
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project

COLOUR = np.full((6, 4, 3), (200, 40, 90), np.uint8)
PERSONS = (1, 2, 4, 319)  # with gaps: position 3 of the sorted list is person 4
MAT = "train-test people splits/train_test_splits_ilidsvid.mat"
SEQUENCES = "i-LIDS-VID/sequences"


def samples(persons=PERSONS):
    for person in persons:
        for camera in (1, 2):
            for frame in (9, 10, 11):
                yield Sample(COLOUR, person, camera, "train", frame=100 * camera + frame)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "data/0-raw/hall"
    ids = list(ilids_vid.write(home, samples()))
    assert ids[0] == "sequences/cam1/person001/cam1_person001_00109"
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


def put(root: Path, values: object, name: str = "ls_set", **options: Any) -> None:
    savemat(root / MAT, {name: values}, **options)


def rows_of_splits(*rows: tuple[int, ...]) -> np.ndarray:
    """The given rows, then 1 2 3 4 until there are ten."""
    return np.array([*rows, *[(1, 2, 3, 4)] * (10 - len(rows))], float)


# ---------------------------------------------------------------------------------------- reading


def test_a_frame_gives_its_row(root):
    put(root, rows_of_splits((4, 1, 3, 2)))  # persons 319 and 1 are to test
    listing = ilids_vid.read(root)
    assert (listing.files.schema.equals(LISTED), listing.rejects) == (True, [])
    image_id = "sequences/cam2/person319/cam2_person319_00210"
    assert rows_of(listing)[image_id] == {
        "path": f"i-LIDS-VID/{image_id}.png", "part": "all", "image_id": image_id, "person": 319,
        "train": False, "query": False, "gallery": True, "camera": 2, "tracklet": 1, "frame": 210,
        "viewpoint": None, "depth_path": None,
    }  # fmt: skip


def test_the_mat_names_positions_in_the_sorted_list_of_folders(root):
    put(root, rows_of_splits((3, 2, 1, 4), (1, 3, 2, 4)))
    listing = ilids_vid.read(root)
    names = [protocol["name"] for protocol in listing.protocols]
    assert names == [f"split-{k:02d}" for k in range(1, 11)] + [
        f"split-{k:02d}-swapped" for k in range(1, 11)
    ]
    members = {p["name"]: p["members"] for p in listing.protocols}
    assert members["split-01"] == "columns"
    assert members["split-02"] == {
        "train": {"persons": [2, 319]},
        "query": {"persons": [1, 4], "cameras": [1]},
        "gallery": {"persons": [1, 4], "cameras": [2]},
    }
    assert members["split-01-swapped"] == {
        "train": {"persons": [2, 4]},  # the first half of 3 2 1 4
        "query": {"persons": [1, 319], "cameras": [1]},
        "gallery": {"persons": [1, 319], "cameras": [2]},
    }
    for row in listing.files.to_pylist():
        tested = row["person"] in (2, 4)
        assert row["train"] == (not tested)
        assert (row["query"], row["gallery"]) == (
            tested and row["camera"] == 1, tested and row["camera"] == 2,
        )  # fmt: skip


def test_a_protocol_is_of_tracklets_and_json(root):
    protocols = ilids_vid.read(root).protocols
    assert json.loads(json.dumps(protocols)) == protocols
    for one in protocols:
        assert one["rule"]["query"] == one["rule"]["gallery"] == "tracklet"
        assert one["published"]["identities"] == 300
        assert one["found"].keys() >= one["published"].keys()


def test_counts(root):
    (root / SEQUENCES / "cam1/person002/cam1_person002_00110.png").unlink()  # one in the middle
    for frame in (209, 210):
        (root / SEQUENCES / f"cam2/person004/cam2_person004_00{frame}.png").unlink()
    put(root, rows_of_splits((1, 2, 3, 4)))
    assert ilids_vid.read(root).found == {
        "images": 21, "identities": 4, "tracklets": 8, "one_camera_identities": 0,
        "empty_folders": 0, "tracklets_of_one_frame": 1, "tracklets_with_gaps": 1,
        "official_splits": 10, "train": 10, "train_tracklets": 4, "train_identities": 2,
        "query": 5, "query_tracklets": 2, "query_identities": 2, "gallery": 6,
        "gallery_tracklets": 2, "gallery_identities": 2,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_positions_may_be_stored_as_other_numbers_and_compressed(root, kind):
    expected = ilids_vid.read(root)
    rows = loadmat(root / MAT)["ls_set"]
    put(root, rows.astype(kind), do_compression=True)
    assert ilids_vid.read(root).protocols == expected.protocols


def test_the_inner_folder_is_as_good(root):
    inner, whole = ilids_vid.read(root / "i-LIDS-VID"), ilids_vid.read(root)
    assert inner.protocols == whole.protocols
    assert rows_of(inner).keys() == rows_of(whole).keys()
    assert all((root / "i-LIDS-VID" / path).is_file() for path in inner.files["path"].to_pylist())


def test_a_link_to_the_inner_folder_finds_the_splits_beside_its_target(root, tmp_path):
    (tmp_path / "link").symlink_to(root / "i-LIDS-VID")
    assert ilids_vid.read(tmp_path / "link").found["official_splits"] == 10


def test_without_the_mat_ten_drawn_halves_that_are_called_so(root):
    written = ilids_vid.read(root)
    (root / MAT).unlink()
    listing = ilids_vid.read(root)
    assert [p["name"] for p in listing.protocols] == [f"random-{k:02d}" for k in range(1, 11)]
    assert "no train_test_splits_ilidsvid.mat" in listing.protocols[3]["title"]
    assert (listing.found["official_splits"], written.found["official_splits"]) == (0, 10)
    for number, one in enumerate(listing.protocols[1:], 2):
        train, test = halves(PERSONS, number)
        assert one["members"]["train"]["persons"] == train
        assert one["members"]["query"] == {"persons": test, "cameras": [1]}
        assert one["rule"]["seed"] == number
        assert one["members"] == written.protocols[number - 1]["members"]  # what is written, too


@settings(max_examples=40)
@given(st.sets(st.integers(1, 999), min_size=2, max_size=60), st.integers(1, 10))
def test_a_drawn_split_is_two_halves_that_its_seed_gives(persons, seed):
    listed = sorted(persons)
    train, test = halves(listed, seed)
    assert sorted(train + test) == listed
    assert len(train) - len(test) in (0, 1)
    assert (train, test) == halves(listed, seed)


def test_300_persons_are_150_and_150_and_the_splits_differ():
    splits = [halves(range(1, 301), seed) for seed in range(1, 11)]
    assert {(len(train), len(test)) for train, test in splits} == {(150, 150)}
    assert len({tuple(test) for _, test in splits}) == 10


# ------------------------------------------------------------------------------ damage of folders


def touch(path: str) -> Callable[[Path], None]:
    def harm(sequences: Path) -> None:
        (sequences / path).parent.mkdir(parents=True, exist_ok=True)
        (sequences / path).touch()

    return harm


def emptied(path: str) -> Callable[[Path], None]:
    def harm(sequences: Path) -> None:
        for file in (sequences / path).iterdir():
            file.unlink()

    return harm


NO_NAME = "not an iLIDS-VID name such as cam1_person001_00317.png"
NO_PERSON = "not a person's folder such as person001"
P2 = "cam1/person002"
REJECTED = {  # damage: what it does below sequences/, and the rejects
    "a file of the other camera": (
        touch(f"{P2}/cam2_person002_00001.png"),
        {f"{P2}/cam2_person002_00001.png": "of camera 2, in a folder of camera 1"},
    ),
    "a file of another person": (
        touch(f"{P2}/cam1_person004_00001.png"),
        {f"{P2}/cam1_person004_00001.png": "of person 004, in the folder of person 002"},
    ),
    "a frame in two files": (
        touch(f"{P2}/cam1_person002_109.png"),
        {f"{P2}/cam1_person002_109.png": "frame 109 is cam1_person002_00109.png already"},
    ),
    "a frame in small and large letters": (
        touch(f"{P2}/cam1_person002_00109.PNG"),
        {f"{P2}/cam1_person002_00109.png": "frame 109 is cam1_person002_00109.PNG already"},
    ),
    "JPEG": (touch(f"{P2}/cam1_person002_1.jpg"), {f"{P2}/cam1_person002_1.jpg": NO_NAME}),
    "a link to itself": (
        lambda s: (s / "cam1/person009").symlink_to("person009"),
        {"cam1/person009": "cannot be looked at: Too many levels of symbolic links"},
    ),
    "a file beside the persons": (touch("cam1/notes.txt"), {"cam1/notes.txt": NO_PERSON}),
    "another folder": (touch("cam1/Person002/cam1_person002_1.png"), {"cam1/Person002": NO_PERSON}),
    "person 0": (touch("cam1/person000/cam1_person000_1.png"), {"cam1/person000": NO_PERSON}),
    "an empty folder": (emptied(P2), {P2: "no frame in it"}),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected = REJECTED[damage]
    before = ilids_vid.read(root)
    harm(root / SEQUENCES)
    listing = ilids_vid.read(root)
    assert dict(listing.rejects) == {f"sequences/{k}": reason for k, reason in expected.items()}
    lost = {i for i in rows_of(before) if P2 in i and damage == "an empty folder"}
    assert rows_of(listing).keys() == rows_of(before).keys() - lost


def test_an_empty_folder_keeps_its_place_in_the_list_and_its_person_has_no_role(root):
    put(root, rows_of_splits((2, 3, 1, 4)))
    emptied("cam1/person002")(root / SEQUENCES)
    listing = ilids_vid.read(root)
    roles = {(r["person"], r["train"], r["query"] or r["gallery"])
             for r in listing.files.to_pylist()}  # fmt: skip
    assert roles == {(1, True, False), (2, False, False), (4, False, True), (319, True, False)}
    assert (listing.found["empty_folders"], listing.found["one_camera_identities"]) == (1, 1)
    assert (listing.found["query_identities"], listing.found["train_identities"]) == (1, 2)


def test_a_person_of_one_camera_alone_has_no_role_but_a_place_in_the_list(root):
    folder = root / SEQUENCES / "cam1/person319"
    emptied("cam1/person319")(root / SEQUENCES)
    folder.rmdir()
    listing = ilids_vid.read(root)
    assert listing.rejects == []
    assert {r["camera"] for r in listing.files.to_pylist() if r["person"] == 319} == {2}
    named = [p for one in listing.protocols[1:] for role in one["members"].values()
             for p in role["persons"]]  # fmt: skip
    assert set(named) == {1, 2, 4}


def test_large_letters_in_the_ending_are_read(root):
    path = root / SEQUENCES / "cam1/person002/cam1_person002_00109.png"
    path.rename(path.with_suffix(".PNG"))
    row = rows_of(ilids_vid.read(root))["sequences/cam1/person002/cam1_person002_00109"]
    assert row["path"].endswith("00109.PNG")


def test_frames_follow_their_numbers_not_the_order_of_the_folder(root):
    for frame in (99_999_999, 2, 10_000):
        touch(f"cam1/person001/cam1_person001_{frame}.png")(root / SEQUENCES)
    frames = [r["frame"] for r in ilids_vid.read(root).files.to_pylist()
              if (r["person"], r["camera"]) == (1, 1)]  # fmt: skip
    assert frames == [2, 109, 110, 111, 10_000, 99_999_999]


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        pytest.param(lambda r: (r / SEQUENCES).rename(r / "x"), "no folder sequences/cam1",
                     id="no sequences"),
        pytest.param(lambda r: [emptied(f"cam2/person{p:03d}")(r / SEQUENCES) for p in PERSONS[1:]],
                     "1 persons are seen by both cameras; two .*no frame in it", id="one person"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_used_are_one_line(root, harm, expected):
    harm(root)
    with pytest.raises(ReidError, match=expected) as error:
        ilids_vid.read(root)
    assert str(error.value).isprintable()


def changed(row: int, column: int, value: float) -> np.ndarray:
    rows = rows_of_splits()
    rows[row, column] = value
    return rows


ROW = "row {} of `ls_set` must hold each of 1 to 4 once; it has {}"
BROKEN = {  # damage of the .mat: what it does, and the one line
    "three persons": (lambda r: put(r, np.ones((10, 3))), r"is 10 x 3 of .*, for 4 folders"),
    "nine splits": (lambda r: put(r, np.ones((9, 4))), r"is 9 x 4 of .*; expected 10 x 4"),
    "position 0": (lambda r: put(r, changed(0, 0, 0)), ROW.format(1, 0)),
    "position 5": (lambda r: put(r, changed(3, 1, 5)), ROW.format(4, 5)),
    "a position twice": (lambda r: put(r, changed(9, 0, 4)), ROW.format(10, "4 twice")),
    "half": (lambda r: put(r, changed(0, 0, 1.5)), ROW.format(1, 1.5)),
    "NaN": (lambda r: put(r, changed(0, 0, np.nan)), ROW.format(1, "nan")),
    "far too large": (
        lambda r: (r / MAT).write_bytes(bytes(1_000_001)), "has more than 1,000,000 bytes",
    ),
    "a link to nothing": (
        lambda r: ((r / MAT).unlink(), (r / MAT).symlink_to("none")), "cannot be read: No such",
    ),
    "a person's folders gone": (
        lambda r: [((emptied(f"cam{c}/person002")(r / SEQUENCES)),
                    (r / SEQUENCES / f"cam{c}/person002").rmdir()) for c in (1, 2)],
        r"is 10 x 4 of .*, for 3 folders of persons; expected 10 x 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_mat_is_one_line(root, damage):
    harm, expected = BROKEN[damage]
    harm(root)
    with pytest.raises(ReidError) as error:
        ilids_vid.read(root)
    text = str(error.value)
    assert text.isprintable()
    assert "train_test_splits_ilidsvid.mat" in text
    assert re.search(expected, text)


# --------------------------------------------------------------------------------- writing, ingest


def test_the_written_mat_is_as_the_official_one(root):
    rows = loadmat(io.BytesIO((root / MAT).read_bytes()))["ls_set"]
    assert rows.shape == (10, 4)
    assert np.array_equal(np.sort(rows, 1), np.tile([1, 2, 3, 4], (10, 1)))


def test_bytes_of_jpeg_are_refused(tmp_path):
    sample = Sample(COLOUR, 1, 1, "train", encoded=images.encode_jpeg(COLOUR))
    with pytest.raises(ReidError, match="must be PNG, not jpeg"):
        list(ilids_vid.write(tmp_path / "hall", [sample]))


def test_roles_of_another_split_are_those_of_its_members(root, tmp_path):
    put(root, rows_of_splits((1, 2, 3, 4), (3, 1, 2, 4)))
    plan = ingest.plan("hall", ingest.Params(reader="ilids_vid"), Project(tmp_path))
    engine.run(plan, Project(tmp_path), executor="local")
    data = reid.open(tmp_path / "data", "hall", columns=[]).under("split-02-swapped")
    roles = {role: data.role(role).rows for role in ("train", "query", "gallery")}
    people = {role: set(rows["person"].to_pylist()) for role, rows in roles.items()}
    assert people == {"train": {1, 4}, "query": {2, 319}, "gallery": {2, 319}}
    assert set(roles["query"]["camera"].to_pylist()) == {1}
    assert set(roles["gallery"]["camera"].to_pylist()) == {2}


def test_adding_links_the_folder_that_holds_the_splits(root, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "params.yaml").write_text("world: {with: {}, on: {}}\ningest: {with: {}, on: {}}\n")
    above = tmp_path / "downloads"
    above.mkdir()
    root.rename(above / "iLIDS-VID")
    lines = add(project, "hall", "ilids_vid", above)
    assert (project / "data/0-raw/hall").resolve() == above / "iLIDS-VID"
    assert "identities 4 (300)" in "\n".join(lines)
    assert "official_splits" not in "\n".join(lines)
    assert ilids_vid.read(project / "data/0-raw/hall").found["official_splits"] == 10
