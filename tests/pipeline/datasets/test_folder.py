"""One's own folder: tables of labels, names that hold labels, and whatever may be wrong in them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.folder import pattern as folder_pattern
from pipeline.datasets.folder import reader as folder
from reid.arrays import images
from reid.project.errors import ReidError

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)
HEADER = ("path", "person", "camera", "role", "tracklet", "frame", "viewpoint", "depth_path")
GOOD = (  # two people to train on, one to test, with junk and a distractor
    ("cam1/1_a.jpg", "1", "1", "train", "4", "7", "2", "depth/1_a.png"),
    ("cam2/1_b.png", "1", "2", "train", "", "", "", ""),
    ("cam1/2_a.jpg", "2", "1", "train", "", "", "", ""),
    ("cam1/3_a.jpg", "3", "1", "query", "", "", "", ""),
    ("cam2/3_b.JPG", "3", "2", "gallery", "", "", "", ""),
    ("cam2/x.jpeg", "0", "2", "gallery", "", "", "", ""),
    ("cam2/y.jpg", "-1", "2", "gallery", "", "", "", ""),
)
IDS = sorted(row[0].rpartition(".")[0] for row in GOOD)
SPARE = "cam1/spare.jpg"  # a file that no good row names


def make(root: Path) -> Path:
    for name in (*(row[0] for row in GOOD), SPARE, "depth/1_a.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not looked at")
    return root


def label(root: Path, rows=GOOD, header=HEADER, extra="") -> Path:
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
        file.write(extra)
    return root


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The images, without labels."""
    return make(tmp_path / "mine")


def ids(listing) -> list[str]:
    return sorted(listing.files["image_id"].to_pylist())


# ------------------------------------------------------------------------------- tables of labels


def test_a_row_of_csv_is_a_row(files):
    listing = folder.read(label(files))
    assert listing.files.schema.equals(LISTED)
    assert listing.rejects == []
    assert listing.files.to_pylist()[0] == {
        "path": "cam1/1_a.jpg", "part": "train", "image_id": "cam1/1_a", "person": 1,
        "train": True, "query": False, "gallery": False, "camera": 1, "tracklet": 4, "frame": 7,
        "viewpoint": 2, "depth_path": "depth/1_a.png",
    }  # fmt: skip
    assert listing.files.to_pylist()[1]["depth_path"] is None
    assert listing.files.to_pylist()[1]["tracklet"] is None
    assert ids(listing) == IDS


def test_counts_and_protocol(files):
    listing = folder.read(label(files))
    assert listing.found == {
        "train": 3,
        "train_identities": 2,
        "query": 1,
        "query_identities": 1,
        "gallery": 3,
        "gallery_identities": 1,
        "gallery_distractors": 1,
        "gallery_junk": 1,
    }
    assert tuple(listing.found) == folder_pattern.COUNTS
    (protocol,) = listing.protocols
    assert json.loads(json.dumps(protocol)) == protocol
    assert protocol["rule"] == {
        "exclude": "same_person_same_camera",
        "junk": [-1],
        "distractors": [0],
        "query": "single",
    }


def test_parquet_is_as_good(files):
    expected = folder.read(label(files)).files
    (files / "labels.csv").unlink()
    columns = dict(zip(HEADER, zip(*GOOD, strict=True), strict=True))
    table = {
        name: pa.array(values)
        if name in ("path", "role", "depth_path")
        else pa.array([int(v) if v else None for v in values], pa.float64())  # as pandas has them
        for name, values in columns.items()
    }
    pq.write_table(pa.table(table), files / "labels.parquet")
    assert folder.read(files).files == expected


@pytest.mark.parametrize("name", ["role", "part"])
def test_role_has_two_names(files, name):
    header = tuple(name if column == "role" else column for column in HEADER)
    assert ids(folder.read(label(files, header=header))) == IDS


