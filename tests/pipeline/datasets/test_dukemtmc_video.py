"""DukeMTMC-VideoReID: both styles of names, queries that are in the gallery too, and damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.dukemtmc_video import reader as dukemtmc_video
from reid.project.errors import ReidError

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)
GOOD = (  # a file by hand, and its person, camera, tracklet and frame
    ("train/0001/0003/0001_C6_F0001_X30823", 1, 6, 3, 1),
    ("train/0001/0003/0001_C6_F0002_X30835", 1, 6, 3, 2),
    ("train/0001/0004/0001C5F0002X1", 1, 5, 4, 2),  # the older style; begins at 2
    ("train/0001/0004/0001C5F0010X97", 1, 5, 4, 10),
    ("query/0005/0012/0005_C2_F0001_X46985", 5, 2, 12, 1),
    ("query/0023/0020/0023_C4_F0001_X46985", 23, 4, 20, 1),
    ("gallery/0005/0013/0005_C1_F0001_X500", 5, 1, 13, 1),
    ("gallery/0005/0013/0005_C1_F0003_X524", 5, 1, 13, 3),  # 2 was never there
    ("gallery/0023/0021/0023_C4_F0001_X99", 23, 4, 21, 1),  # no match: of the query's camera
    ("gallery/7139/2193/7139_C2_F0001_D46985", 7139, 2, 2193, 1),
)
NO_NAME = "not a DukeMTMC-VideoReID name such as 0001_C6_F0099_X30823.jpg"


def touch(root: Path, name: str, data: bytes = b"not looked at") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, *_ in GOOD:
        touch(tmp_path / "duke", f"{name}.jpg")
    return tmp_path / "duke"


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good[0])
def test_a_name_gives_its_row(root, good):
    image_id, person, camera, tracklet, frame = good
    files = dukemtmc_video.read(root).files
    assert files.schema.equals(LISTED)
    role = image_id.partition("/")[0]
    assert rows_of(dukemtmc_video.read(root))[image_id] == {
        "path": f"{image_id}.jpg", "part": "train" if role == "train" else "test",
        "image_id": image_id, "person": person, "camera": camera, "tracklet": tracklet,
        "frame": frame, "viewpoint": None, "depth_path": None,
        **{r: r == role for r in ("train", "query", "gallery")},
    }  # fmt: skip


def test_frames_are_in_the_order_of_their_numbers(root):
    for frame in (9, 100, 11):
        touch(root, f"train/0001/0004/0001_C5_F{frame:04d}_X97.jpg")  # sorts behind the others
    rows = [r for r in dukemtmc_video.read(root).files.to_pylist() if r["tracklet"] == 4]
    assert [row["frame"] for row in rows] == [2, 9, 10, 11, 100]


def test_counts(root):
    listing = dukemtmc_video.read(root)
    assert listing.rejects == []
    assert listing.found == {
        "train": 4, "train_identities": 1, "train_tracklets": 2, "query": 2, "query_identities": 2,
        "query_tracklets": 2, "gallery": 4, "gallery_identities": 3, "gallery_tracklets": 3,
        "gallery_distractor_identities": 1, "queries_without_match": 1, "queries_in_gallery": 0,
        "tracklets_of_two_cameras": 0,
    }  # fmt: skip
    assert set(dukemtmc_video.INFO.published) <= set(listing.found)


def test_published_counts_agree_with_each_other():
    published = dukemtmc_video.PUBLISHED
    distractors = published["gallery_distractor_identities"]
    assert published["gallery_identities"] - distractors == published["query_identities"] == 702
    assert published["query_tracklets"] == 702


# --------------------------------------------------------------------- queries and their copies


def test_a_query_that_is_in_the_gallery_too_is_one_tracklet(root):
    shutil.copytree(root / "query/0005/0012", root / "gallery/0005/0012")
    listing = dukemtmc_video.read(root)
    assert (listing.rejects, listing.files.num_rows) == ([], 10)
    row = rows_of(listing)["query/0005/0012/0005_C2_F0001_X46985"]
    assert (row["query"], row["gallery"]) == (True, True)
    result = listing.found
    assert (result["queries_in_gallery"], result["gallery_tracklets"], result["gallery"]) == (
        1,
        4,
        5,
    )
    assert (result["query_tracklets"], result["queries_without_match"]) == (2, 1)


OTHERS = {  # what is in gallery/0005/0012, whose number a query has
    "other names": {"0005_C2_F0001_X777.jpg": b"not looked at"},
    "a further frame": {"0005_C2_F0001_X46985.jpg": b"not looked at", "0005_C2_F0002_X7.jpg": b""},
    "another size": {"0005_C2_F0001_X46985.jpg": b"other"},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_gallery_tracklet_that_has_a_querys_number_gets_its_own(root, other):
    for name, data in OTHERS[other].items():
        touch(root, f"gallery/0005/0012/{name}", data)
    listing = dukemtmc_video.read(root)
    assert (listing.rejects, listing.found["queries_in_gallery"]) == ([], 0)
    assert listing.found["gallery_tracklets"] == 4
    rows = [r for r in listing.files.to_pylist() if r["path"].startswith("gallery/0005/0012")]
    assert {(r["tracklet"], r["query"], r["gallery"]) for r in rows} == {(1_000_012, False, True)}
    assert len(rows) == len(OTHERS[other])


def test_the_same_number_in_another_camera_or_of_another_person_is_no_clash(root):
    touch(root, "gallery/0005/0012/0005_C3_F0001_X46985.jpg")
    touch(root, "gallery/0023/0012/0023_C2_F0001_X46985.jpg")
    rows = dukemtmc_video.read(root).files.to_pylist()
    assert max(row["tracklet"] for row in rows) == 2193


def test_a_folder_of_two_cameras_is_a_tracklet_in_each(root):
    touch(root, "train/0001/0003/0001_C2_F0001_X30823.jpg")  # the camera is the name's
    listing = dukemtmc_video.read(root)
    assert listing.rejects == []
    result = listing.found
    assert (result["tracklets_of_two_cameras"], result["train_tracklets"]) == (1, 3)
    cameras = [r["camera"] for r in listing.files.to_pylist() if r["tracklet"] == 3]
    assert cameras == [2, 6, 6]


def test_a_person_in_train_and_in_test_is_left_out_of_both(root):
    touch(root, "gallery/0001/0030/0001_C1_F0001_X1.jpg")
    listing = dukemtmc_video.read(root)
    assert 1 not in listing.files["person"].to_pylist()
    assert {reject.reason for reject in listing.rejects} == {"person 1 is in train and in test"}
    assert len(listing.rejects) == 5


# ----------------------------------------------------------------------------------------- damage


def file(name: str):
    return lambda root: touch(root, name)


HERE = "train/0001/0003"
REJECTED = {  # damage: what it does, and the rejects; the other rows stay
    "half of the underscores": (
        file(f"{HERE}/0001_C6F0003X9.jpg"), {f"{HERE}/0001_C6F0003X9.jpg": NO_NAME},
    ),
    "an ending in capitals": (
        file(f"{HERE}/0001_C6_F0003_X9.JPG"), {f"{HERE}/0001_C6_F0003_X9.JPG": NO_NAME},
    ),
    "a letter that is neither X nor D": (
        file(f"{HERE}/0001_C6_F0003_Y9.jpg"), {f"{HERE}/0001_C6_F0003_Y9.jpg": NO_NAME},
    ),
    "no frame of the video": (
        file(f"{HERE}/0001_C6_F0003_X.jpg"), {f"{HERE}/0001_C6_F0003_X.jpg": NO_NAME},
    ),
    "camera 9": (
        file(f"{HERE}/0001_C9_F0003_X9.jpg"),
        {f"{HERE}/0001_C9_F0003_X9.jpg": "camera 9; DukeMTMC-VideoReID has cameras 1 to 8"},
    ),
    "another person's frame": (
        file(f"{HERE}/0002_C6_F0003_X9.jpg"),
        {f"{HERE}/0002_C6_F0003_X9.jpg": "of person 2, in the folder of person 1"},
    ),
    "a frame twice": (
        file(f"{HERE}/0001_C6_F0002_X40000.jpg"),
        {f"{HERE}/0001_C6_F0002_X40000.jpg": "frame 2 is 0001_C6_F0002_X30835.jpg already"},
    ),
    "a frame in both styles": (
        file("train/0001/0004/0001_C5_F0002_X1.jpg"),
        {"train/0001/0004/0001_C5_F0002_X1.jpg": "frame 2 is 0001C5F0002X1.jpg already"},
    ),
    "an empty tracklet": (
        lambda r: (r / "train/0001/0009").mkdir(), {"train/0001/0009": "no frame"},
    ),
    "an empty person": (lambda r: (r / "train/0009").mkdir(), {"train/0009": "no tracklet"}),
    "a frame beside the tracklets": (
        file("train/0001/0001_C6_F0003_X9.jpg"),
        {"train/0001/0001_C6_F0003_X9.jpg":
         "not a folder; expected a tracklet's folder such as 0003"},
    ),
    "a frame beside the persons": (
        file("train/0001_C6_F0003_X9.jpg"),
        {"train/0001_C6_F0003_X9.jpg": "not a folder; expected a person's folder such as 0001"},
    ),
    "a folder of nobody": (
        file("query/anna/0001/0001_C6_F0003_X9.jpg"),
        {"query/anna": "not a person's folder such as 0001"},
    ),
    "person 0": (
        file("query/0000/0001/0000_C6_F0003_X9.jpg"),
        {"query/0000": "not a person's folder such as 0001"},
    ),
    "a person of five digits": (
        file("query/12345/0001/1234_C6_F0003_X9.jpg"),
        {"query/12345": "not a person's folder such as 0001"},
    ),
    "a person twice": (
        file("train/1/0007/0001_C6_F0003_X9.jpg"), {"train/1": "1 is train/0001 already"},
    ),
    "a folder that is no tracklet": (
        file("train/0001/cam6/0001_C6_F0003_X9.jpg"),
        {"train/0001/cam6": "not a tracklet's folder such as 0003"},
    ),
    "a tracklet twice": (
        file("train/0001/3/0001_C6_F0003_X9.jpg"),
        {"train/0001/3": f"3 is {HERE} already"},
    ),
    "a linked tracklet to nothing": (
        lambda r: (r / "train/0001/0008").symlink_to("none"),
        {"train/0001/0008": "a link to nothing"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected = REJECTED[damage]
    before = rows_of(dukemtmc_video.read(root))
    harm(root)
    listing = dukemtmc_video.read(root)
    assert listing.rejects == list(expected.items())
    assert rows_of(listing) == before


def swap(one: str, other: str):
    def harm(root: Path) -> None:
        (root / one).rename(root / "x")
        (root / other).rename(root / one)
        (root / "x").rename(root / other)

    return harm


REFUSED = {  # damage: what it does, and the one line
    "train for gallery": (swap("train", "gallery"), "none is in gallery/; the two folders are sw"),
    "the still images": (
        lambda r: [(r / "train").rename(r / "bounding_box_train"),
                   (r / "gallery").rename(r / "bounding_box_test")],
        "no folder train, gallery; this is not a DukeMTMC-VideoReID download",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REFUSED)
def test_damage_is_one_line(root, damage):
    harm, expected = REFUSED[damage]
    harm(root)
    with pytest.raises(ReidError, match=expected) as error:
        dukemtmc_video.read(root)
    assert str(error.value).isprintable()


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["train", "query", "gallery"]),
            st.text("0123.", min_size=1, max_size=5) | st.text("ab\n ", min_size=1, max_size=3),
            st.text("0123x", min_size=1, max_size=4),
            st.from_regex(r"000[1-3]_?C[0-9]_?F000[0-9]_?[XDE][0-9]\.jpg", fullmatch=True),
        ),
        max_size=12,
    )
)
def test_odd_folders_never_end_in_a_traceback(tmp_path_factory, drawn):
    home = tmp_path_factory.mktemp("odd") / "duke"
    for role in ("train", "query", "gallery"):
        (home / role).mkdir(parents=True)
    for role, person, tracklet, name in drawn:
        if set(person) != {"."}:
            touch(home, f"{role}/{person}/{tracklet}/{name}")
    try:
        listing = dukemtmc_video.read(home)
    except ReidError:
        return
    rows = listing.files.to_pylist()
    assert len({row["image_id"] for row in rows}) == len(rows)
    assert all(f"{r.image_id}{r.reason}".isprintable() for r in listing.rejects)
    numbered = [(r["person"], r["camera"], r["tracklet"]) for r in rows]
    for key in numbered:  # all frames of a tracklet have the same roles
        of_key = [r for r, k in zip(rows, numbered, strict=True) if k == key]
        assert len({(r["train"], r["query"], r["gallery"]) for r in of_key}) == 1
        assert len({r["frame"] for r in of_key}) == len(of_key)


# ---------------------------------------------------------------------------------------- writing


def sample(role: str, frame: int) -> Sample:
    return Sample(IMAGE, 1, 1, role, frame=frame, tracklet=1)


def test_names_are_the_official_ones(tmp_path):
    ids = list(dukemtmc_video.write(tmp_path / "duke", [sample("train", 1), sample("train", 2)]))
    assert ids == [f"train/0001/0001/0001_C1_F000{n}_X{12 * n}" for n in (1, 2)]


def test_a_tracklet_of_two_roles_is_refused(tmp_path):
    with pytest.raises(ReidError, match="1 of person 1 and camera 1 is in query and gallery"):
        list(dukemtmc_video.write(tmp_path / "duke", [sample("query", 1), sample("gallery", 2)]))
