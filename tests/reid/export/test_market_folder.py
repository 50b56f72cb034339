"""A data set as a Market-1501 folder: what other code's readers and our own make of it."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.datasets.ilids_vid import reader as ilids_vid
from pipeline.datasets.rap import reader as rap
from pipeline.datasets.tvpr import reader as tvpr
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.data.dataset import open as open_data
from reid.export.market_folder import FOLDERS, write_tree
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.reid import overhead, video
from tests.reid.conftest import other_samples


def built(root: Path, name: str, reader: str) -> Project:
    project = Project(root)
    engine.run(ingest.plan(name, ingest.Params(reader=reader), project), project, executor="local")
    return project


@pytest.fixture
def other(tmp_path: Path) -> Project:
    list(market1501.write(tmp_path / "data/0-raw/other", other_samples()))
    return built(tmp_path, "other", "market1501")


def folder_of_images(root: Path, labels: list[tuple[int, int, str]]) -> Project:
    """A data set `mine` of PNG files, one for each (person, camera, role)."""
    raw = root / "data/0-raw/mine"
    raw.mkdir(parents=True)
    lines = ["path,person,camera,role"]
    for number, (person, camera, role) in enumerate(labels):
        image = np.full((16, 8, 3), (20 * number, 50, 90), np.uint8)
        (raw / f"{number}.png").write_bytes(images.encode_png(image))
        lines.append(f"{number}.png,{person},{camera},{role}")
    (raw / "labels.csv").write_text("\n".join(lines) + "\n")
    return built(root, "mine", "folder")


# What other projects do with such a folder, worked out anew in a few lines each.


def as_torchreid(folder: Path) -> list[tuple[int, int]]:
    """(person, camera from 0) of a folder's files; also fast-reid's way."""
    labels = []
    for path in glob.glob(f"{folder.absolute()}/*.jpg"):  # noqa: PTH207  (as they do)
        match = re.compile(r"([-\d]+)_c(\d)").search(path)
        assert match is not None
        person, camera = int(match[1]), int(match[2])
        if person != -1:
            assert 0 <= person <= 1501
            assert 1 <= camera <= 6
            labels.append((person, camera - 1))
    return sorted(labels)


def as_layumi(folder: Path) -> list[tuple[int, int]]:
    """(person, camera) of a folder's files, junk included."""
    labels = []
    for path in folder.iterdir():
        if path.name.endswith("jpg"):
            label = path.name[:4]
            person = -1 if label.startswith("-1") else int(label)
            labels.append((person, int(path.name.split("c")[1][0])))
    return sorted(labels)