def test_roles_may_overlap(files):
    header = ("path", "person", "camera", "train", "query", "gallery")
    rows = [
        ("cam1/1_a.jpg", 1, 1, "yes", 0, 1),
        ("cam1/3_a.jpg", 3, 1, "", "True", "TRUE"),
    ]
    result = folder.read(label(files, rows, header)).files.to_pylist()
    assert [(r["part"], r["train"], r["query"], r["gallery"]) for r in result] == [
        ("train", True, False, True),
        ("test", False, True, True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeffpath,person,camera,role\r\n{}\r\n", id="as Excel saves it"),
        pytest.param("path,person,camera,role\r{}\r", id="carriage returns"),
        pytest.param("\n\n path , person,camera ,role\n\n{}\n\n", id="empty lines, spaces"),
    ],
)
def test_spellings_of_csv(files, text):
    lines = ["cam1/1_a.jpg,1,1,train", "./cam1//3_a.jpg, 3 ,1,query", "cam2/3_b.JPG,3.0,2,gallery"]
    end = "\r" if "\r{" in text and "\n" not in text else "\n"
    (files / "labels.csv").write_bytes(text.format(end.join(lines)).encode())
    listing = folder.read(files)
    assert (ids(listing), listing.rejects) == (["cam1/1_a", "cam1/3_a", "cam2/3_b"], [])


# ------------------------------------------------------------- names, tracklets, one camera, files


def test_persons_and_cameras_may_have_names(files):
    people = ["p10", "p9", "e\u0301va", "\u00e9va", "p9", "0", "-1"]
    cameras = ["cam10", "cam2", "cam2", "cam10", "cam2", "cam2", "cam2"]
    rows = [(r[0], person, camera, r[3]) for r, person, camera in
            zip(GOOD, people, cameras, strict=True)]  # fmt: skip
    listing = folder.read(label(files, rows, HEADER[:4]))
    assert listing.rejects == []
    assert listing.files["person"].to_pylist() == [2, 1, 3, 3, 1, 0, -1]
    assert listing.files["camera"].to_pylist() == [2, 1, 1, 2, 1, 1, 1]
    assert listing.names == {
        "persons": {"p9": 1, "p10": 2, "\u00e9va": 3},
        "cameras": {"cam2": 1, "cam10": 2},
    }
    assert listing.notes[0].startswith("3 persons by name, numbered from 1 (p9)")


def test_a_column_of_numbers_has_no_names(files):
    listing = folder.read(label(files, [*GOOD, (SPARE, "anna", "1", "train", *[""] * 4)]))
    assert [r.reason for r in listing.rejects] == [
        "person `anna`: not a whole number of at most 18 digits"
    ]
    assert (listing.names, listing.notes) == ({}, [])


def test_a_tracklet_without_frames_is_in_natural_order(files):
    header = ("path", "person", "camera", "role", "tracklet")
    touch(files, *(f"t/{n}.png" for n in range(1, 13)))
    rows = [*(r[:5] for r in GOOD[1:]), *((f"t/{n}.png", 1, 1, "train", 5) for n in range(1, 13))]
    listing = folder.read(label(files, rows, header))
    frames = {r["path"]: r["frame"] for r in listing.files.to_pylist() if r["tracklet"]}
    assert frames == {f"t/{n}.png": n for n in range(1, 13)}
    assert listing.notes == [
        "1 tracklets without frame numbers: their images are numbered in the order of their names "
        "(1, 2, ..., 10)"
    ]


def test_one_frame_without_a_number_among_others_is_a_reject(files):
    listing = folder.read(label(files, [*GOOD, (SPARE, "1", "1", "train", "4", "", "", "")]))
    assert listing.rejects == [(SPARE, "no frame, where others of tracklet 4 have one")]


def test_of_one_camera_there_is_a_rule_that_needs_no_other(files):
    rows = [(*r[:2], "1", *r[3:]) for r in GOOD]
    listing = folder.read(label(files, rows))
    assert [p["name"] for p in listing.protocols] == ["folder", "all_pairs"]
    assert listing.protocols[1]["rule"]["exclude"] == "none"
    assert listing.notes == ["all images are of one camera: train with `protocol: all_pairs`"]


@pytest.mark.parametrize("ending", ["bmp", "webp", "tif", "TIFF"])
def test_other_formats_are_listed(files, ending):
    touch(files, f"cam1/9.{ending}")
    listing = folder.read(label(files, [*GOOD, (f"cam1/9.{ending}", "1", "1", "train", *[""] * 4)]))
    assert "cam1/9" in ids(listing)


