"""OPR in our layout: people entering and leaving, ten random halves, and damage."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.opr import reader as opr
from reid.project.errors import ReidError

COLOUR = np.full((6, 8, 3), (200, 40, 90), np.uint8)
PERSONS = (1, 2, 3, 7)


def depth_of(number: int) -> np.ndarray:
    depth = np.full((6, 8), 3000, np.uint16)
    depth[2, 3] = 1200 + number % 1000
    return depth


def samples(persons=PERSONS):
    for person in persons:
        for camera in (1, 2):
            for frame in (5, 12):
                yield Sample(COLOUR, person, camera, "train", frame=frame, depth_mm=depth_of(frame))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "data/0-raw/door"
    assert next(iter(list(opr.write(home, samples())))) == "01/enter/rgb_000005"
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


# ---------------------------------------------------------------------------------------- reading


def test_a_frame_gives_its_row(root):
    listing = opr.read(root)
    assert (listing.files.schema.equals(LISTED), listing.rejects) == (True, [])
    train = 7 in opr.split(list(PERSONS), 1)[0]
    assert rows_of(listing)["07/leave/rgb_000012"] == {
        "path": "07/leave/rgb_000012.png", "part": "all", "image_id": "07/leave/rgb_000012",
        "person": 7, "train": train, "query": not train, "gallery": False, "camera": 2,
        "tracklet": 1, "frame": 12, "viewpoint": None, "depth_path": "07/leave/depth_000012.png",
    }  # fmt: skip


def test_ten_splits_and_the_first_is_in_the_columns(root):
    listing = opr.read(root)
    assert json.loads(json.dumps(listing.protocols)) == listing.protocols
    assert [p["name"] for p in listing.protocols] == [f"split-{k:02d}" for k in range(1, 11)]
    first, *others = (p["members"] for p in listing.protocols)
    assert first == "columns"
    for protocol, members in zip(listing.protocols[1:], others, strict=True):
        train, test = opr.split(list(PERSONS), protocol["rule"]["seed"])
        assert members == {
            "train": {"persons": train},
            "query": {"persons": test, "cameras": [2]},
            "gallery": {"persons": test, "cameras": [1]},
        }
    train, test = (set(persons) for persons in opr.split(list(PERSONS), 1))
    for row in listing.files.to_pylist():
        assert row["train"] == (row["person"] in train)
        assert row["query"] == (row["person"] in test and row["camera"] == 2)
        assert row["gallery"] == (row["person"] in test and row["camera"] == 1)


def test_counts(root):
    assert opr.read(root).found == {
        "images": 16, "identities": 4, "train": 8, "train_identities": 2, "query": 4,
        "query_identities": 2, "gallery": 4, "gallery_identities": 2,
    }  # fmt: skip


def test_64_persons_are_32_and_32_and_the_splits_differ():
    splits = [opr.split(list(range(1, 65)), seed) for seed in range(1, 11)]
    assert {(len(train), len(test)) for train, test in splits} == {(32, 32)}
    assert len({tuple(train) for train, _ in splits}) == 10


def test_who_is_seen_in_one_view_alone_has_no_role(root):
    for path in (root / "07/leave").iterdir():
        path.unlink()
    listing = opr.read(root)
    alone = [row for row in listing.files.to_pylist() if row["person"] == 7]
    assert [(r["train"], r["query"], r["gallery"]) for r in alone] == [(False,) * 3] * 2
    assert {7} & {
        p for s in listing.protocols[1:] for p in s["members"]["train"]["persons"]
    } == set()


# -------------------------------------------------------------------------------------- the table


def table_of(root: Path, order=("rgb", "depth", "person", "view", "pair")) -> list[dict]:
    """Write opr.csv of the frames, moved elsewhere; returns its rows."""
    rows = []
    for row in opr.read(root).files.to_pylist():
        number = len(rows)
        for kind, path in (("l", row["path"]), ("d", row["depth_path"])):
            (root / "files").mkdir(exist_ok=True)
            (root / path).rename(root / f"files/{kind}{number}.png")
        rows.append({
            "rgb": f"files/l{number}.png", "depth": f"files/d{number}.png",
            "person": row["person"], "view": opr.VIEWS[row["camera"] - 1], "pair": row["frame"],
        })  # fmt: skip
    with (root / "opr.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, order)
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.mark.parametrize("order", [("rgb", "depth", "person", "view", "pair"),
                                   ("view", "pair", "person", "depth", "rgb")])  # fmt: skip
def test_a_table_says_the_same_as_folders(root, order):
    before = opr.read(root)
    rows = table_of(root, order)
    after = opr.read(root)
    assert after.rejects == []
    for name in ("person", "camera", "frame", "train", "query", "gallery", "tracklet"):
        assert after.files[name] == before.files[name]
    assert after.files["path"].to_pylist() == [row["rgb"] for row in rows]
    assert after.files["depth_path"].to_pylist() == [row["depth"] for row in rows]
    assert after.protocols[1:] == before.protocols[1:]


NOT_BELOW = "not a path below this folder, with .png"
LINES = {  # a further line of the table: why it is a reject
    "files/l1.png,files/d1.png,9,enter,3": "named on line 3 already",
    "files/d0.png,files/l0.png,1,enter,5": "named on line 2 already",
    "files/new.png,files/d0.png,9,enter,3": "rgb: no file files/new.png",
    "files,files/d0.png,9,enter,3": "rgb `files`: not a path below this folder, with .png or .jpg",
    "files/l0.png,files/none.png,9,enter,3": "depth: no file files/none.png",
    "files/l0.png,files/d0.jpg,9,enter,3": f"depth `files/d0.jpg`: {NOT_BELOW}",
    "files/l0.png,/etc/d0.png,9,enter,3": f"depth `/etc/d0.png`: {NOT_BELOW}",
    "files/l0.png,../door/files/d0.png,9,enter,3": f"depth `../door/files/d0.png`: {NOT_BELOW}",
    "files/l0.png,,9,enter,3": f"depth ``: {NOT_BELOW}",
    "files/l0.png,files/d0.png,9,out,3": "view `out` (enter or leave)",
    "files/l0.png,files/d0.png,anna,enter,3": "person `anna`: not a whole number",
    "files/l0.png,files/d0.png,-1,enter,3": "person `-1`: not a whole number",
    "files/l0.png,files/d0.png,0,enter,3": "person 0; number people from 1",
    "files/l0.png,files/d0.png,9,enter,3.5": "pair `3.5`: not a whole number",
    "files/l0.png,files/d0.png,9,enter,": "pair ``: not a whole number",
    "files/l0.png,files/d0.png,9,enter": "4 cells in place of 5",
    "files/l0.png,files/d0.png,9,enter,3,7": "6 cells in place of 5",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_does_not_fit_is_a_reject(root, line):
    table_of(root)
    with (root / "opr.csv").open("a") as file:
        file.write(f"{line}\n")
    listing = opr.read(root)
    assert dict(listing.rejects) == {"opr.csv#18": LINES[line]}
    assert listing.files.num_rows == 16


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "the first line must name rgb, depth, person, view, pair", id="empty"),
        pytest.param("rgb,depth,person,view\n", "the first line must name", id="a column missing"),
        pytest.param(
            "rgb,depth,person,view,pair,rgb\n", "the first line must name", id="a column twice"
        ),
        pytest.param('rgb,depth,person,view,pair\n"a\n', "line 2: unexpected end", id="a quote"),
        pytest.param("rgb,depth,person,view,pair\n", "0 persons are seen in both", id="no row"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(root, text, reason):
    (root / "opr.csv").write_text(text)
    with pytest.raises(ReidError, match=reason) as error:
        opr.read(root)
    assert str(error.value).isprintable()


# ------------------------------------------------------------------------------ damage of folders


def touch(path: str):
    def harm(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()

    return harm


NO_FRAME = "not a frame such as rgb_000012.png or depth_000012.png"
REJECTED = {
    "no depth": (
        lambda r: (r / "02/enter/depth_000005.png").unlink(),
        {"02/enter/rgb_000005.png": "no depth of frame 5"},
    ),
    "no colour": (
        lambda r: (r / "02/enter/rgb_000005.png").unlink(),
        {"02/enter/depth_000005.png": "no colour of frame 5"},
    ),
    "depth as JPEG": (
        touch("02/enter/depth_000007.jpg"),
        {"02/enter/depth_000007.jpg": "depth must be a 16-bit PNG"},
    ),
    "a frame in two files": (
        touch("02/enter/rgb_5.png"), {"02/enter/rgb_5.png": "frame 5 is rgb_000005.png already"},
    ),
    "another name": (touch("02/enter/colour_5.png"), {"02/enter/colour_5.png": NO_FRAME}),
    "another case": (touch("02/enter/RGB_5.PNG"), {"02/enter/RGB_5.PNG": NO_FRAME}),
    "another view": (touch("02/side/rgb_5.png"), {"02/side": "not a view (enter or leave)"}),
    "a file beside the views": (touch("02/rgb_5.png"), {"02/rgb_5.png": "a file beside the views"}),
    "no person": (touch("anna/enter/rgb_5.png"), {"anna": "not a person's folder such as 07"}),
    "person 0": (touch("00/enter/rgb_5.png"), {"00": "not a person's folder such as 07"}),
    "a person twice": (touch("2/enter/rgb_5.png"), {"2": "person 2 is 02 already"}),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected = REJECTED[damage]
    before = set(rows_of(opr.read(root)))
    harm(root)
    listing = opr.read(root)
    assert dict(listing.rejects) == expected
    lost = {"02/enter/rgb_000005"} if damage in ("no depth", "no colour") else set()
    renamed = {i.replace("rgb_5", "rgb_000005") for i in rows_of(listing)}
    assert renamed == before - lost


def test_fewer_than_two_persons_are_refused(tmp_path):
    list(opr.write(tmp_path / "one", samples([4])))
    with pytest.raises(ReidError, match="1 persons are seen in both views; two are needed"):
        opr.read(tmp_path / "one")
    with pytest.raises(ReidError, match="none: cannot be read"):
        opr.read(tmp_path / "none")