def labels_of(tree: Path) -> list[dict[str, str]]:
    with (tree / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def expected(project: Project, dataset: str, role: str) -> list[tuple[int, int]]:
    rows = open_data(project.root / "data", dataset).role(role)
    return sorted(zip(rows.labels("person").tolist(), rows.labels("camera").tolist(), strict=True))


@pytest.mark.parametrize("role", FOLDERS)
def test_other_readers_see_the_same_persons_and_cameras(other: Project, role: str):
    tree = other.root / "tree"
    written = write_tree(other, "other", tree)
    labels = expected(other, "other", role)
    folder = tree / FOLDERS[role]
    assert written.images[role] == len(labels) > 0
    assert as_layumi(folder) == labels
    assert as_torchreid(folder) == [(p, c - 1) for p, c in labels if p != -1]


def test_our_own_reader_reads_it_back_byte_for_byte(other: Project):
    tree = other.root / "tree"
    write_tree(other, "other", tree)
    raw = other.raw("other")
    assert market1501.read(tree).found == market1501.read(raw).found
    assert market1501.read(tree).rejects == []
    for folder in FOLDERS.values():
        files = {path.name: path.read_bytes() for path in (raw / folder).iterdir()}
        assert files == {path.name: path.read_bytes() for path in (tree / folder).iterdir()}


def test_labels_that_do_not_fit_are_numbered_anew_and_map_back(tmp_path: Path):
    labels = [(7_000, 12, "train"), (7_000, 30, "train"), (9_500, 12, "query"),
              (9_500, 30, "gallery"), (1_502, 30, "gallery")]  # fmt: skip
    project = folder_of_images(tmp_path, labels)
    written = write_tree(project, "mine", tmp_path / "tree")
    assert as_torchreid(tmp_path / "tree/bounding_box_train") == [(2, 0), (2, 1)]
    assert as_torchreid(tmp_path / "tree/query") == [(3, 0)]
    assert as_torchreid(tmp_path / "tree/bounding_box_test") == [(1, 1), (3, 1)]
    back = {(row["person"], row["written_person"]) for row in labels_of(tmp_path / "tree")}
    assert back == {("7000", "2"), ("9500", "3"), ("1502", "1")}
    assert sum("numbered anew" in note for note in written.notes) == 2


def test_images_that_are_no_jpeg_become_jpeg(tmp_path: Path):
    project = folder_of_images(tmp_path, [(1, 1, "train"), (2, 1, "query"), (2, 2, "gallery")])
    written = write_tree(project, "mine", tmp_path / "tree")
    assert any(note.startswith("3 images that are no JPEG") for note in written.notes)
    for number, row in enumerate(labels_of(tmp_path / "tree")):
        data = (tmp_path / "tree" / row["file"]).read_bytes()
        assert images.kind_of(data) == "jpeg"
        colour = (20 * int(row["image_id"]), 50, 90)
        assert np.abs(images.decode(data).astype(int) - colour).max() <= 3, number
    assert market1501.read(tmp_path / "tree").rejects == []


def test_an_image_in_both_roles_is_in_both_folders(tmp_path: Path):
    def samples() -> Iterator[Sample]:
        image = np.full((24, 12, 3), 90, np.uint8)
        for person, role in ((1, "train"), (2, "query")):
            for camera in (1, 2):
                yield Sample(image, person, camera, role, viewpoint=1)

    list(rap.write(tmp_path / "data/0-raw/mall", samples()))
    project = built(tmp_path, "mall", "rap")
    both = {*expected(project, "mall", "query")} & {*expected(project, "mall", "gallery")}
    assert both, "RAP keeps queries in the gallery"
    write_tree(project, "mall", tmp_path / "tree")
    query, gallery = (
        {row["image_id"]: row["file"] for row in labels_of(tmp_path / "tree") if row["role"] == r}
        for r in ("query", "gallery")
    )
    shared = query.keys() & gallery.keys()
    assert shared
    for image_id in shared:
        files = [tmp_path / "tree" / side[image_id] for side in (query, gallery)]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert files[0].name == files[1].name


def test_frames_from_above_are_written_without_their_depth(tmp_path: Path):
    list(tvpr.write(tmp_path / "data/0-raw/top", overhead.samples(persons=2, frames=2)))
    project = built(tmp_path, "top", "tvpr")
    written = write_tree(project, "top", tmp_path / "tree")
    assert written.images == {"train": 4, "query": 4, "gallery": 4}
    assert as_torchreid(tmp_path / "tree/query") == [(1, 1), (1, 1), (2, 1), (2, 1)]
    assert as_torchreid(tmp_path / "tree/bounding_box_test") == [(1, 0), (1, 0), (2, 0), (2, 0)]
    assert any("compares tracklets" in note for note in written.notes)
    assert len([*(tmp_path / "tree").rglob("*.*")]) == 14


def test_a_random_split_must_be_named(tmp_path: Path):
    list(ilids_vid.write(tmp_path / "data/0-raw/hall", video.samples()))
    project = built(tmp_path, "hall", "ilids_vid")
    with pytest.raises(ReidError, match="name one by --protocol") as error:
        write_tree(project, "hall", tmp_path / "tree")
    assert "\n" not in str(error.value)
    write_tree(project, "hall", tmp_path / "tree", "split-02")
    data = open_data(tmp_path / "data", "hall").under("split-02")
    people = {*data.role("train").labels("person").tolist()}
    assert {p for p, _ in as_torchreid(tmp_path / "tree/bounding_box_train")} == people
    assert not people & {p for p, _ in as_torchreid(tmp_path / "tree/query")}


MANY = [*((1, camera, "train") for camera in range(1, 8)), (2, 1, "query"), (2, 2, "gallery")]


@pytest.mark.parametrize(
    ("labels", "wide", "said"),
    [
        pytest.param(MANY, False, "7 cameras, .* take 6; --wide allows 9", id="seven cameras"),
        pytest.param(
            [*MANY, (1, 8, "train"), (1, 9, "train"), (1, 10, "train")], True,
            "10 cameras, .* take 9$", id="ten cameras",
        ),
    ],
)  # fmt: skip
def test_labels_that_no_name_can_hold(tmp_path: Path, labels, wide: bool, said: str):
    project = folder_of_images(tmp_path, labels)
    with pytest.raises(ReidError, match=said):
        write_tree(project, "mine", tmp_path / "tree", wide=wide)
    assert not (tmp_path / "tree").exists()


def test_wide_writes_what_torchreid_refuses(tmp_path: Path):
    project = folder_of_images(tmp_path, MANY)
    write_tree(project, "mine", tmp_path / "tree", wide=True)
    assert as_layumi(tmp_path / "tree/bounding_box_train") == [(1, c) for c in range(1, 8)]
    with pytest.raises(AssertionError):
        as_torchreid(tmp_path / "tree/bounding_box_train")


def test_a_used_or_misleading_folder_is_refused_and_nothing_is_left(other: Project):
    used = other.root / "used"
    used.mkdir()
    (used / "mine.txt").write_text("keep")
    with pytest.raises(ReidError, match="not empty"):
        write_tree(other, "other", used)
    assert [path.name for path in used.iterdir()] == ["mine.txt"]
    with pytest.raises(ReidError, match="would take `7_c3` in its path"):
        write_tree(other, "other", other.root / "run7_c3")
    assert not [p for p in other.root.iterdir() if p.name.endswith(".partial")]