@pytest.mark.parametrize("spelt", ["e\u0301", "\u00e9"])
def test_a_path_meets_the_file_whose_name_is_canonically_equal(files, spelt):
    other = {"e\u0301": "\u00e9", "\u00e9": "e\u0301"}[spelt]
    touch(files, f"{spelt}/{spelt}_1.jpg")
    listing = folder.read(
        label(files, [*GOOD, (f"{other}/{other}_1.jpg", "1", "1", "train", *[""] * 4)])
    )
    assert listing.rejects == []
    assert listing.files["path"].to_pylist()[-1] == f"{spelt}/{spelt}_1.jpg"


# --------------------------------------------------------------------------- labels in file names

PATTERN = (
    r"pattern: '(?P<role>\w+)/(?P<person>-?[0-9]+)_c(?P<camera>[0-9])(_f(?P<frame>[0-9]+))?\.jpg'"
)
BY_FOLDER = r"pattern: '(.*/)?p(?P<person>[0-9]+)_c(?P<camera>[0-9]+)\.\w+'"


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_names_by_a_pattern(tmp_path):
    touch(tmp_path, "train/1_c1_f9.jpg", "query/2_c1.jpg", "test/2_c2.jpg", "test/-1_c2.jpg")
    text = f"{PATTERN}\nroles: {{test: gallery}}\npublished: {{train: 5, query: 1}}\n"
    (tmp_path / "reid.yaml").write_text(text)
    listing = folder.read(tmp_path)
    rows = {r["image_id"]: r for r in listing.files.to_pylist()}
    assert {i: (r["person"], r["camera"], r["frame"]) for i, r in rows.items()} == {
        "train/1_c1_f9": (1, 1, 9),
        "query/2_c1": (2, 1, None),
        "test/2_c2": (2, 2, None),
        "test/-1_c2": (-1, 2, None),
    }
    assert rows["test/2_c2"]["gallery"]
    assert not rows["test/2_c2"]["query"]
    assert listing.protocols[0]["published"] == {"train": 5, "query": 1}


def test_roles_by_folder_the_nearest_counts(tmp_path):
    touch(tmp_path, "a/train/x/p1_c1.jpg", "a/test/p2_c1.png", "train/test/p2_c2.jpg")
    (tmp_path / "reid.yaml").write_text(f"{BY_FOLDER}\nroles: {{test: [query, gallery]}}\n")
    rows = {r["image_id"]: r for r in folder.read(tmp_path).files.to_pylist()}
    roles = {i: [role for role in folder.ROLES if r[role]] for i, r in rows.items()}
    assert roles == {
        "a/train/x/p1_c1": ["train"],
        "a/test/p2_c1": ["query", "gallery"],
        "train/test/p2_c2": ["query", "gallery"],
    }


@pytest.mark.parametrize("at_once", [100_000, 3])
def test_names_that_do_not_match_are_rejects(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(folder_pattern, "MATCHED", at_once)
    touch(tmp_path, "train/p1_c1.jpg", "query/p2_c1.jpg", "gallery/p2_c2.jpg", "notes.txt",
          ".git/p9_c9.jpg", "train/Thumbs.db", "train/stranger.jpg", "p3_c1.jpg",
          "train/p99999_c99999.jpg", "train/p0_c1.jpg", "train/p5_c1\n.jpg",
          "/".join(["d" * 200] * 3) + "/p1_c1.jpg")  # fmt: skip
    (tmp_path / "train" / "away").symlink_to("/")
    (tmp_path / "train" / "p7_c1.jpg").symlink_to("/etc/passwd")
    (tmp_path / "reid.yaml").write_text(BY_FOLDER)
    listing = folder.read(tmp_path)
    assert ids(listing) == ["gallery/p2_c2", "query/p2_c1", "train/p1_c1"]
    result = {name[-30:]: reason for name, reason in listing.rejects}
    long = ("/".join(["d" * 200] * 3) + "/p1_c1.jpg")[-30:]
    assert result == {
        "train/stranger.jpg": "does not match the pattern of reid.yaml",
        "p3_c1.jpg": "no role (there are train, query, gallery)",
        "train/p99999_c99999.jpg": "camera 99999 is not in 0 to 32767",
        "train/p0_c1.jpg": "person 0 is a distractor, which may be in the gallery alone; number "
        "people from 1",
        "train/p5_c1\\n.jpg": "a name that is not printable text",
        long: "a path of 612 characters; at most 512 are matched",
        "train/away": "a link to a folder; these are not followed",
        "train/p7_c1.jpg": "a link that leads out of the data set's folder",
    }


def test_a_pattern_that_would_never_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_pattern, "MATCH_SECONDS", 0.3)
    touch(tmp_path, "a" * 60 + "!.jpg")
    (tmp_path / "reid.yaml").write_text(r"pattern: '(a+)+(?P<person>\d)(?P<camera>\d)\.jpg'")
    with pytest.raises(ReidError, match=r"takes more than 0\.3 s; simplify repeats of repeats"):
        folder.read(tmp_path)


