"""CUHK03: the .mat file, the new protocol, the copy, and what may be wrong with each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pipeline.datasets.base import LISTED, Sample
from pipeline.datasets.cuhk03 import detected as cuhk03_detected
from pipeline.datasets.cuhk03 import labeled as cuhk03_labeled
from pipeline.datasets.cuhk03 import reader as cuhk03
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shard

MAT = "cuhk03_release/cuhk-03.mat"
CONFIG = "cuhk03_new_protocol_config_labeled.mat"
# Person, camera, role, image name. Persons 40 and 7 are in pair 1 (40 comes first), 9 in pair 3.
ROWS = (
    (40, 1, "train", "1_001_1_01"),
    (40, 1, "train", "1_001_1_02"),
    (7, 1, "query", "1_002_1_01"),
    (40, 2, "train", "1_001_2_06"),
    (7, 2, "gallery", "1_002_2_06"),
    (9, 5, "query", "3_001_1_01"),
    (9, 6, "gallery", "3_001_2_06"),
    (9, 6, "gallery", "3_001_2_07"),
)
PERSON = {"1_001": 1, "1_002": 2, "3_001": 3}


def samples() -> list[Sample]:
    random = np.random.default_rng(0)
    return [
        Sample(
            random.integers(0, 256, (20 + i, 9 + i % 3, 3), dtype=np.uint8), person, camera, role
        )
        for i, (person, camera, role, _) in enumerate(ROWS)
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "cuhk"
    written = list(cuhk03_labeled.write(home, samples()))
    assert written == [f"labeled/{name}" for *_, name in ROWS]
    return home


def rows_of(listing) -> dict[str, dict]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


# ---------------------------------------------------------------------------------------- reading


def test_rows_come_back_with_persons_cameras_and_roles(root):
    listing = cuhk03_labeled.read(root)
    assert listing.files.schema.equals(LISTED)
    assert listing.rejects == []
    result = rows_of(listing)
    for _, camera, role, name in ROWS:
        row = result.pop(f"labeled/{name}")
        assert row["path"] == f"{MAT}#labeled/{name}"
        assert (row["person"], row["camera"]) == (PERSON[name[:5]], camera)
        assert [r for r in ("train", "query", "gallery") if row[r]] == [role]
        assert row["part"] == ("train" if role == "train" else "test")
    assert result == {}


def test_the_new_protocol_is_the_first_and_counts(root):
    listing = cuhk03_labeled.read(root)
    new, *classic = listing.protocols
    assert json.loads(json.dumps(listing.protocols)) == listing.protocols
    assert (new["name"], new["members"], new["metrics"]) == ("new", "columns", ["cmc", "map"])
    assert listing.found == new["found"] == {
        "images": 8, "identities": 3, "train": 3, "train_identities": 1, "query": 2,
        "query_identities": 2, "gallery": 3, "gallery_identities": 2,
    }  # fmt: skip
    assert [p["name"] for p in classic] == [f"classic-{k:02d}" for k in range(1, 21)]


def test_the_first_classic_split_holds_the_test_persons(root):
    classic = cuhk03_labeled.read(root).protocols[1]
    assert classic["members"] == {"train": {"persons": [1]}, "test": {"persons": [2, 3]}}
    assert classic["metrics"] == ["cmc"]
    assert classic["rule"]["exclude"] == "same_camera"
    assert classic["found"] == {
        "images": 8, "identities": 3, "train": 3, "train_identities": 1, "test": 5,
        "test_identities": 2,
    }  # fmt: skip


def test_without_the_configuration_split_1_is_the_default(root):
    (root / CONFIG).unlink()
    listing = cuhk03_labeled.read(root)
    assert [p["name"] for p in listing.protocols][:2] == ["classic-01", "classic-02"]
    assert listing.protocols[0]["members"] == "columns"
    assert set(listing.protocols[1]["members"]) == {"train", "test"}
    assert listing.found == listing.protocols[0]["found"]
    for row in listing.files.to_pylist():
        assert row["part"] == "all"
        assert row["train"] == (row["person"] == 1)
        assert row["query"] == row["gallery"] == (row["person"] in (2, 3))


@pytest.mark.parametrize("folder", ["cuhk03_release", "."], ids=["beside the mat", "above"])
def test_the_configuration_may_lie_in_either_place(root, folder):
    (root / CONFIG).rename(root / folder / CONFIG)
    assert cuhk03_labeled.read(root).protocols[0]["name"] == "new"


def test_the_folder_of_the_mat_is_as_good(root):
    (root / CONFIG).rename(root / "cuhk03_release" / CONFIG)
    below = cuhk03_labeled.read(root / "cuhk03_release")
    assert below.files["path"][0].as_py().startswith("cuhk-03.mat#labeled/")
    assert below.files["person"] == cuhk03_labeled.read(root).files["person"]


def test_published_counts_agree_with_each_other():
    for kind, images_of_all in (("labeled", 14_096), ("detected", 14_097)):
        published = cuhk03.info(kind).published
        assert sum(published[r] for r in ("train", "query", "gallery")) == images_of_all
        assert published["images"] == images_of_all
        assert published["train_identities"] + published["query_identities"] == 1_467


def test_labeled_and_detected_are_two_data_sets(root, tmp_path):
    with pytest.raises(ReidError, match="no such variable; expected the variable `detected`"):
        cuhk03_detected.read(root)
    ids = list(cuhk03_detected.write(tmp_path / "d", samples()))
    result = cuhk03_detected.read(tmp_path / "d").files["image_id"].to_pylist()
    assert sorted(result) == sorted(ids)
    assert ids[0] == "detected/1_001_1_01"


def test_persons_without_images_keep_their_number(root):
    with h5py.File(root / MAT, "r+") as file:
        first = file[file["labeled"][0, 0]]
        cells = first[()]
        cells[:, 0] = h5py.Reference()  # person 1 has no image in this kind
        first[...] = cells
    (root / CONFIG).unlink()
    listing = cuhk03_labeled.read(root)
    assert set(listing.files["person"].to_pylist()) == {2, 3}
    assert listing.found["identities"] == 2


# --------------------------------------------------------------------------------- pixels, ingest


def test_ingest_keeps_every_pixel(root, tmp_path, monkeypatch):
    project = Project(tmp_path / "project")
    project.raw("toy").parent.mkdir(parents=True)
    root.rename(project.raw("toy"))
    params = ingest.Params.model_validate({"reader": "cuhk03_labeled"})
    plan = ingest.plan("toy", params, project)
    finished = engine.run(plan, project, executor="local")
    assert (finished.rows, finished.rejects) == (8, 0)
    paths = sorted((project.shards("toy") / "rows").glob("*.parquet"))
    rows = [row for path in paths for row in Shard(path).table(["image_id", "image"]).to_pylist()]
    built = {row["image_id"]: images.decode(row["image"]["bytes"]) for row in rows}
    for sample, (*_, name) in zip(samples(), ROWS, strict=True):
        np.testing.assert_array_equal(built.pop(f"labeled/{name}"), sample.image)
    assert built == {}


def test_the_bytes_of_an_image_are_the_same_each_time(root):
    path = f"{MAT}#labeled/1_002_1_01"
    first, again = (cuhk03_labeled.open_source(root)(path) for _ in range(2))
    assert first == again
    assert images.kind_of(first) == "png"


@pytest.mark.parametrize("tail", ["labeled/1_009_1_01", "labeled/1_000_1_01", "labeled/x", "x/y",
                                  "labeled/1_001_1_03"])  # fmt: skip
def test_an_image_that_is_not_there_is_a_bad_image(root, tail):
    with pytest.raises(images.BadImage):
        cuhk03_labeled.open_source(root)(f"{MAT}#{tail}")


def test_encoded_samples_are_stored_as_their_pixels(tmp_path):
    (first, *rest) = samples()
    first.encoded = images.encode_jpeg(first.image)
    list(cuhk03_labeled.write(tmp_path, [first, *rest]))
    data = cuhk03_labeled.open_source(tmp_path)(f"{MAT}#labeled/1_001_1_01")
    np.testing.assert_array_equal(images.decode(data), images.decode(first.encoded))


def test_the_file_is_in_the_layout_of_matlab(root):
    assert (root / MAT).read_bytes()[:20] == b"MATLAB 7.3 MAT-file "
    assert (root / MAT).read_bytes()[124:128] == b"\0\2IM"
    with h5py.File(root / MAT) as file:
        pairs = [file[r] for r in file["labeled"][0]]
        assert len(pairs) == 5
        assert pairs[0].shape == (10, 2)  # transposed: two persons, ten images
        assert file[pairs[0][5, 0]].shape == (3, 9, 23)  # channels, width, height
        assert "MATLAB_empty" in pairs[1].attrs
        splits = [file[r][()].T.tolist() for r in file["testsets"][0]]
        assert len(splits) == 20
        assert splits[0] == [[1, 2], [3, 1]]


# ----------------------------------------------------------------------------------------- damage


def cell(file: h5py.File, data: np.ndarray | h5py.Dataset | None, name: str = "new") -> None:
    """Put another image in the place of 1_001_1_01."""
    pair = file[file["labeled"][0, 0]]
    cells = pair[()]
    cells[0, 0] = file.create_dataset(name, data=data).ref if name == "new" else file[name].ref
    pair[...] = cells


def elsewhere(file: h5py.File) -> None:
    file.create_dataset("far", (3, 4, 4), np.uint8, external=[("/etc/passwd", 0, 48)])
    cell(file, None, "far")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 4, 4), np.uint8)
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (3, 4, 4))
    file.create_virtual_dataset("far", layout)
    cell(file, None, "far")


def huge(file: h5py.File) -> None:
    file.create_dataset("huge", (3, 200_000, 200_000), np.uint8, chunks=(3, 64, 64))
    cell(file, None, "huge")


def group(file: h5py.File) -> None:
    file.create_group("group")
    cell(file, None, "group")


BROKEN: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "gray": (lambda f: cell(f, np.ones((8, 4), np.uint8)), "8 x 4 of uint8; expected 3 x"),
    "not transposed": (lambda f: cell(f, np.ones((8, 4, 3), np.uint8)), "8 x 4 x 3 of uint8"),
    "floats": (lambda f: cell(f, np.ones((3, 4, 8))), "3 x 4 x 8 of float64; expected"),
    "16 bits": (lambda f: cell(f, np.ones((3, 4, 8), np.uint16)), "3 x 4 x 8 of uint16"),
    "a number": (lambda f: cell(f, np.float64(3)), "a single value of float64"),
    "a text": (lambda f: cell(f, np.bytes_("x")), "a single value of"),
    "data elsewhere": (elsewhere, "outside the file"),
    "data by a view of another": (virtual, "outside the file"),
    "too large": (huge, "200000 x 200000 pixels; at most"),
    "a group": (group, "a group in place of an array"),
}


@pytest.mark.parametrize(("harm", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_image_is_a_reject_and_the_rest_is_kept(root, harm, reason):
    with h5py.File(root / MAT, "r+") as file:
        harm(file)
    listing = cuhk03_labeled.read(root)
    (result,) = listing.rejects
    assert result.image_id == "labeled/1_001_1_01"
    assert reason in result.reason
    assert listing.files.num_rows == 7
    with pytest.raises(images.BadImage):
        cuhk03_labeled.open_source(root)(f"{MAT}#labeled/1_001_1_01")


def replace(name: str, put: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        put(file)

    return change


def set_pair(data: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        cells = file["labeled"][()]
        cells[0, 1] = file.create_dataset("other", data=data).ref
        file["labeled"][...] = cells

    return change


FATAL = {
    "no variable": (replace("labeled", lambda f: None), "no such variable; expected the variable"),
    "numbers": (replace("labeled", lambda f: f.create_dataset("labeled", data=[1.0] * 5)),
                "is 5 of float64; expected the variable `labeled`"),
    "a group": (replace("labeled", lambda f: f.create_group("labeled")), "a group in place"),
    "an external link": (
        replace("labeled", lambda f: f.__setitem__("labeled", h5py.ExternalLink("x.h5", "y"))),
        "a link; expected the variable `labeled`",
    ),
    "a soft link": (
        replace("labeled", lambda f: f.__setitem__("labeled", h5py.SoftLink("/none"))), "a link;"
    ),
    "a pair of numbers": (set_pair(np.ones((10, 3))), "camera pair 2 is 10 x 3 of float64"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "text"), FATAL.values(), ids=FATAL.keys())
def test_a_broken_file_is_one_line(root, harm, text):
    with h5py.File(root / MAT, "r+") as file:
        harm(file)
    with pytest.raises(ReidError, match=r"cuhk-03\.mat: ") as error:
        cuhk03_labeled.read(root)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_one_line(root, share):
    data = (root / MAT).read_bytes()
    (root / MAT).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ReidError, match="cannot be read as HDF5"):
        cuhk03_labeled.read(root)


@pytest.mark.parametrize("seed", range(30))
def test_zeroed_bytes_give_rows_rejects_or_one_line(root, seed):
    data = bytearray((root / MAT).read_bytes())
    start = int(np.random.default_rng(seed).integers(0, len(data) - 64))
    data[start : start + 64] = bytes(64)
    (root / MAT).write_bytes(data)
    try:
        listing = cuhk03_labeled.read(root)
    except ReidError as error:
        shown = str(error)
    else:
        shown = ""
        _decode_all(root, listing)
    assert "\n" not in shown


def _decode_all(root: Path, listing) -> None:
    source = cuhk03_labeled.open_source(root)
    for path in listing.files["path"].to_pylist():
        with contextlib.suppress(images.BadImage):
            images.decode(source(path))


SPLIT = {
    "too large an index": ([[1, 99]], "there is no person 99 in camera pair 1"),
    "pair 0": ([[0, 1]], "there is no person 1 in camera pair 0"),
    "pair 6": ([[6, 1]], "in camera pair 6"),
    "a fraction": ([[1.5, 1]], "must be whole numbers"),
    "no number": ([[np.nan, 1]], "must be whole numbers"),
    "three columns": ([[1, 1, 1]], "3 x 1 of float64; expected rows of pair and index"),
}


def set_split(root: Path, k: int, rows: list) -> None:
    with h5py.File(root / MAT, "r+") as file:
        cells = file["testsets"][()]
        cells[0, k - 1] = file.create_dataset("split", data=np.array(rows, float).T).ref
        file["testsets"][...] = cells


@pytest.mark.parametrize(("rows", "reason"), SPLIT.values(), ids=SPLIT.keys())
def test_a_broken_split_is_a_reject_and_has_no_protocol(root, rows, reason):
    set_split(root, 7, rows)
    listing = cuhk03_labeled.read(root)
    (result,) = listing.rejects
    assert result.image_id == "testsets/07"
    assert reason in result.reason
    assert "classic-07" not in [p["name"] for p in listing.protocols]
    assert len(listing.protocols) == 20


def test_a_broken_default_split_is_one_line(root):
    (root / CONFIG).unlink()
    set_split(root, 1, [[6, 1]])
    with pytest.raises(ReidError, match="split 1 of `testsets`: there is no person 1 in"):
        cuhk03_labeled.read(root)


# -------------------------------------------------------------------------------- the configuration


def config(root: Path, **changes: object) -> None:
    values = {k: v for k, v in loadmat(root / CONFIG).items() if not k.startswith("__")}
    values |= changes
    savemat(root / CONFIG, {k: v for k, v in values.items() if v is not None})


FILES = np.array([f"{name}.png" for *_, name in sorted(ROWS, key=lambda r: r[3])], object)
CONFIGS = {
    "no variable": ({"query_idx": None}, "no variable query_idx"),
    "zero-based": ({"query_idx": [0.0, 1.0]}, "query_idx must hold positions 1 to 8"),
    "beyond the end": ({"gallery_idx": [9.0]}, "gallery_idx must hold positions 1 to 8"),
    "a fraction": ({"train_idx": [1.5]}, "train_idx must hold positions"),
    "text": ({"train_idx": "none"}, "train_idx must hold positions"),
    "names of Market": ({"filelist": np.array(["0001_c1_1.png"] * 8, object)}, "filelist has"),
    "a name twice": ({"filelist": np.array([FILES[0], *FILES[:7]], object)}, "an image twice"),
    "a person in both": ({"train_idx": [1.0, 8.0]}, "person 3_001 is in train and in test"),
}


@pytest.mark.parametrize(("changes", "text"), CONFIGS.values(), ids=CONFIGS.keys())
def test_a_broken_configuration_is_one_line(root, changes, text):
    config(root, **changes)
    with pytest.raises(ReidError, match=rf"{CONFIG}: .*") as error:
        cuhk03_labeled.read(root)
    assert text in str(error.value)


def test_an_image_of_the_configuration_alone_is_a_reject(root):
    config(root, filelist=np.array(["1_001_1_05.png", *FILES[1:]], object))
    listing = cuhk03_labeled.read(root)
    (result,) = listing.rejects
    assert result == ("labeled/1_001_1_05", f"in {CONFIG}, but not in cuhk-03.mat")
    row = rows_of(listing)["labeled/1_001_1_01"]  # in no list: no role
    assert [row["train"], row["query"], row["gallery"]] == [False] * 3


# ----------------------------------------------------------------------------------------- the copy

COPIED = ("bounding_box_train/0001_c1_1", "bounding_box_train/0001_c2_6", "query/0768_c1_1",
          "bounding_box_test/0768_c2_7")  # fmt: skip


def copy(home: Path) -> Path:
    for i, image_id in enumerate(COPIED):
        path = home / f"{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode_png(np.full((6, 4, 3), i, np.uint8)))
    return home


@pytest.mark.parametrize("below", ["cuhk03-np/labeled/", "labeled/", ""])
def test_the_copy_is_read_wherever_its_folders_are(tmp_path, below):
    copy(tmp_path / below)
    listing = cuhk03_labeled.read(tmp_path)
    assert listing.rejects == []
    assert [p["name"] for p in listing.protocols] == ["new"]
    row = rows_of(listing)["query/0768_c1_1"]
    assert row["path"] == f"{below}query/0768_c1_1.png"
    assert (row["person"], row["camera"], row["part"], row["query"]) == (768, 1, "test", True)
    assert listing.found["images"] == 4
    data = cuhk03_labeled.open_source(tmp_path)(row["path"])
    assert images.decode(data).max() == 2


@pytest.mark.parametrize("name", ["0001_c3_1.png", "0000_c1_1.png", "1_001_1_01.png", "a.txt",
                                  "0001_c1s1_000451_03.jpg", "0001_c1_1.bmp", "x\n"])  # fmt: skip
def test_a_stray_file_in_the_copy_is_a_reject(tmp_path, name):
    home = copy(tmp_path / "cuhk03-np/detected")
    (home / "query" / name).touch()
    listing = cuhk03_detected.read(tmp_path)
    assert [r.reason for r in listing.rejects] == ["not a CUHK03 name such as 0001_c1_1.png"]
    assert listing.files.num_rows == 4


def test_the_same_image_as_jpeg_and_png_is_taken_once(tmp_path):
    home = copy(tmp_path / "labeled")
    (home / "query/0768_c1_1.jpg").touch()
    listing = cuhk03_labeled.read(tmp_path)
    assert listing.files.num_rows == 4
    assert [r.reason for r in listing.rejects] == ["a second image of this name"]


def test_a_missing_folder_and_a_wrong_root_are_one_line(tmp_path):
    with pytest.raises(ReidError, match="no CUHK03 download"):
        cuhk03_labeled.read(tmp_path)
    with pytest.raises(ReidError, match="no CUHK03 download"):
        cuhk03_labeled.read(tmp_path / "none")
    (copy(tmp_path / "labeled") / "query").rename(tmp_path / "elsewhere")
    with pytest.raises(ReidError, match="no folder query; this is not a CUHK03 labeled"):
        cuhk03_labeled.read(tmp_path)


# ----------------------------------------------------------------------------------------- writing

IMAGE = np.zeros((6, 4, 3), np.uint8)
UNFIT = {
    "two pairs": ([Sample(IMAGE, 1, 1, "query"), Sample(IMAGE, 1, 3, "gallery")], "pairs 1 and 2"),
    "camera 11": ([Sample(IMAGE, 1, 11, "query")], "CUHK03 has cameras 1 to 10"),
    "junk": ([Sample(IMAGE, -1, 1, "gallery")], "CUHK03 has persons from 1"),
    "no role": ([Sample(IMAGE, 1, 1, "probe")], "role probe"),
    "six images": ([Sample(IMAGE, 1, 1, "query")] * 6, "more than 5 images in camera 1"),
    "gray": ([Sample(IMAGE[..., 0], 1, 1, "query")], "an image must be"),
    "no test person": ([Sample(IMAGE, 1, 1, "train")], "needs test persons"),
}


@pytest.mark.parametrize(("given", "text"), UNFIT.values(), ids=UNFIT.keys())
def test_what_has_no_place_in_the_layout_is_one_line(tmp_path, given, text):
    with pytest.raises(ReidError, match=text):
        list(cuhk03_labeled.write(tmp_path, given))
