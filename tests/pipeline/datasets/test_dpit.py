"""DPI-T: colour images in folders, their depth in HDF5, and whatever may be wrong with either."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.dpit import depth as dpit_depth
from pipeline.datasets.dpit import reader as dpit
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project

COLOUR = np.full((6, 8, 3), (200, 40, 90), np.uint8)
VIDEOS = (("train", 1, 0), ("train", 1, 12), ("train", 3, 5), ("query", 1, 7), ("query", 3, 5))
FRAMES = (3, 4, 11)
TRAIN, TEST = "DPI-T_train_rgb", "DPI-T_test_rgb"
MAPS = "DPI-T_train_depth_map.h5"


def depth_of(number: int) -> np.ndarray:
    depth = np.full((6, 8), 3000, np.uint16)
    depth[2, 3], depth[0, 0] = 1201 + number, 0
    return depth


def samples():
    for role, person, video in VIDEOS:
        for frame in FRAMES:
            yield Sample(COLOUR, person, 1, role, frame=frame, tracklet=video,
                         depth_mm=depth_of(frame))  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "data/0-raw/hallway"
    ids = list(dpit.write(home, samples()))
    assert ids[4] == "DPI-T_train_rgb/00/012/00_012_0004"
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


def frames_of(folder: str) -> list[str]:
    person, video = folder.split("/")[1:]
    return [f"{folder}/{person}_{video}_{frame:04d}" for frame in FRAMES]


# ---------------------------------------------------------------------------------------- reading


def test_a_frame_gives_its_row(root):
    files = dpit.read(root).files
    assert files.schema.equals(LISTED)
    image_id = "DPI-T_train_rgb/02/005/02_005_0011"
    assert rows_of(dpit.read(root))[image_id] == {
        "path": f"{image_id}.jpg", "part": "train", "image_id": image_id, "person": 3,
        "train": True, "query": False, "gallery": True, "camera": 1, "tracklet": 5, "frame": 11,
        "viewpoint": None, "depth_path": f"{MAPS}#2#{image_id}",
    }  # fmt: skip


def test_the_gallery_is_the_training_part(root):
    listing = dpit.read(root)
    assert listing.rejects == []
    for row in listing.files.to_pylist():
        train = row["image_id"].startswith(TRAIN)
        assert (row["train"], row["gallery"], row["query"]) == (train, train, not train)
        assert row["camera"] == (1 if train else 2)
    assert listing.found == {
        "train": 9, "train_videos": 3, "train_identities": 2,
        "query": 6, "query_videos": 2, "query_identities": 2,
    }  # fmt: skip


def test_the_protocol_has_the_videos_that_were_tested(root):
    (protocol,) = dpit.read(root).protocols
    assert json.loads(json.dumps(protocol)) == protocol
    assert (protocol["published"]["query_videos"], protocol["published"]["train_videos"]) == (
        249,
        213,
    )
    assert dpit.PUBLISHED["query_videos"] == 262
    assert protocol["rule"]["query"] == protocol["rule"]["gallery"] == "tracklet"


def test_depth_comes_back_to_the_millimetre(root):
    source = dpit.open_source(root)
    for row in dpit.read(root).files.to_pylist():
        assert (images.decode_depth(source(row["depth_path"])) == depth_of(row["frame"])).all()
        assert source(row["path"]) == (root / row["path"]).read_bytes()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_each_reading_is_repeated_where_the_image_is_larger(root, times):
    image_id = frames_of(f"{TRAIN}/00/012")[0]
    large = images.encode_jpeg(np.zeros((6 * times, 8 * times, 3), np.uint8))
    (root / f"{image_id}.jpg").write_bytes(large)
    depth = images.decode_depth(dpit.open_source(root)(f"{MAPS}#0#{image_id}"))
    assert depth.shape == (6 * times, 8 * times)
    for y in range(6 * times):
        for x in range(8 * times):
            assert depth[y, x] == depth_of(3)[y // times, x // times]


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        pytest.param("f4", 0.001, id="metres"),
        pytest.param("f8", 0.001, id="metres, double"),
        pytest.param("f4", 1, id="millimetres of floating point"),
        pytest.param("u2", 1, id="millimetres"),
        pytest.param("i4", 1, id="millimetres, signed"),
    ],
)
def test_the_unit_is_told_from_type_and_range(root, dtype, factor):
    def rewrite(maps):
        return (np.nan_to_num(maps) * 1000 * factor).astype(dtype)

    with h5py.File(root / MAPS, "r+") as file:
        for name in [f"{p}/{v}" for p in file for v in file[p]]:
            data = rewrite(file[name][()].astype(np.float64) + 1e-9)
            del file[name]
            file[name] = data
    source = dpit.open_source(root)
    for row in dpit.read(root).files.to_pylist()[:9]:
        depth = images.decode_depth(source(row["depth_path"])).astype(int)
        assert np.abs(depth - depth_of(row["frame"])).max() <= (dtype[0] != "f")


@settings(max_examples=40)
@given(st.floats(width=32), st.sampled_from([1.0, 1000.0]))
def test_a_reading_in_millimetres(value, scale):
    result = int(dpit_depth.to_millimetres(np.full((1, 1), value, np.float32), scale)[0, 0])
    exact = float(np.float32(value)) * scale
    if not np.isfinite(exact) or exact < 0.5 or exact > 65_535:
        assert result == 0
    else:
        assert abs(result - exact) <= 0.5


# ----------------------------------------------------------------------------------------- damage


def edit(change):
    def harm(root: Path) -> None:
        with h5py.File(root / MAPS, "r+") as file:
            change(file)

    return harm


def put(name: str, data, **options):
    def change(file) -> None:
        del file[name]
        file.create_dataset(name, data=data, **options)

    return edit(change)


def link(name: str, target):
    def change(file) -> None:
        del file[name]
        file[name] = target

    return edit(change)


def add(path: str):
    def harm(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()

    return harm


all_of = dict.fromkeys  # images: the reason of all
ONE, TWO = frames_of(f"{TRAIN}/00/000"), frames_of(f"{TRAIN}/00/012")
FORM = "expected frames x height x width"
NO_FRAME = "not a frame such as 05_012_0003.jpg"
REJECTED = {
    "no group": (
        edit(lambda f: f.__delitem__("00")), all_of(ONE + TWO, f"{MAPS} has no group 00"),
    ),
    "no array": (
        edit(lambda f: f.__delitem__("00/012")), all_of(TWO, f"{MAPS} has no array 00/012"),
    ),
    "an array for a group": (
        put("00", np.ones(3)), all_of(ONE + TWO, f"{MAPS} has no group 00"),
    ),
    "a group for an array": (
        edit(lambda f: (f.__delitem__("00/012"), f.create_group("00/012"))),
        all_of(TWO, f"{MAPS} has no array 00/012"),
    ),
    "a map too few": (
        put("00/012", np.ones((2, 6, 8))), all_of(TWO, f"3 frames, but 2 depth maps in {MAPS}"),
    ),
    "a map too many": (
        put("00/012", np.ones((4, 6, 8))), all_of(TWO, f"3 frames, but 4 depth maps in {MAPS}"),
    ),
    "an image too few": (
        lambda r: (r / f"{TWO[1]}.jpg").unlink(),
        all_of([TWO[0], TWO[2]], f"2 frames, but 3 depth maps in {MAPS}"),
    ),
    "an image too many": (
        add(f"{TRAIN}/00/012/00_012_0999.jpg"),
        all_of([*TWO, f"{TRAIN}/00/012/00_012_0999"], f"4 frames, but 3 depth maps in {MAPS}"),
    ),
    "colours for depth": (
        put("00/012", np.ones((3, 6, 8, 3))),
        all_of(TWO, f"{MAPS}: 00/012 is 3 x 6 x 8 x 3 of float64; {FORM}"),
    ),
    "text": (
        put("00/012", "depth"),
        all_of(TWO, f"{MAPS}: 00/012 is a single value of object; {FORM}"),
    ),
    "8-bit depth": (
        put("00/012", np.ones((3, 6, 8), np.uint8)),
        all_of(TWO, f"{MAPS}: 00/012 is uint8: 8-bit pictures, which are no depth"),
    ),
    "a link within": (
        link("00/012", h5py.SoftLink("/00/000")), all_of(TWO, "012 is a link, and is not followed"),
    ),
    "a link to another file": (
        link("00/012", h5py.ExternalLink("/etc/hosts", "/")),
        all_of(TWO, "012 is a link, and is not followed"),
    ),
    "a linked group": (
        link("00", h5py.ExternalLink("none.h5", "/")),
        all_of(ONE + TWO, "00 is a link, and is not followed"),
    ),
    "maps in another file": (
        put("00/012", None, shape=(3, 6, 8), dtype="f4", external=[("/etc/passwd", 0, 576)]),
        all_of(TWO, f"{MAPS}: 00/012: its data are outside the file, and are not followed there"),
    ),
    "a name of another video": (
        add(f"{TRAIN}/00/012/00_013_0004.jpg"),
        {f"{TRAIN}/00/012/00_013_0004.jpg": "of person 00, video 013, in the folder of 00/012"},
    ),
    "a PNG": (
        add(f"{TRAIN}/00/012/00_012_0004.png"), {f"{TRAIN}/00/012/00_012_0004.png": NO_FRAME},
    ),
    "an odd person": (
        add(f"{TRAIN}/anna/012/00_012_0004.jpg"),
        {f"{TRAIN}/anna": "not a person's folder such as 05"},
    ),
    "an odd video": (
        add(f"{TRAIN}/00/12/00_012_0004.jpg"),
        {f"{TRAIN}/00/12": "not a video's folder such as 012"},
    ),
    "a file among persons": (
        add(f"{TRAIN}/00_012_0004.jpg"),
        {f"{TRAIN}/00_012_0004.jpg": "not a person's folder such as 05"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", REJECTED)
def test_damage_is_a_reject_and_the_rest_stays(root, damage):
    harm, expected = REJECTED[damage]
    before = set(rows_of(dpit.read(root)))
    harm(root)
    listing = dpit.read(root)
    assert dict(listing.rejects) == expected
    gone = {TWO[1]} if damage == "an image too few" else set()
    assert set(rows_of(listing)) == before - set(expected) - gone


def test_a_map_that_cannot_be_unpacked_is_a_bad_image(root):
    with h5py.File(root / MAPS, "r") as file:
        maps = file["00/012"]
        assert isinstance(maps, h5py.Dataset)
        chunk = maps.id.get_chunk_info(0)
    data = bytearray((root / MAPS).read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    (root / MAPS).write_bytes(data)
    with pytest.raises(images.BadImage, match="depth cannot be read"):
        dpit.open_source(root)(f"{MAPS}#0#{TWO[0]}")


def test_maps_that_are_cut_off_are_one_line(root):
    (root / MAPS).write_bytes((root / MAPS).read_bytes()[:700])
    with pytest.raises(ReidError, match="cannot be read as HDF5"):
        dpit.read(root)


# ---------------------------------------------------------------------------------- writing, ingest


def sample(**labels) -> Sample:
    values = {"person": 1, "camera": 1, "role": "train", "tracklet": 1, "frame": 1}
    return Sample(COLOUR, **{**values, "depth_mm": depth_of(0), **labels})


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        pytest.param([sample(frame=2), sample()], "frame 1 after 2", id="frames that fall"),
        pytest.param(
            [sample(), sample(tracklet=2), sample(frame=2)], "do not follow", id="videos mixed"
        ),
    ],
)
def test_labels_without_a_place_are_refused(tmp_path, written, reason):
    with pytest.raises(ReidError, match=reason):
        list(dpit.write(tmp_path / "hallway", written))


def test_ingest_end_to_end(root, tmp_path):
    with h5py.File(root / MAPS, "r+") as file:
        file["00/012"][0] = np.nan
    wide = images.encode_jpeg(np.zeros((6, 9, 3), np.uint8))
    (root / f"{TWO[1]}.jpg").write_bytes(wide)
    plan = ingest.plan("hallway", ingest.Params(reader="dpit", max_reject_rate=0.6),
                       Project(tmp_path))  # fmt: skip
    folder = engine.run(plan, Project(tmp_path), executor="local").folder
    rejected = pq.read_table(folder / "rejects.parquet").to_pylist()
    assert {r["image_id"]: r["reason"] for r in rejected} == {
        TWO[0]: "depth has no reading at all",
        TWO[1]: "depth is 8 x 6 pixels, its image 9 x 6",
    }
    rows = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "rows").iterdir())])
    assert rows.num_rows == 13
    for row in rows.to_pylist():
        assert (images.decode_depth(row["depth"]["bytes"]) == depth_of(row["frame"])).all()


def test_ingest_refuses_a_unit_that_cannot_be_told(root, tmp_path):
    with h5py.File(root / MAPS, "r+") as file:
        for name in [f"{p}/{v}" for p in file for v in file[p]]:
            file[name][...] = 300.0  # centimetres
    source = dpit.open_source(root)
    with pytest.raises(images.BadImage, match="the unit of depth is not clear: its median is 300"):
        source(f"{MAPS}#0#{ONE[0]}")