BAD_YAML = {
    "": "must hold `pattern:`",
    "pattern: [a]": "must hold `pattern:`",
    'pattern: "\\d"': "not valid YAML",
    "pattern: a\npattern: b": "not valid YAML",
    "a: &a [*b]": "not valid YAML",
    "[" * 3000: "not valid YAML",
    "\x00": "not valid YAML",
    "pattern: '('": "pattern is no regular expression: missing",
    "pattern: '(?P<person>a)(?P<person>b)'": "redefinition of group",
    "pattern: 'a{99999999999}'": "pattern is no regular expression",
    "pattern: '[0-9]'": r"pattern has no group person, camera; write one as \(\?P<person>",
    "pattern: '(?P<person>1)'": r"pattern has no group camera; write one as \(\?P<camera>",
    "pattern: '(?P<person>1)(?P<cam>1)'": "has a group `cam`.*may have person, camera",
    "pattern: '(?P<person>1)(?P<camara>1)'": "`camara`; did you mean `camera`",
    "pattern: '" + "a" * 600 + "'": "pattern of 600 characters; at most 512",
    f"{BY_FOLDER}\nrole: {{}}": "no key `role`; did you mean `roles`",
    f"{BY_FOLDER}\nroles: train": "`roles` must be names with values",
    f"{BY_FOLDER}\nroles: {{a: test}}": "roles: `a` must be one or a list of train, query",
    f"{BY_FOLDER}\nroles: {{a: []}}": "roles: `a` must be one or a list",
    f"{BY_FOLDER}\nroles: &a {{a: *a}}": "roles: `a` must be one or a list",
    f"{BY_FOLDER}\npublished: {{trian: 3}}": "published has no `trian`; did you mean `train`",
    f"{BY_FOLDER}\npublished: {{train: many}}": "published: `train` must be a whole number",
    BY_FOLDER: "no train and no query and no gallery image among 0 good rows and 0 rejects",
}


@pytest.mark.parametrize(("text", "message"), BAD_YAML.items(), ids=[t[:50] for t in BAD_YAML])
def test_a_wrong_reid_yaml_is_one_line(tmp_path, text, message):
    (tmp_path / "reid.yaml").write_text(text)
    with pytest.raises(ReidError, match=message) as caught:
        folder.read(tmp_path)
    assert str(caught.value).isprintable()


# ---------------------------------------------------------------------------------- wrong folders


def test_a_wrong_root_is_one_line(tmp_path):
    with pytest.raises(ReidError, match=r"holds none of labels.csv, labels.parquet, reid.yaml"):
        folder.read(tmp_path)
    with pytest.raises(ReidError, match="no such folder"):
        folder.read(tmp_path / "none")
    with pytest.raises(ReidError, match="no such folder"):
        folder.read(tmp_path / ("x" * 5000))


def test_two_sources_of_labels_are_refused(files):
    (label(files) / "reid.yaml").touch()
    with pytest.raises(ReidError, match=r"holds labels\.csv and reid\.yaml; keep the one"):
        folder.read(files)


