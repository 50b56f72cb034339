"""What every reader does, whatever its layout: it writes, reads back, counts, rejects and refuses.

The tests of a data set say what is its own: names, tables, splits, protocols and printed counts.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import datasets
from pipeline.datasets.base import LISTED, Listing, Sample, counts_table
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.verify import verify
from tests.conftest import contents
from tests.soak import contents_of_files, labels_in_files, places_of_files, trees
from tests.soak.names_of_files import rename

ROLES = ("train", "query", "gallery")
READERS = [*datasets.READERS]
CUHK03 = ("cuhk03_labeled", "cuhk03_detected")  # images lie in one file
IN_FILES = [name for name in READERS if name not in CUHK03]
OWN_PERSONS = CUHK03  # numbered anew, by pair of cameras and position
SPLIT_IN_TWO = ("ilids_vid", "prid2011", "opr")  # roles by a split, not by the sample
BY_PART = ("dpit",)  # the camera follows from the role
IMAGE_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
NEEDED = {  # what a reader cannot do without
    "market1501": IMAGE_FOLDERS, "dukemtmc_reid": IMAGE_FOLDERS,
    "cuhk03_labeled": ("cuhk03_release/cuhk-03.mat",),
    "cuhk03_detected": ("cuhk03_release/cuhk-03.mat",),
    "rap": ("RAP_annotation", "RAP_dataset", "RAP_annotation/RAP_annotation.mat"),
    "tvpr": ("id.csv", "009/009_color.csv", "009/009_depth.csv", "009/img", "009/depth"),
    "dpit": ("DPI-T_train_rgb", "DPI-T_test_rgb", "DPI-T_train_depth_map.h5",
             "DPI-T_test_depth_map.h5"),
    "mars": ("bbox_train", "bbox_test", "info", "info/train_name.txt", "info/test_name.txt",
             "info/tracks_train_info.mat", "info/tracks_test_info.mat", "info/query_IDX.mat"),
    "dukemtmc_video": ROLES,
    "ilids_vid": ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2"),
    "prid2011": ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b"),
    "folder": ("labels.csv",),
}  # fmt: skip
LABELS = {  # files whose bytes say what the rows are; an empty or foreign one is refused
    "cuhk03_labeled": ("cuhk03_release/cuhk-03.mat", "cuhk03_new_protocol_config_labeled.mat"),
    "cuhk03_detected": ("cuhk03_release/cuhk-03.mat", "cuhk03_new_protocol_config_detected.mat"),
    "rap": ("RAP_annotation/RAP_annotation.mat",), "tvpr": ("id.csv",),
    "dpit": ("DPI-T_train_depth_map.h5", "DPI-T_test_depth_map.h5"),
    "mars": NEEDED["mars"][3:], "folder": ("labels.csv",), "prid2011": ("splits_prid2011.json",),
    "ilids_vid": ("train-test people splits/train_test_splits_ilidsvid.mat",),
}  # fmt: skip
DRAWN: dict[str, tuple[int, int, tuple[int, int], tuple[int, int]]] = {
    "market1501": (9_999, 6, (0, 9), (0, 999_999)),  # last person, cameras, tracklets, frames
    "dukemtmc_reid": (9_999, 8, (0, 0), (0, 9_999_000)),
    "cuhk03_labeled": (1_000_000, 2, (1, 1), (0, 9)),
    "cuhk03_detected": (1_000_000, 2, (1, 1), (0, 9)),
    "mars": (9_999, 6, (1, 9_999), (1, 999)),
    "dukemtmc_video": (9_999, 8, (0, 9_999), (1, 9_999)),
    "ilids_vid": (999, 2, (1, 1), (0, 99_999)),
    "prid2011": (200, 2, (1, 1), (0, 9_999)),
    "opr": (999_999, 2, (1, 1), (0, 999_999_999)),
}
CLUTTER = ("Thumbs.db", "ehthumbs.db", ".DS_Store", "desktop.ini", "._0001", ".directory")
ODD = {  # what may lie under an image's name
    "nothing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a pipe": os.mkfifo,
}
SEEDS = 25  # of random damage, for each reader


@pytest.fixture(params=READERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def write(name: str, root: Path, samples: list[Sample] | None = None) -> list[str]:
    given = list(trees.samples(name)) if samples is None else samples
    return list(datasets.reader(name).write(root, given))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The raw folder of each reader, not to be changed."""
    home = tmp_path_factory.mktemp("readers")
    for one in READERS:
        write(one, home / one)
    return {one: home / one for one in READERS}


def copy(written: dict[str, Path], name: str, home: Path) -> Path:
    return Path(shutil.copytree(written[name], home / name, symlinks=True))


