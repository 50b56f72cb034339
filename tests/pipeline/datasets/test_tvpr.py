"""TVPR as extracted frames: passages, tables and files that do not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.tvpr import reader as tvpr
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project

COLOUR = np.full((6, 8, 3), (200, 40, 90), np.uint8)
WALKS = (  # person, camera (first or second passage), recording, frames
    (1, 1, 9, (2, 10)),  # 2 before 10: by number, not by name
    (2, 1, 9, (40, 41)),
    (1, 2, 9, (90, 91)),
    (2, 2, 12, (7, 8)),  # comes back in a later recording
)


def depth_of(number: int) -> np.ndarray:
    depth = np.full((6, 8), 3000, np.uint16)
    depth[2, 3], depth[0, 0] = 1200 + number, 0
    return depth


def samples():
    for person, camera, recording, frames in WALKS:
        for frame in frames:
            role = "train" if camera == 1 else "query"
            yield Sample(COLOUR, person, camera, role, frame=frame, tracklet=recording,
                         depth_mm=depth_of(frame))  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "data/0-raw/top"
    ids = list(tvpr.write(home, samples()))
    assert ids[0] == "009/img/2"
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


# ---------------------------------------------------------------------------------------- reading


def test_a_frame_gives_its_row(root):
    files = tvpr.read(root).files
    assert files.schema.equals(LISTED)
    assert rows_of(tvpr.read(root))["009/img/90"] == {
        "path": "009/img/90.png", "part": "test", "image_id": "009/img/90", "person": 1,
        "train": False, "query": True, "gallery": False, "camera": 2, "tracklet": 9, "frame": 90,
        "viewpoint": None, "depth_path": "009/depth/90.png",
    }  # fmt: skip


def test_first_passages_are_trained_on_and_searched(root):
    listing = tvpr.read(root)
    assert listing.rejects == []
    for row in listing.files.to_pylist():
        first = row["camera"] == 1
        assert (row["train"], row["gallery"], row["query"]) == (first, first, not first)
    assert listing.found == {
        "recordings": 2, "identities": 2, "images": 8, "train": 4, "train_identities": 2,
        "query": 4, "query_identities": 2, "gallery": 4, "gallery_identities": 2,
    }  # fmt: skip


def test_the_tables_are_as_the_authors_tools_write_them(root):
    assert (root / "009/009_color.csv").read_text().splitlines()[0] == "009;001;2;66666"
    depth = (root / "009/009_depth.csv").read_text().splitlines()[0]
    assert depth == "009;001;2;67106;1798.0;3;2"  # 3000 - 1202 mm above the floor at x 3, y 2
    assert (root / "id.csv").read_text() == (
        "recording;passage;person\n009;001;001\n009;002;002\n009;003;001\n012;001;002\n"
    )


def test_the_protocol_names_the_94_persons_that_were_tested(root):
    (protocol,) = tvpr.read(root).protocols
    assert json.loads(json.dumps(protocol)) == protocol
    assert protocol["published"]["identities"] == 100
    assert protocol["published"]["query_identities"] == 94
    assert (protocol["members"], protocol["metrics"]) == ("columns", ["cmc"])
    assert protocol["rule"]["query"] == protocol["rule"]["gallery"] == "tracklet"


def test_frames_of_nobody_and_files_beside_are_passed_over(root):
    for kind in ("color", "depth"):
        with (root / f"009/009_{kind}.csv").open("a") as table:
            table.write("009;NULL;500;16666666;NULL;NULL;NULL\n\n")
    (root / "009/img/500.png").touch()
    (root / "009/video.oni").touch()
    (root / "readme.txt").touch()
    (root / "009/img/Thumbs.db").touch()
    listing = tvpr.read(root)
    assert (listing.files.num_rows, listing.rejects) == (8, [])


def test_who_comes_first_is_said_by_the_table_of_persons_not_by_what_is_left(root):
    for frame in (2, 10):
        (root / f"009/img/{frame}.png").unlink()
    left = [row for row in tvpr.read(root).files.to_pylist() if row["person"] == 1]
    assert [(row["camera"], row["train"]) for row in left] == [(2, False)] * 2


# ----------------------------------------------------------------------------------------- damage


def line(root: Path, name: str, number: int, text: str) -> None:
    """Put `text` in place of a line."""
    lines = (root / name).read_text().splitlines()
    lines[number] = text
    (root / name).write_text("\n".join(lines) + "\n")


def append(root: Path, name: str, text: str) -> None:
    with (root / name).open("a") as file:
        file.write(text)


def unlink(name: str):
    return lambda root: (root / name).unlink()


C, D = "009/009_color.csv", "009/009_depth.csv"
NEITHER = "frame 77 is in neither table"
REJECTED = {  # damage: what it does, and the rejects; the other rows stay
    "no colour": (unlink("009/img/2.png"), {"009/img/2": "no colour frame in img/"}),
    "no depth": (unlink("009/depth/2.png"), {"009/img/2": "no depth frame in depth/"}),
    "a passage that id.csv lacks": (
        lambda r: line(r, "id.csv", 4, ""),
        {f"012/img/{f}": "passage 1 of recording 12 is not in id.csv" for f in (7, 8)},
    ),
    "a third passage": (
        lambda r: line(r, "id.csv", 4, "012;001;1"),
        {f"012/img/{f}": "passage 3 of person 1; TVPR has two of each" for f in (7, 8)},
    ),
    "a passage without frames": (
        lambda r: append(r, "id.csv", "012;044;5\n"),
        {"id.csv#012;044": "no frame of this passage is there"},
    ),
    "no row of colour": (
        lambda r: line(r, C, 0, ""), {"009/img/2": "no row in _color.csv"},
    ),
    "no row of depth": (
        lambda r: line(r, D, 0, ""), {"009/img/2": "no row in _depth.csv"},
    ),
    "tables that disagree": (
        lambda r: line(r, D, 0, "009;002;2;67106"),
        {"009/img/2": "passage 1 in _color.csv, 2 in _depth.csv"},
    ),
    "nobody in one table": (
        lambda r: line(r, D, 0, "009;NULL;2;67106"),
        {"009/img/2": "passage 1 in _color.csv, NULL in _depth.csv"},
    ),
    "clocks apart": (
        lambda r: line(r, D, 0, "009;001;2;266666"),
        {"009/img/2": "colour and depth are 200,000 microseconds apart"},
    ),
    "a row of text": (
        lambda r: append(r, C, "frame;who\n"),
        {f"{C}#7": "not a row such as 009;001;84;2915892"},
    ),
    "a negative frame": (
        lambda r: append(r, C, "009;001;-4;1"), {f"{C}#7": "not a row such as 009;001;84;2915892"},
    ),
    "a frame twice": (
        lambda r: append(r, C, "009;002;10;1"), {f"{C}#7": "frame 10 a second time"},
    ),
    "another recording's row": (
        lambda r: append(r, C, "008;001;77;1"),
        {f"{C}#7": "of recording 008, in the folder of 9"},
    ),
    "a file that no table knows": (
        lambda r: (r / "009/img/77.png").touch(), {"009/img/77.png": NEITHER},
    ),
    "depth that no table knows": (
        lambda r: (r / "009/depth/77.png").touch(), {"009/depth/77.png": NEITHER},
    ),
    "a frame in two files": (
        lambda r: (r / "009/img/02.png").touch(), {"009/img/2.png": "frame 2 is 02.png already"},
    ),
    "depth as JPEG": (
        lambda r: (r / "009/depth/2.jpg").touch(),
        {"009/depth/2.jpg": "not a frame such as 84.png in depth/"},
    ),
    "an odd folder": (
        lambda r: (r / "session nine").mkdir(),
        {"session nine": "not a recording's folder such as 009"},
    ),
    "a recording twice": (
        lambda r: (r / "9").mkdir(), {"9": "recording 9 is in 009 already"},
    ),
}  # fmt: skip
REFUSED = {  # damage: what it does, and the one line
    "a header alone": (
        lambda r: (r / "id.csv").write_text("recording;passage;person\n"), "no line; write",
    ),
    "a broken line": (lambda r: append(r, "id.csv", "009;x;3"), "line 6 is `009;x;3`; write"),
    "a line cut off": (lambda r: append(r, "id.csv", "009;004"), "line 6 is `009;004`"),
    "person 0": (lambda r: append(r, "id.csv", "009;004;0"), "persons from 1"),
    "a passage twice": (
        lambda r: append(r, "id.csv", "009;001;5"), "line 6 names passage 009;001 again",
    ),
    "id.csv in UTF-16": (
        lambda r: (r / "id.csv").write_text("009;001;5\n", "utf-16"), "line 1 is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected = REJECTED[damage]
    before = set(rows_of(tvpr.read(root)))
    harm(root)
    listing = tvpr.read(root)
    assert dict(listing.rejects) == expected
    lost = {row_id for row_id in expected if row_id in before}
    after = {i.replace("/02", "/2") for i in rows_of(listing)}  # where 02.png stands for 2.png
    assert after == before - lost


@pytest.mark.parametrize("damage", REFUSED)
def test_damage_is_one_line(root, damage):
    harm, expected = REFUSED[damage]
    harm(root)
    with pytest.raises(ReidError, match=expected) as error:
        tvpr.read(root)
    assert str(error.value).isprintable()


def test_a_folder_of_recordings_is_no_extracted_data_set(tmp_path):
    (tmp_path / "001.oni").touch()
    with pytest.raises(ReidError, match="no recording's folder such as 009; this is not TVPR"):
        tvpr.read(tmp_path)
    with pytest.raises(ReidError, match="none: cannot be read"):
        tvpr.read(tmp_path / "none")


# ---------------------------------------------------------------------------------------- writing


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.tuples(st.integers(1, 3), st.integers(1, 99_999)), st.integers(1, 4), max_size=12
    )
)
def test_what_is_written_is_read(tmp_path_factory, frames):
    """(recording, frame): person; a person's frames of one recording are one passage."""
    home = tmp_path_factory.mktemp("written") / "top"
    recordings: dict[int, list[int]] = {}
    for (recording, _), person in sorted(frames.items()):
        recordings.setdefault(person, [])
        recordings[person] += [] if recording in recordings[person] else [recording]
    kept = {
        frame_key: (person, 1 + recordings[person].index(frame_key[0]))
        for frame_key, person in frames.items()
        if recordings[person].index(frame_key[0]) < 2
    }
    written = [
        Sample(COLOUR, person, camera, "train", frame=frame, tracklet=recording,
               depth_mm=depth_of(frame % 1000))
        for (recording, frame), (person, camera) in kept.items()
    ]  # fmt: skip
    if not written:
        return
    ids = list(tvpr.write(home, written))
    listing = tvpr.read(home)
    assert listing.rejects == []
    rows = rows_of(listing)
    for image_id, sample in zip(ids, written, strict=True):
        row = rows.pop(image_id)
        labels = (row["person"], row["camera"], row["tracklet"], row["frame"])
        assert labels == (sample.person, sample.camera, sample.tracklet, sample.frame)
        depth = images.decode_depth((home / row["depth_path"]).read_bytes())
        assert (depth == sample.depth_mm).all()
    assert rows == {}


