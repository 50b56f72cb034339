"""PRID 2011: tracklets of two cameras, whose numbers agree for the first 200 people alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.layouts.two_camera_splits import halves
from pipeline.datasets.prid2011 import reader as prid2011
from reid.project.errors import ReidError

COLOUR = np.full((6, 4, 3), (200, 40, 90), np.uint8)
PERSONS = (1, 2, 7, 200)
ALONE = ((201, 1), (1201, 2), (1749, 2))  # (person, camera): three people, though two are "0201"
SHOTS = "prid_2011/multi_shot"
JSON = "splits_prid2011.json"


def samples(frames: int = 3):
    for person, camera in [*((p, c) for p in PERSONS for c in (1, 2)), *ALONE]:
        for frame in range(9, 9 + frames):
            yield Sample(COLOUR, person, camera, "train", frame=frame)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "data/0-raw/prid"
    ids = list(prid2011.write(home, samples()))
    assert (ids[0], ids[-1]) == (
        "multi_shot/cam_a/person_0001/0009", "multi_shot/cam_b/person_0749/0011",
    )  # fmt: skip
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


def names_of(*persons: int) -> list[str]:
    return [f"person_{person:04d}" for person in persons]


def put(root: Path, *splits: Any) -> None:
    (root / JSON).write_text(json.dumps(list(splits)))


# ---------------------------------------------------------------------------------------- reading


def test_a_frame_gives_its_row(root):
    put(root, {"train": names_of(1, 7), "test": names_of(200, 2)})
    listing = prid2011.read(root)
    assert (listing.files.schema.equals(LISTED), listing.rejects) == (True, [])
    image_id = "multi_shot/cam_a/person_0200/0010"
    assert rows_of(listing)[image_id] == {
        "path": f"prid_2011/{image_id}.png", "part": "all", "image_id": image_id, "person": 200,
        "train": False, "query": True, "gallery": False, "camera": 1, "tracklet": 1, "frame": 10,
        "viewpoint": None, "depth_path": None,
    }  # fmt: skip


def test_people_beyond_200_are_others_in_each_camera_and_have_no_role(root):
    rows = rows_of(prid2011.read(root))
    first, second = (rows[f"multi_shot/cam_{c}/person_0201/0009"] for c in "ab")
    assert (first["person"], second["person"]) == (201, 1201)
    assert rows["multi_shot/cam_b/person_0749/0009"]["person"] == 1749
    for row in rows.values():
        if row["person"] > 200:
            assert (row["train"], row["query"], row["gallery"]) == (False, False, False)


def test_the_splits_of_the_file(root):
    put(
        root,
        {"train": names_of(1, 2), "test": names_of(7, 200), "num_train": 2},
        {"test": names_of(200, 1), "train": names_of(7, 2)},
    )
    first, second = prid2011.read(root).protocols
    assert json.loads(json.dumps([first, second])) == [first, second]
    assert (first["name"], first["members"]) == ("split-01", "columns")
    assert second["title"] == "PRID 2011, split 2 of 2"
    assert second["members"] == {
        "train": {"persons": [2, 7]},
        "query": {"persons": [1, 200], "cameras": [1]},
        "gallery": {"persons": [1, 200], "cameras": [2]},
    }
    assert second["rule"]["query"] == second["rule"]["gallery"] == "tracklet"
    assert second["published"]["train_identities"] == 89


def test_counts(root, monkeypatch):
    monkeypatch.setattr(prid2011, "LONG_ENOUGH", 3)
    (root / SHOTS / "cam_a/person_0002/0010.png").unlink()
    put(root, {"train": names_of(1, 2), "test": names_of(7, 200)})
    assert prid2011.read(root).found == {
        "images": 32, "identities": 7, "tracklets": 11, "one_camera_identities": 3,
        "empty_folders": 0, "tracklets_of_one_frame": 0, "tracklets_with_gaps": 1,
        "camera_a_identities": 5, "camera_b_identities": 6, "both_cameras": 4, "long_enough": 3,
        "official_splits": 1, "train": 11, "train_tracklets": 4, "train_identities": 2,
        "query": 6, "query_tracklets": 2, "query_identities": 2, "gallery": 6,
        "gallery_tracklets": 2, "gallery_identities": 2,
    }  # fmt: skip


def test_published_counts_agree_with_each_other():
    published = prid2011.PUBLISHED
    assert published["train_identities"] + published["query_identities"] == published["long_enough"]


def test_without_the_file_ten_drawn_halves_of_those_with_long_sequences(root, tmp_path):
    (root / JSON).unlink()
    with pytest.raises(ReidError, match=f"0 persons .*with 27 frames each; or put {JSON}"):
        prid2011.read(root)
    long = tmp_path / "long"
    list(prid2011.write(long, samples(prid2011.LONG_ENOUGH)))
    (long / JSON).unlink()
    for camera, person in (("a", 2), ("b", 200)):  # one frame too few in one camera is too few
        (long / SHOTS / f"cam_{camera}/person_{person:04d}/0009.png").unlink()
    list(prid2011.write(tmp_path / "more", samples(prid2011.LONG_ENOUGH)))
    (tmp_path / "more" / JSON).unlink()
    for home, persons in ((long, [1, 7]), (tmp_path / "more", list(PERSONS))):
        protocols = prid2011.read(home).protocols
        assert [p["name"] for p in protocols] == [f"random-{k:02d}" for k in range(1, 11)]
        assert f"no {JSON}" in protocols[1]["title"]
        for number, one in enumerate(protocols[1:], 2):
            train, test = halves(persons, number)
            assert one["members"]["train"]["persons"] == train
            assert one["members"]["gallery"] == {"persons": test, "cameras": [2]}
            assert one["rule"]["seed"] == number


def test_the_inner_folder_is_as_good_with_the_splits_in_it(root):
    whole = prid2011.read(root)
    (root / JSON).rename(root / "prid_2011" / JSON)
    inner = prid2011.read(root / "prid_2011")
    assert inner.protocols == whole.protocols
    assert rows_of(inner).keys() == rows_of(whole).keys()
    assert all((root / "prid_2011" / path).is_file() for path in inner.files["path"].to_pylist())


# ------------------------------------------------------------------------------ damage of folders


def touch(path: str) -> Callable[[Path], None]:
    def harm(shots: Path) -> None:
        (shots / path).parent.mkdir(parents=True, exist_ok=True)
        (shots / path).touch()

    return harm


NO_NAME = "not a PRID name such as 0125.png"
NO_PERSON = "not a person's folder such as person_0001"
P2 = "cam_a/person_0002"
REJECTED = {  # damage: what it does below multi_shot/, and the rejects
    "another name": (touch(f"{P2}/a.png"), {f"{P2}/a.png": NO_NAME}),
    "JPEG": (touch(f"{P2}/0007.jpg"), {f"{P2}/0007.jpg": NO_NAME}),
    "a frame in two files": (touch(f"{P2}/9.png"), {f"{P2}/9.png": "frame 9 is 0009.png already"}),
    "a frame in small and large letters": (
        touch(f"{P2}/0009.PNG"), {f"{P2}/0009.png": "frame 9 is 0009.PNG already"},
    ),
    "a person's folder twice, by a link": (
        lambda s: (s / "cam_a/person_0009").symlink_to("person_0002"),
        {"cam_a/person_0009": "one and the same folder as multi_shot/cam_a/person_0002"},
    ),
    "query and gallery one folder, by a link": (
        lambda s: (s / "cam_b/person_0009").symlink_to("../cam_a/person_0002"),
        {"cam_b/person_0009": "one and the same folder as multi_shot/cam_a/person_0002"},
    ),
    "three digits": (touch("cam_a/person_003/0001.png"), {"cam_a/person_003": NO_PERSON}),
    "person 0": (touch("cam_a/person_0000/0001.png"), {"cam_a/person_0000": NO_PERSON}),
    "a number that is camera b's": (
        touch("cam_a/person_1201/0001.png"), {"cam_a/person_1201": NO_PERSON},
    ),
    "a file beside the persons": (touch("cam_b/notes.txt"), {"cam_b/notes.txt": NO_PERSON}),
    "an empty folder": (
        lambda s: (s / "cam_a/person_0100").mkdir(), {"cam_a/person_0100": "no frame in it"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected = REJECTED[damage]
    before = prid2011.read(root)
    harm(root / SHOTS)
    listing = prid2011.read(root)
    assert dict(listing.rejects) == {f"multi_shot/{k}": reason for k, reason in expected.items()}
    assert rows_of(listing).keys() == rows_of(before).keys()


def test_a_person_of_the_splits_who_is_not_there_is_a_reject(root):
    put(root, {"train": names_of(1, 2, 50), "test": names_of(7, 200)},
        {"train": names_of(7), "test": names_of(1, 50)})  # fmt: skip
    for path in (root / SHOTS / "cam_b/person_0002").iterdir():
        path.unlink()
    listing = prid2011.read(root)
    reason = "no frame of one camera, or of both"
    assert dict(listing.rejects) == {
        "multi_shot/cam_b/person_0002": "no frame in it",
        f"{JSON}#person_0002": reason, f"{JSON}#person_0050": reason,
    }  # fmt: skip
    assert listing.found["train_identities"] == 1
    assert listing.protocols[1]["members"]["query"]["persons"] == [1]


def test_single_shots_and_clutter_are_left_alone(root):
    for path in ("../single_shot/cam_a/person_0001.png", "cam_a/Thumbs.db", "readme.txt"):
        touch(path)(root / SHOTS)
    listing = prid2011.read(root)
    assert (listing.files.num_rows, listing.rejects) == (33, [])


# -------------------------------------------------------------------------------------- refusals

GOOD = {"train": names_of(1, 2), "test": names_of(7, 200)}
BROKEN = {  # the file of splits: its text, and the one line
    "cut off": ('[{"train": ["person_0001"', "not JSON"),
    "no text": (b"\xff\xfe[", "not JSON"),
    "nested without end": ("[" * 200_000, "not JSON"),
    "an object": ("{}", "expected a list of 1 to 99 splits, found dict"),
    "no split": ("[]", "found 0 splits"),
    "a hundred": (json.dumps([GOOD] * 100), "found 100 splits"),
    "a list in place of a split": ("[[]]", "split 1 must have two lists of persons' folders"),
    "no test": ('[{"train": ["person_0001"]}]', "split 1 must have two lists"),
    "a text in place of a list": ('[{"train": "person_0001", "test": []}]', "split 1 must have"),
    "nobody": (json.dumps([GOOD, {**GOOD, "test": []}]), "split 2: nobody is in test"),
    "a number": ('[{"train": [1], "test": ["person_0002"]}]', "split 1: `int` is not a person's"),
    "dots": (
        '[{"train": ["../person_0001"], "test": ["person_0002"]}]',
        "`../person_0001` is not a person's folder such as person_0001",
    ),
    "a line break": (
        '[{"train": ["person_0001\\n"], "test": ["person_0002"]}]', r"`person_0001\n` is not a",
    ),
    "a person of one camera": (
        json.dumps([{**GOOD, "train": names_of(201)}]),
        "person_0201: only person_0001 to person_0200 are the same in both cameras",
    ),
    "in both halves": (
        json.dumps([{**GOOD, "train": names_of(1, 7)}]), "split 1: person_0007 is named twice",
    ),
    "twice in a half": (
        json.dumps([{**GOOD, "train": names_of(1, 1)}]), "split 1: person_0001 is named twice",
    ),
    "far too large": (" " * 10_000_001, "has more than 10,000,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_file_of_splits_is_one_line(root, damage):
    text, expected = BROKEN[damage]
    (root / JSON).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReidError) as error:
        prid2011.read(root)
    assert expected in str(error.value)
    assert JSON in str(error.value)
    assert str(error.value).isprintable()


def test_a_link_to_nothing_for_the_splits_is_one_line(root):
    (root / JSON).unlink()
    (root / JSON).symlink_to("none")
    with pytest.raises(ReidError, match="cannot be read: No such file"):
        prid2011.read(root)


# --------------------------------------------------------------------------------- writing, ingest


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([(0, 1)], "person 0 does not fit"),
        ([(201, 2)], "person 201 does not fit camera 2"),
        ([(1200, 2)], "person 1200 does not fit camera 2"),
        ([(1201, 1)], "person 1201 does not fit camera 1"),
        ([(1, 1), (1, 2)], "1 persons before both cameras"),
    ],
)
def test_persons_and_cameras_that_do_not_fit_are_refused(tmp_path, labels, reason):
    samples = [Sample(COLOUR, person, camera, "train", frame=1) for person, camera in labels]
    with pytest.raises(ReidError, match=reason):
        list(prid2011.write(tmp_path / "prid", samples))