def read(name: str, root: Path) -> Listing:
    return datasets.reader(name).read(root)


def rows_of(listing: Listing) -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


def same(one: Listing, other: Listing) -> bool:
    return (one.files, one.found, one.rejects, one.protocols) == (
        other.files, other.found, other.rejects, other.protocols,
    )  # fmt: skip


def refusal(name: str, root: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(ReidError) as error:
        read(name, root)
    assert str(error.value).isprintable()
    return str(error.value)


def read_or_refused(name: str, root: Path) -> Listing | None:
    """The listing, or None where the folder is refused in one line."""
    try:
        return read(name, root)
    except ReidError as error:
        message = str(error)
    assert message.isprintable()
    return None


# ---------------------------------------------------------------------------- written and read


def test_a_reader_has_its_parts(name):
    info = datasets.reader(name).info
    assert all((info.title, info.layout, info.licence, info.where, info.citation))
    assert all(number > 0 for number in info.published.values())


def test_what_is_written_is_read(name, tmp_path):
    samples = list(trees.samples(name))
    check_written(name, tmp_path / "new", samples)


def check_written(name: str, root: Path, samples: list[Sample]) -> None:
    """Write samples and read them: rows have their labels, and nothing else is there."""
    ids = write(name, root, samples)
    listing = read(name, root)
    extra = datasets.reader(name).extra
    assert listing.files.schema.equals(pa.schema([*LISTED, *extra]))
    assert listing.rejects == []
    rows = rows_of(listing)
    assert len(rows) == len(ids) == listing.files.num_rows
    persons: dict[int, set[int]] = {}
    for image_id, sample in zip(ids, samples, strict=True):
        row = rows[image_id]
        persons.setdefault(sample.person, set()).add(row["person"])
        assert row["camera"] == sample.camera or name in BY_PART
        for label in ("tracklet", "frame"):
            assert row[label] in (None, getattr(sample, label))
        roles = {role for role in ROLES if row[role]}
        if name in SPLIT_IN_TWO:
            alone = {s.camera for s in samples if s.person == sample.person} != {1, 2}
            assert roles in ([set()] if alone else [{"train"}, {"query"}, {"gallery"}])
        else:
            assert sample.role in roles
            assert (row["part"] == "train") == (sample.role == "train")
    assert len(set.union(*persons.values())) == len(persons)
    if name not in OWN_PERSONS:
        assert all(numbers == {person} for person, numbers in persons.items())


@pytest.mark.parametrize("name", DRAWN)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_labels_fit_are_read_back(name, tmp_path_factory, data):
    """Odd persons are trained on; those of the tree are there, for layouts that need some."""
    most, cameras, tracklets, frames = DRAWN[name]
    key = st.tuples(st.integers(5, most), st.integers(1, cameras), st.integers(*tracklets))
    several = st.sets(st.integers(*frames), min_size=1, max_size=4)
    drawn = data.draw(st.dictionaries(key, st.tuples(several, st.booleans()), max_size=6))
    samples = list(trees.samples(name))
    for (person, camera, tracklet), (numbers, query) in drawn.items():
        at = 1 + 2 * (person % 5) + camera % 2 if name in CUHK03 else camera  # one pair a person
        role = "train" if person % 2 else "query" if query else "gallery"
        samples += [
            replace(samples[0], person=person, camera=at, role=role, frame=n, tracklet=tracklet)
            for n in numbers
        ]
    Random(len(samples)).shuffle(samples)
    check_written(name, tmp_path_factory.mktemp("drawn") / "new", samples)


def test_nobody_is_trained_on_and_searched_for(name, written):
    rows = rows_of(read(name, written[name])).values()
    people = {role: {row["person"] for row in rows if row[role]} for role in ROLES}
    assert people["query"] & people["gallery"]
    if name not in ("tvpr", "dpit"):  # whose gallery is what is trained on
        assert not people["train"] & (people["query"] | people["gallery"])


def test_pixels_and_depth_come_back(name, tmp_path):
    samples = list(trees.samples(name))
    for sample in samples:
        sample.encoded = images.encode_png(sample.image)
    ids = write(name, tmp_path / "new", samples)
    source = datasets.reader(name).open_source(tmp_path / "new")
    rows = rows_of(read(name, tmp_path / "new"))
    for image_id, sample in zip(ids, samples, strict=True):
        row = rows[image_id]
        assert (images.decode(source(row["path"])) == sample.image).all()
        assert name in CUHK03 or source(row["path"]) == sample.encoded
        assert (row["depth_path"] is None) == (sample.depth_mm is None)
        if sample.depth_mm is not None:
            assert (images.decode_depth(source(row["depth_path"])) == sample.depth_mm).all()


def test_equal_samples_give_equal_bytes_whenever_they_are_written(
    name, written, tmp_path, monkeypatch
):
    monkeypatch.setattr("time.asctime", lambda *_: "Tue Jan  1 00:00:00 1980")
    write(name, tmp_path / "new")
    assert contents(tmp_path / "new") == contents(written[name])


# --------------------------------------------------------------------------------- the listing


def test_the_order_is_not_that_of_the_disk(name, written, monkeypatch):
    expected = read(name, written[name])
    scandir, listdir = os.scandir, os.listdir

    class Reversed(list):
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

    def reversed_scandir(path):
        return Reversed(sorted(scandir(path), key=lambda entry: entry.name)[::-1])

    monkeypatch.setattr(os, "scandir", reversed_scandir)
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path))[::-1])
    assert same(read(name, written[name]), expected)