LINE = "cam1/1_a.jpg,1,1,train\n"
BAD_CSV = {  # the file's bytes: the error
    b"": "empty; its first line must name path, person, camera",
    b"path,person,camera,role\n": "no train and no query and no gallery image among 0 good rows",
    b"path;person;camera\n": "separate columns by commas",
    b"path,persn,camera\n": r"no column `persn`; did you mean `person`\? \(it may have path",
    b"Path,person,camera\n": "no column `Path`; did you mean `path`",
    b"path,person\n": "no column camera",
    b"path,person,camera,camera\n": "column `camera` stands there twice",
    b"path,person,camera,role,part\n": "columns role, part give roles in two ways",
    b"path,person,camera,role,query\n": "columns role, query give roles in two ways",
    "path,person,camera,rôle\n".encode("latin-1"): "not UTF-8 at byte 20; save it as UTF-8",
    "path,person,camera\n".encode("utf-16"): "not UTF-8 at byte 0",
    "path,person,camera\n".encode("utf-16-le"): r"no column `p\\x00a",
    b'path,person,camera\n"a,1,2\nb,1,2\n': "line 3: .*is a quote not closed",
    b'path,person,camera\n"a"b,1,2\n': "line 2: ",
    b"path,person,camera\n" + b"x" * 200_000: "line 2: field larger",
    b"path,person,camera\n" + LINE.encode(): r"first reject: labels\.csv:2: 4 values in a row",
    b"path,person,camera\ncam1/1_a.jpg,1,1\n": r"give roles in a column `role`.*no role",
    b"path,person,camera,role\n" + LINE.encode(): "no query and no gallery image among 1 good",
    b"path,person,camera,role\ncam1/2_a.jpg,2,1,train\ncam1/1_a.jpg,anna,1,train\n": (
        "person `anna`: not a whole number"
    ),
    b"PAR1 not at all PAR1": "no column `PAR1 not at all PAR1`",
}


@pytest.mark.parametrize(("data", "message"), BAD_CSV.items(), ids=[repr(d[:40]) for d in BAD_CSV])
def test_a_wrong_table_is_one_line(files, data, message):
    (files / "labels.csv").write_bytes(data)
    with pytest.raises(ReidError, match=message) as caught:
        folder.read(files)
    assert str(caught.value).isprintable()


def test_a_wrong_parquet_file_is_one_line(files):
    path = files / "labels.parquet"
    for data in (b"", b"PAR1", b"PAR1 not at all PAR1", b"path,person,camera\n"):
        path.write_bytes(data)
        with pytest.raises(ReidError, match="cannot be read as Parquet: "):
            folder.read(files)
    pq.write_table(pa.table({"path": ["a.jpg"], "persons": [1], "camera": [1]}), path)
    with pytest.raises(ReidError, match="no column `persons`; did you mean `person`"):
        folder.read(files)


def test_odd_types_of_parquet_are_rejects(files):
    table = {"path": [b"cam1/1_a.jpg"], "person": [[1]], "camera": [True], "role": [3]}
    pq.write_table(pa.table(table), files / "labels.parquet")
    with pytest.raises(ReidError, match=r"first reject: labels\.parquet:1: no path"):
        folder.read(files)
    for column, message in (
        ("person", r"person `\[1\]`"), ("camera", "camera `True`"), ("role", "role `3`")
    ):  # fmt: skip
        good = {"path": ["cam1/1_a.jpg"], "person": [1], "camera": [1], "role": ["train"]}
        pq.write_table(pa.table(good | {column: table[column]}), files / "labels.parquet")
        with pytest.raises(ReidError, match=message):
            folder.read(files)


# ------------------------------------------------------------------------------- rows with damage


def row(**changed: str) -> tuple[str, ...]:
    good = dict.fromkeys(HEADER, "") | {
        "path": SPARE, "person": "8", "camera": "1", "role": "train"
    }  # fmt: skip
    return tuple((good | changed).values())