def sample(**labels) -> Sample:
    values = {"person": 1, "camera": 1, "role": "train", "tracklet": 1, "frame": 1}
    return Sample(COLOUR, **{**values, "depth_mm": depth_of(0), **labels})


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        pytest.param(
            [sample(depth_mm=np.ones((6, 8), np.uint8))], "depth must be .* uint8", id="8-bit depth"
        ),
        pytest.param(
            [sample(depth_mm=np.ones((6, 9), np.uint16))], r"depth is \(6, 9\)", id="another size"
        ),
        pytest.param(
            [sample(camera=2), sample(frame=9)], "passage 1 in the order of time has camera 2",
            id="second before first",
        ),
    ],
)  # fmt: skip
def test_labels_without_a_place_are_refused(tmp_path, written, reason):
    with pytest.raises(ReidError, match=reason):
        list(tvpr.write(tmp_path / "top", written))


# ----------------------------------------------------------------------------------------- ingest


def test_ingest_end_to_end(root, tmp_path):
    (root / "009/depth/2.png").write_bytes(images.encode_png(np.zeros((6, 8), np.uint16)))
    (root / "009/depth/10.png").write_bytes(images.encode_png(np.ones((6, 8), np.uint8)))
    (root / "009/depth/40.png").write_bytes(images.encode_png(np.ones((8, 6), np.uint16)))
    (root / "009/depth/41.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    params = ingest.Params(reader="tvpr", max_reject_rate=0.6)
    plan = ingest.plan("top", params, Project(tmp_path))
    folder = engine.run(plan, Project(tmp_path), executor="local").folder
    rejected = pq.read_table(folder / "rejects.parquet").to_pylist()
    assert {r["image_id"]: r["reason"] for r in rejected} == {
        "009/img/2": "depth has no reading at all",
        "009/img/10": "depth: depth must be one 16-bit channel, not uint8 (6, 8)",
        "009/img/40": "depth is 6 x 8 pixels, its image 8 x 6",
        "009/img/41": "depth: truncated PNG header",
    }
    rows = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "rows").iterdir())])
    assert rows["frame"].to_pylist() == [90, 91, 7, 8]  # of person 1, then of person 2
    for row in rows.to_pylist():
        assert row["depth"]["bytes"] == (root / f"{row['image_id'].replace('img', 'depth')}.png"
                                         ).read_bytes()  # fmt: skip


def test_changed_depth_makes_another_key(root, tmp_path):
    def keys():
        plan = ingest.plan("top", ingest.Params(reader="tvpr"), Project(tmp_path))
        return [task.key for task in plan.tasks]

    before = keys()
    assert keys() == before
    (root / "009/depth/2.png").write_bytes(images.encode_png(depth_of(5)) + b"\0")
    assert keys() != before