def test_a_root_that_is_a_link_is_fine(name, written, tmp_path):
    (tmp_path / "link").symlink_to(written[name])
    assert same(read(name, tmp_path / "link"), read(name, written[name]))


def test_clutter_is_passed_over(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for clutter in CLUTTER:
            (folder / clutter).touch()
    assert same(read(name, root), read(name, written[name]))


def test_counts_are_compared_with_the_published(name, written):
    listing = read(name, written[name])
    published = listing.protocols[0]["published"]
    assert set(published) <= set(listing.found)
    assert set(datasets.reader(name).info.published) <= set(listing.found)
    table = counts_table({**published, "more": 1}, listing.found)
    assert {row[0] for row in table} == {*published, *listing.found, "more"}
    for count, expected, here, differs in table:
        assert (expected, here) == ({**published, "more": 1}.get(count), listing.found.get(count))
        assert differs == (expected is not None and expected != here)
    assert ("more", 1, None, True) in table


def test_protocols_are_well_formed(name, written):
    listing = read(name, written[name])
    protocols = listing.protocols
    assert json.loads(json.dumps(protocols)) == protocols
    assert len({protocol["name"] for protocol in protocols}) == len(protocols)
    assert protocols[0]["members"] == "columns"
    assert protocols[0]["found"] == listing.found
    for protocol in protocols:
        assert set(protocol) == {
            "name", "title", "published", "found", "members", "rule", "metrics",
        }  # fmt: skip
        assert protocol["title"]
        assert set(protocol["metrics"]) <= {"cmc", "map"}
        rule = protocol["rule"]
        assert {"exclude", "junk", "distractors", "query"} <= set(rule)
        assert rule["exclude"] in ("none", "same_person_same_camera", "same_camera")
        assert not set(rule["junk"]) & set(rule["distractors"])
        check_members(protocol["members"], set(listing.files["person"].to_pylist()))


def check_members(members: Any, persons: set[int]) -> None:
    if members == "columns":
        return
    parts = members.get("columns_and", members)
    assert set(parts) <= {*ROLES, "test"}
    for part in parts.values():
        assert set(part) <= {"persons", "cameras"}
        assert part["persons"] == sorted(set(part["persons"]))
    if parts is members:
        trained = set(parts["train"]["persons"])
        for role in set(parts) - {"train"}:
            assert not trained & set(parts[role]["persons"])
            assert set(parts[role]["persons"]) <= persons


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in NEEDED.items() for path in paths]
)
def test_what_is_missing_is_named(name, path, written, tmp_path):
    root = copy(written, name, tmp_path)
    (root / path).rename(tmp_path / "elsewhere")
    message = refusal(name, root)
    assert str(root) in message
    assert Path(path).name in message


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [(n, *paths[:2]) for n, paths in NEEDED.items() if n not in (*CUHK03, "tvpr", "folder")],
)
def test_two_folders_that_are_one_are_refused(name, one, other, written, tmp_path):
    root = copy(written, name, tmp_path)
    shutil.rmtree(root / other)
    (root / other).symlink_to(root / one)
    assert "links to one and the same folder" in refusal(name, root)


def test_a_wrong_root_is_one_line(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.zip").touch()
    for root in ("empty", "none", "data.zip", "x" * 5_000):
        assert root in refusal(name, tmp_path / root)


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in LABELS.items() for path in paths]
)
@pytest.mark.parametrize("data", [b"", b"<html>sign in</html>" * 60], ids=["empty", "a web page"])
def test_another_file_for_the_labels_is_one_line(name, path, data, written, tmp_path):
    root = copy(written, name, tmp_path)
    (root / path).write_bytes(data)
    assert Path(path).name in refusal(name, root)


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in LABELS.items() for path in paths]
)
def test_a_folder_for_the_labels_is_one_line(name, path, written, tmp_path):
    root = copy(written, name, tmp_path)
    (root / path).unlink()
    (root / path).mkdir()
    listing = read_or_refused(name, root)
    assert listing is None or name in CUHK03  # whose configuration may be missing


