"""Roles of one's own images by a random split of the persons."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.base import Split
from pipeline.datasets.folder import reader as folder
from reid.project.errors import ReidError

HALF = Split(0.5)


def make(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def named(persons: int = 8, cameras: int = 3, shots: int = 4) -> list[str]:
    return [
        f"{'anna' if person == 1 else f'p{person}'}/cam{camera}_{shot:04d}.jpg"
        for person in range(1, persons + 1)
        for camera in range(1, cameras + 1)
        for shot in range(shots)
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "mine", named())


def rows(root: Path, split: Split = HALF) -> list[dict[str, Any]]:
    return folder.split(root, split).files.to_pylist()


def roles(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(role for role in ("train", "query", "gallery") if row[role])


def test_names_alone_are_enough(root):
    listing = folder.split(root, HALF)
    assert listing.rejects == []
    assert listing.files.num_rows == 8 * 3 * 4
    assert listing.names["persons"]["anna"] == 1
    assert listing.names["cameras"] == {"cam1": 1, "cam2": 2, "cam3": 3}
    first = min(listing.files.to_pylist(), key=lambda row: row["image_id"])
    assert (first["image_id"], first["frame"]) == ("anna/cam1_0000", 0)


def test_half_of_the_persons_train_and_the_others_have_a_query_in_each_camera(root):
    listed = rows(root)
    trained = {row["person"] for row in listed if row["train"]}
    assert len(trained) == 4
    counted = Counter((row["person"], row["camera"], roles(row)) for row in listed)
    for person in range(1, 9):
        for camera in (1, 2, 3):
            mine = {r: n for (p, c, r), n in counted.items() if (p, c) == (person, camera)}
            if person in trained:
                assert mine == {("train",): 4}
            else:
                assert mine == {("query",): 1, ("gallery",): 3}
    assert all(row["part"] == ("train" if row["train"] else "test") for row in listed)


def test_the_seed_decides(root):
    assert rows(root) == rows(root)
    assert rows(root) != rows(root, Split(0.5, 1))
    assert len({row["person"] for row in rows(root, Split(0.25)) if row["train"]}) == 2


def test_the_rule_is_told(root):
    (protocol,) = folder.split(root, Split(0.5, 7)).protocols
    assert "seed 7: 0.5 of the persons train" in protocol["title"]
    assert protocol["found"]["query_identities"] == 4


def test_the_only_image_of_a_person_in_a_camera_is_query_and_gallery(tmp_path):
    listed = rows(make(tmp_path / "mine", named(shots=1)))
    assert {roles(row) for row in listed} == {("train",), ("query", "gallery")}


def test_of_one_camera_the_only_image_is_not_its_own_match(tmp_path):
    names = [*named(cameras=1, shots=2), *(f"q{person}/cam1_0.jpg" for person in range(8))]
    listing = folder.split(make(tmp_path / "mine", names), HALF)
    only = [row for row in listing.files.to_pylist() if row["image_id"].startswith("q")]
    assert {roles(row) for row in only} == {("train",), ("gallery",)}
    assert [protocol["name"] for protocol in listing.protocols] == ["folder", "all_pairs"]


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("labels.csv", "path,person,camera\n" + "".join(
            f"{name},{name.split('/')[0]},{name.split('/')[1].split('_')[0]}\n" for name in named()
        )),
        ("reid.yaml", "pattern: '(?P<person>.*)/(?P<camera>cam[0-9])_(?P<frame>[0-9]+)\\.jpg'\n"),
    ],
)  # fmt: skip
def test_labels_without_roles_give_the_same(root, source, content):
    expected = [{**row, "frame": 0} for row in rows(root)]
    (root / source).write_text(content)
    assert [{**row, "frame": 0} for row in rows(root)] == expected


def test_junk_and_distractors_stay_in_the_gallery(root):
    names = named()
    lines = [f"{n},{i % 8 - 1},{n.split('/')[1][3]}" for i, n in enumerate(names)]
    (root / "labels.csv").write_text("path,person,camera\n" + "\n".join(lines) + "\n")
    apart = [row for row in rows(root) if row["person"] < 1]
    assert apart
    assert {roles(row) for row in apart} == {("gallery",)}


@pytest.mark.parametrize(
    ("names", "split", "labels", "said"),
    [
        (named(2), 0.5, "", "0.5 of 2 persons leaves 1 to train on and 1 to test"),
        (named(8), 0.99, "", "0.99 of 8 persons leaves 8 to train on and 0 to test"),
        (["a.jpg", "b/c.jpg"], 0.5, "", "no image with labels, 2 rejects; name"),
        ([], 0.5, "", "no image with labels, 0 rejects"),
        (["a.jpg"], 0.5, "path,person,camera,role\na.jpg,1,1,train\n", "gives roles by"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_one_line(tmp_path, names, split, labels, said):
    root = make(tmp_path / "mine", names)
    root.mkdir(exist_ok=True)
    if labels:
        (root / "labels.csv").write_text(labels)
    with pytest.raises(ReidError, match=said):
        folder.split(root, Split(split))


def test_a_folder_that_is_not_there_is_said_so(tmp_path):
    """Not what a folder without labels is told: --split was given."""
    file = tmp_path / "file"
    file.touch()
    for wrong in (tmp_path / "none", file):
        with pytest.raises(ReidError, match=r"no such folder$"):
            folder.split(wrong, HALF)


def test_folders_that_give_roles_are_not_split(tmp_path):
    root = make(tmp_path / "mine", ["train/1_1.jpg", "test/2_1.jpg"])
    text = "pattern: '.*/(?P<person>[0-9])_(?P<camera>[0-9])\\.jpg'\nroles: {test: [query]}\n"
    (root / "reid.yaml").write_text(text)
    with pytest.raises(ReidError, match="gives roles by folders; leave --split out"):
        folder.split(root, HALF)