OUT = "leads out of the data set's folder; write the path below it"
NO_FILE = "not a file such as name.jpg (.jpg, .jpeg, .png, .bmp, .webp, .tif, .tiff are read)"
BAD_ROWS = {  # a row beside the good ones: the reason of its reject
    row(path="cam1/none.jpg"): "no such file",
    row(path="cam1/1_a.jpg/x.jpg"): "no such file",
    row(path="cam1\\spare.jpg"): "no such file; write / between folders",
    row(path="../mine/cam1/spare.jpg"): OUT,
    row(path="cam1/../../../etc/passwd.jpg"): OUT,
    row(path="/etc/passwd"): OUT,
    row(path=""): "no path",
    row(path="cam1"): NO_FILE,
    row(path="labels.csv"): NO_FILE,
    row(path="cam1/.jpg"): NO_FILE,
    row(path="cam1/spare.gif"): NO_FILE,
    row(path="cam1/a#b.jpg"): "`#` in a path; rename the file",
    row(path="cam1/a\nb.jpg"): "a path that is not printable text",
    row(path="x" * 600): "a path of 600 characters; at most 512",
    row(path="x" * 400 + ".jpg"): "cannot be looked at: File name too long",
    row(path="cam1/1_a.jpg"): "listed before, at labels.csv:2, with or without another ending; "
    "columns train, query and gallery give several roles",
    row(path="./cam1//1_a.jpg"): "listed before, at labels.csv:2, with or without another ending; "
    "columns train, query and gallery give several roles",
    row(path="cam1/1_a.png"): "listed before, at labels.csv:2, with or without another ending; "
    "columns train, query and gallery give several roles",
    row(path="out.jpg"): "a link that leads out of the data set's folder",
    row(path="outside/a.jpg"): "a link that leads out of the data set's folder",
    row(path="dangling.jpg"): "no such file",
    row(path="loop.jpg"): "cannot be looked at: Too many levels of symbolic links",
    row(path="folder.jpg"): "a folder",
    row(path="pipe.jpg"): "neither file nor folder",
    row(person=""): "no person",
    row(person="1.5"): "person `1.5`: not a whole number of at most 18 digits",
    row(person="nan"): "person `nan`: not a whole number of at most 18 digits",
    row(person="٣"): "person `٣`: not a whole number of at most 18 digits",
    row(person="9" * 5000): f"person `{'9' * 40}`: not a whole number of at most 18 digits",
    row(person="2147483648"): "person 2147483648 is not in -1 to 2147483647",
    row(person="-2"): "person -2 is not in -1 to 2147483647",
    row(person="0"): "person 0 is a distractor, which may be in the gallery alone; number people "
    "from 1",
    row(person="-1", role="query"): "person -1 is junk, which may be in the gallery alone; number "
    "people from 1",
    row(camera=""): "no camera",
    row(camera="-1"): "camera -1 is not in 0 to 32767",
    row(camera="32768"): "camera 32768 is not in 0 to 32767",
    row(camera="c1"): "camera `c1`: not a whole number of at most 18 digits",
    row(tracklet="-1"): "tracklet -1 is not in 0 to 2147483647",
    row(frame="early"): "frame `early`: not a whole number of at most 18 digits",
    row(viewpoint="128"): "viewpoint 128 is not in -128 to 127",
    row(role=""): "no role (there are train, query, gallery)",
    row(role="test"): "role `test` (there are train, query, gallery)",
    row(role="galery"): "role `galery`; did you mean `gallery`? (there are train, query, gallery)",
    row(role="a\nb"): "role `a\\nb` (there are train, query, gallery)",
    row(depth_path="depth/none.png"): "depth: no such file",
    row(depth_path="../depth/1_a.png"): f"depth: {OUT}",
    row(depth_path="cam1/1_a.jpg"): "depth: not a file such as name.png (.png are read)",
    ("short",): "1 values in a row; the header names 8",
    (*row(), "long"): "9 values in a row; the header names 8",
}