def test_folders_that_may_not_be_read_are_one_line(name, written, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbidden)
    monkeypatch.setattr(os, "listdir", forbidden)
    if name in (*CUHK03, "folder"):  # which go by their file of labels
        assert read(name, written[name]).rejects == []
    else:
        assert "cannot be read" in refusal(name, written[name])


def test_a_root_that_may_not_be_looked_into_is_one_line(name, written, monkeypatch):
    def forbidden(self, **_):
        raise PermissionError(errno.EACCES, "Permission denied")

    for method in ("is_dir", "is_file", "exists", "stat"):
        monkeypatch.setattr(Path, method, forbidden)
    monkeypatch.setattr(os, "listdir", forbidden)
    assert str(written[name]) in refusal(name, written[name])


def test_no_query_is_counted_or_refused(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    queries = [row for row in rows_of(read(name, root)).values() if row["query"]]
    if name in CUHK03:
        with pytest.raises(ReidError, match="needs test persons"):
            write(name, tmp_path / "new", [s for s in trees.samples(name) if s.role == "train"])
        return
    for row in queries:
        (root / row["path"]).unlink()
    listing = read_or_refused(name, root)
    if listing is None:
        return
    gone = {row["image_id"] for row in queries}
    assert not gone & set(rows_of(listing))
    assert any(listing.files["train"].to_pylist())


# ---------------------------------------------------------------------------- what is a reject


@pytest.mark.parametrize("name", IN_FILES)
def test_a_name_that_is_no_text_is_a_reject(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    expected = read(name, root)
    folders = {(root / row["path"]).parent for row in rows_of(expected).values()}
    odd = (b"a\nb.jpg", b"\xff\xfe.jpg", b"\x1b[31mred.png", "\u202egpj.1".encode(), b"x" * 255)
    for folder in folders:
        for one in odd:
            (folder / os.fsdecode(one)).touch()
    listing = read(name, root)
    assert listing.files == expected.files
    assert listing.found.items() >= {
        (n, count) for n, count in expected.found.items() if not n.startswith("files_without")
    }
    assert all(f"{r.image_id}{r.reason}".isprintable() for r in listing.rejects)
    if name != "folder":  # which lists what its table names, and nothing else
        assert len(listing.rejects) == len(folders) * len(odd)
        assert len({reject.image_id for reject in listing.rejects}) == len(listing.rejects)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", IN_FILES)
def test_what_is_no_image_file_costs_its_own_row(name, odd, written, tmp_path):
    root = copy(written, name, tmp_path)
    before = rows_of(read(name, root))
    image_id, row = next((i, row) for i, row in before.items() if row["train"])
    path = root / row["path"]
    path.unlink()
    ODD[odd](path)
    listing = read(name, root)
    lost = {image_id}
    if name == "dpit":  # the maps of a video are those of its frames by position
        lost = {i for i in before if i.rpartition("/")[0] == image_id.rpartition("/")[0]}
    assert set(rows_of(listing)) == set(before) - lost
    named = {reject.image_id.rpartition(".")[0] or reject.image_id for reject in listing.rejects}
    silent = odd == "nothing" and name not in ("rap", "mars", "tvpr", "opr", "dpit", "folder")
    assert silent == (not named)
    assert all(reject.reason for reject in listing.rejects)


@pytest.mark.parametrize("name", IN_FILES)
def test_a_link_to_an_image_is_an_image(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    expected = read(name, root)
    path = root / expected.files["path"][0].as_py()
    target = (root if name == "folder" else tmp_path) / "moved"  # a table may not lead outside
    path.rename(target)
    path.symlink_to(target)
    assert read(name, root).files == expected.files


def tracklet_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["person"], row["camera"], row["tracklet"]


@pytest.mark.parametrize("name", IN_FILES)
def test_a_broken_image_is_a_reject_of_ingest_and_not_the_end(name, tmp_path):
    project = Project(trees.make(tmp_path, name))
    root = project.raw(trees.NAME)
    listing = read(name, root)
    rows = rows_of(listing)
    broken = next(i for i, row in rows.items() if row["train"])
    (root / rows[broken]["path"]).write_bytes(b"no image")
    params = ingest.Params(reader=name, shard_rows=4, max_reject_rate=0.5)
    folder = engine.run(ingest.plan(trees.NAME, params, project), project, executor="local").folder
    assert verify(folder) == []
    (reject,) = pq.read_table(folder / "rejects.parquet").to_pylist()
    assert reject == {"image_id": broken, "reason": "neither JPEG nor PNG"}
    shards = [pq.read_table(path).to_pylist() for path in sorted((folder / "rows").iterdir())]
    built = {row["image_id"]: row for shard in shards for row in shard}
    assert set(built) == set(rows) - {broken}
    for image_id, row in built.items():
        for column in LISTED.names[3:11]:
            assert row[column] == rows[image_id][column]
    tracklets = [{tracklet_of(row) for row in shard} for shard in shards]
    if None not in listing.files["tracklet"].to_pylist():
        assert sum(map(len, tracklets)) == len(set.union(*tracklets))  # none is in two shards
        for shard in shards:
            order = [(*tracklet_of(row), row["frame"]) for row in shard]
            assert order == sorted(order)
    protocols = json.loads((folder / "protocol.json").read_text())["protocols"]
    assert [p["name"] for p in protocols] == [p["name"] for p in listing.protocols]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_damage_at_random_is_rows_rejects_or_one_line(name, seed, written, tmp_path):
    root, random = copy(written, name, tmp_path), Random(f"{name} {seed}")
    (tmp_path / "outside").mkdir()
    for number in range(random.choice((1, 1, 2, 3))):
        harm(random, root, tmp_path / "outside", whole=number == 0)
    listing = read_or_refused(name, root)
    if listing is None:
        return
    ids = listing.files["image_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    for reject in listing.rejects:
        assert reject.reason
        assert f"{reject.image_id}{reject.reason}".isprintable()
    if name not in CUHK03:
        assert all((root / path).exists() for path in listing.files["path"].to_pylist())


def harm(random: Random, root: Path, outside: Path, whole: bool) -> None:
    """One name, path, content or, as long as all files are whole, label gets another."""
    paths = sorted(path for path in root.rglob("*") if not path.is_symlink())
    labels = [p for p in paths if p.suffix in labels_in_files.BY_ENDING and p.is_file()]
    path = random.choice(labels if labels and random.random() < 0.5 else paths or [root])
    kind = random.choice(("name", "path", "content", *(("label",) * whole)))
    if kind == "name":
        rename(random, path)
    elif kind == "path" or not path.is_file():
        places_of_files.move(random, path, outside)
    elif kind == "label" and path in labels:
        labels_in_files.relabel(random, path)
    else:
        contents_of_files.rewrite(random, path)


# -------------------------------------------------------------------------------------- writing


def test_a_used_folder_is_not_written_into(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    before = contents(root)
    with pytest.raises(ReidError, match="not empty; write into a new folder"):
        write(name, root)
    assert contents(root) == before


def test_a_root_that_is_a_file_is_one_line(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReidError, match="cannot be made"):
        write(name, tmp_path / "file")


def test_a_full_disk_is_one_line(name, tmp_path, monkeypatch):
    def write_bytes(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(ReidError, match="cannot be written: No space left on device"):
        write(name, tmp_path / "new")


@pytest.mark.parametrize("name", [n for n in READERS if n not in (*SPLIT_IN_TWO, "tvpr")])
def test_a_role_that_there_is_not_is_refused(name, tmp_path):
    samples = list(trees.samples(name))
    samples[0].role = "probe"
    with pytest.raises(ReidError, match="probe"):
        write(name, tmp_path / "new", samples)


EMPTY = ("market1501", "dukemtmc_reid", "dukemtmc_video")  # whose folders may hold nothing


@pytest.mark.parametrize("name", EMPTY)
def test_no_samples_are_an_empty_data_set(name, tmp_path):
    assert write(name, tmp_path / "new", []) == []
    listing = read(name, tmp_path / "new")
    assert (listing.files.num_rows, listing.rejects) == (0, [])


@pytest.mark.parametrize("name", [one for one in READERS if one not in EMPTY])
def test_no_samples_are_refused_at_once_or_when_read(name, tmp_path):
    with contextlib.suppress(ReidError):
        write(name, tmp_path / "new", [])
    listing = read_or_refused(name, tmp_path / "new")
    assert listing is None or listing.files.num_rows == 0


def test_an_unknown_reader_names_the_nearest():
    with pytest.raises(ReidError, match="no reader `Market-1501`; did you mean `market1501`"):
        datasets.reader("Market-1501")
    with pytest.raises(ReidError, match=r"no reader `os` \(there are .*market1501"):
        datasets.reader("os")
