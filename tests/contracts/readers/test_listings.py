"""What every reader lists: what was written is read back, counted and given a protocol.

The tests of a data set say what is its own: names, tables, splits, protocols and printed counts.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import datasets
from pipeline.datasets.base import LISTED, Sample, counts_table
from reid.arrays import images
from tests.contracts.readers.layouts import (
    ABOVE,
    CUHK03,
    IN_FILES,
    ROLES,
    RULES,
    SPLIT_IN_TWO,
    copy,
    image_folders,
    read,
    rows_of,
    same,
    samples_of,
    write,
)

OWN_PERSONS = CUHK03  # numbered anew, by pair of cameras and position
BY_PART = ("dpit",)  # the camera follows from the role
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


def test_a_reader_has_its_parts(name):
    info = datasets.reader(name).info
    assert all((info.title, info.layout, info.licence, info.where, info.citation))
    assert all(number > 0 for number in info.published.values())


def test_what_is_written_is_read(name, tmp_path):
    check_written(name, tmp_path / "new", samples_of(name))


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
@settings(max_examples=25)
@given(data=st.data())
def test_whatever_labels_fit_are_read_back(name, tmp_path_factory, data):
    """Odd persons are trained on; those of the tree are there, for layouts that need some."""
    most, cameras, tracklets, frames = DRAWN[name]
    key = st.tuples(st.integers(5, most), st.integers(1, cameras), st.integers(*tracklets))
    several = st.sets(st.integers(*frames), min_size=1, max_size=4)
    drawn = data.draw(st.dictionaries(key, st.tuples(several, st.booleans()), max_size=6))
    samples = samples_of(name)
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
    samples = samples_of(name)
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


@pytest.mark.parametrize("name", [one for one in IN_FILES if one != "folder"])  # follows no link
def test_a_linked_folder_is_a_folder(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    for number, folder in enumerate(image_folders(read(name, root), root)):
        folder.rename(tmp_path / f"moved{number}")
        folder.symlink_to(tmp_path / f"moved{number}")
    assert same(read(name, root), read(name, written[name]))


@pytest.mark.parametrize(("name", "inner"), ABOVE)
def test_the_folder_above_is_as_good(name, inner, written, tmp_path):
    home = copy(written, name, tmp_path).rename(tmp_path / inner)
    above, itself = read(name, tmp_path), read(name, home)
    assert above.files["image_id"] == itself.files["image_id"]
    assert above.protocols == itself.protocols
    for path, below in zip(above.files["path"], itself.files["path"], strict=True):
        assert path.as_py() == f"{inner}/{below}"
        assert (tmp_path / path.as_py()).is_file()
    locate = datasets.reader(name).locate
    assert locate(tmp_path) == home == locate(home)


def test_clutter_and_what_lies_beside_are_passed_over(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for clutter in CLUTTER:
            (folder / clutter).touch()
    (root / "readme.txt").touch()
    if name not in ("tvpr", "opr"):  # each folder is a recording, or a person
        (root / "another").mkdir()
        (root / "another/0002_c1s1_000451_03.jpg").touch()
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


@pytest.mark.parametrize("name", RULES)
def test_the_rule_is_that_of_the_data_set(name, written):
    exclude, junk, distractors, query = RULES[name]
    for protocol in read(name, written[name]).protocols:
        rule = protocol["rule"]
        assert (rule["exclude"], rule["junk"], rule["distractors"]) == (exclude, junk, distractors)
        assert rule["query"] == query
        assert rule.get("gallery", "single") == query