def odd_files(root: Path) -> None:
    (root / "out.jpg").symlink_to("/etc/passwd")
    (root / "outside").symlink_to("..")
    (root.parent / "a.jpg").touch()
    (root / "dangling.jpg").symlink_to("nowhere")
    (root / "loop.jpg").symlink_to("loop.jpg")
    (root / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")


@pytest.mark.parametrize(
    ("bad", "reason"), BAD_ROWS.items(), ids=[f"{','.join(r)[:40]}"[:40] for r in BAD_ROWS]
)
def test_a_bad_row_is_a_reject_with_its_reason(files, bad, reason):
    odd_files(files)
    listing = folder.read(label(files, [*GOOD, bad]))
    assert [r.reason for r in listing.rejects] == [reason]
    assert listing.rejects[0].image_id.isprintable()
    assert listing.rejects[0].image_id
    assert ids(listing) == IDS


def test_rejects_are_in_the_order_of_rows_and_a_rejected_row_is_no_first_one(files):
    bad = (
        ("cam1/1_a.png", *GOOD[0][1:4], "", "", "", ""),  # as row 2, and not there
        ("cam1/spare.png", "1", "1", "train", "", "", "", ""),  # not there
        (SPARE, "1", "1", "train", "", "", "", ""),  # so it is the first of its name
        ("cam1/spare.png", "1", "1", "train", "", "", "", ""),
        ("cam1/1_a.jpg", "x", "1", "train", "", "", "", ""),
    )
    listing = folder.read(label(files, (*GOOD, *bad)))
    assert ids(listing) == sorted([*IDS, "cam1/spare"])
    said = "listed before, at labels.csv:{}, with or without another ending; columns train"
    found = [(reject.image_id, reject.reason[: len(said)]) for reject in listing.rejects]
    assert [image_id for image_id, _ in found] == [row[0] for row in bad if row[0] != SPARE]
    assert found[0][1].startswith(said.format(2)[:30])
    assert found[1][1] == "no such file"
    assert found[2][1].startswith("listed before, at labels.csv:11")
    assert found[3][1].startswith("person `x`")


def test_a_link_inside_and_a_root_that_is_a_link_are_fine(files, tmp_path):
    (files / "again.jpg").symlink_to("cam1/1_a.jpg")
    label(files, [*GOOD, row(path="again.jpg")])
    (tmp_path / "linked").symlink_to(files)
    listing = folder.read(tmp_path / "linked")
    assert (ids(listing), listing.rejects) == (sorted([*IDS, "again"]), [])


@pytest.mark.parametrize("text", ["maybe", "2", "None", "t r u e"])
def test_what_is_not_true_or_false_is_a_reject(files, text):
    rows = [("cam1/1_a.jpg", 1, 1, "true", 1, 1), (SPARE, 2, 1, text, 1, 1)]
    header = ("path", "person", "camera", "train", "query", "gallery")
    listing = folder.read(label(files, rows, header))
    assert listing.rejects == [(SPARE, f"train `{text}`: not true or false")]


# ------------------------------------------------------------------------------- damage at random

CELL = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
CELLS = CELL | st.sampled_from([c for bad in BAD_ROWS for c in bad])


@st.composite
def damaged_row(draw) -> list[str]:
    """A row of good labels with some cells changed, and perhaps more or fewer of them."""
    cells = list(draw(st.sampled_from([row(), *BAD_ROWS, *GOOD])))
    for at in draw(st.lists(st.integers(0, len(cells) - 1), max_size=2)):
        cells[at] = draw(CELLS)
    return cells + draw(st.lists(CELL, max_size=1))


@settings(max_examples=60)
@given(st.lists(damaged_row(), max_size=8))
@example([["\r"], [""], ['"'], ["\x00"] * 8])
def test_bad_rows_never_lose_good_ones(tmp_path_factory, rows):
    root = make(tmp_path_factory.mktemp("damaged") / "mine")
    odd_files(root)
    listing = folder.read(label(root, [*GOOD, *rows]))
    result = ids(listing)
    assert len(set(result)) == len(result)
    assert set(IDS) <= set(result)
    assert len(result) + len(listing.rejects) == len(GOOD) + sum(r != [] for r in rows)
    for path in listing.files["path"].to_pylist():
        assert str((root / path).resolve()).startswith(f"{root.resolve()}/")
        assert (root / path).is_file()
    for reject in listing.rejects:
        assert reject.reason
        assert f"{reject.image_id}{reject.reason}".isprintable()


TEXT = "\n".join(",".join(cells) for cells in (HEADER, *GOOD)).encode()
YAML_TEXT = f"{BY_FOLDER}\nroles: {{test: [query, gallery]}}\npublished: {{train: 1}}\n".encode()


@st.composite
def broken(draw, good: bytes) -> bytes:
    """A file with some bytes taken out and others put in."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 20)) :]
    return data


def read_or_refuse(root: Path) -> None:
    try:
        shown = [f"{reject.image_id}{reject.reason}" for reject in folder.read(root).rejects]
    except ReidError as error:
        shown = [str(error)]
    assert all(text.isprintable() for text in shown)


@settings(max_examples=60)
@given(broken(TEXT) | st.binary(max_size=80))
def test_a_broken_csv_never_ends_in_a_traceback(tmp_path_factory, data):
    root = make(tmp_path_factory.mktemp("broken"))
    (root / "labels.csv").write_bytes(data)
    read_or_refuse(root)


@settings(max_examples=60)
@given(broken(YAML_TEXT) | st.binary(max_size=80))
@example(b"pattern: 2001-13-45\nroles: !!binary x")
@example(b"pattern: !!python/object:os.system x")
def test_a_broken_reid_yaml_never_ends_in_a_traceback(tmp_path_factory, data):
    root = touch(tmp_path_factory.mktemp("broken"), "train/p1_c1.jpg", "test/p2_c2.jpg")
    (root / "reid.yaml").write_bytes(data)
    read_or_refuse(root)


# ---------------------------------------------------------------------------------------- writing


@st.composite
def samples(draw) -> Sample:
    role = draw(st.sampled_from(folder.ROLES))
    person = st.integers(-1 if role == "gallery" else 1, 2**31 - 1)
    return Sample(
        IMAGE, draw(person), draw(st.integers(0, 2**15 - 1)), role,
        frame=draw(st.integers(0, 2**31 - 1)), tracklet=draw(st.integers(0, 3)),
        viewpoint=draw(st.none() | st.integers(-128, 127)),
        depth_mm=draw(st.none() | st.just(np.full((4, 2), 900, np.uint16))),
    )  # fmt: skip


def sample(person=1, camera=1, role="train", **other) -> Sample:
    return Sample(IMAGE, person, camera, role, **other)


EACH = [sample(1), sample(2, role="query"), sample(2, 2, role="gallery")]


@settings(max_examples=60)
@given(st.lists(samples(), max_size=8))
def test_what_is_written_is_read(tmp_path_factory, more):
    root, given_samples = tmp_path_factory.mktemp("written"), [*EACH, *more]
    written_ids = list(folder.write(root, given_samples))
    listing = folder.read(root)
    assert listing.rejects == []
    assert listing.files["image_id"].to_pylist() == written_ids
    for result, written in zip(listing.files.to_pylist(), given_samples, strict=True):
        for name in ("person", "camera", "frame", "viewpoint"):
            assert result[name] == getattr(written, name)
        assert result["tracklet"] == (written.tracklet or None)
        assert [role for role in folder.ROLES if result[role]] == [written.role]
        assert (result["depth_path"] is None) == (written.depth_mm is None)
        if written.depth_mm is not None:
            depth = images.decode_depth((root / result["depth_path"]).read_bytes())
            assert (depth == written.depth_mm).all()


def test_pixels_and_given_bytes_are_kept(tmp_path):
    png = images.encode_png(IMAGE)
    first, second = folder.write(tmp_path / "a", [sample(1), sample(2, encoded=png)])
    assert (first, second) == ("train/0001_c1_000000", "train/0002_c1_000001")
    assert (tmp_path / "a" / f"{second}.png").read_bytes() == png
    data = (tmp_path / "a" / f"{first}.jpg").read_bytes()
    assert np.abs(images.decode(data).astype(int) - IMAGE).max() <= 3
    (third,) = folder.write(tmp_path / "b", [sample(1)], lossless=True)
    assert (images.decode((tmp_path / "b" / f"{third}.png").read_bytes()) == IMAGE).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(sample(role="probe"), "role `probe`", id="role"),
        pytest.param(sample(role="../x"), "leads out of", id="role that is a path"),
    ],
)
def test_what_would_be_rejected_is_not_written(tmp_path, bad, message):
    with pytest.raises(ReidError, match=message):
        list(folder.write(tmp_path / "new", [bad]))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_run_that_stops_leaves_no_labels(tmp_path):
    written = folder.write(tmp_path, EACH)
    next(iter(written))
    assert not (tmp_path / "labels.csv").exists()
    with pytest.raises(ReidError, match="holds none of"):
        folder.read(tmp_path)
