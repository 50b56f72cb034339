"""The digest changes when names, sizes or labels do, and for nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.builds import folders as module
from pipeline.builds.scan import scan as scan_project
from reid.project.errors import ReidError
from reid.project.layout import Project


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """0-raw with one data set: a.jpg of 3 bytes, b/c.jpg of 5, b/d.jpg of none."""
    folder = tmp_path / "data" / "0-raw"
    (folder / "street" / "b").mkdir(parents=True)
    (folder / "street" / "a.jpg").write_bytes(b"123")
    (folder / "street" / "b" / "c.jpg").write_bytes(b"12345")
    (folder / "street" / "b" / "d.jpg").touch()
    return folder


def scan(raw: Path, dataset: str) -> dict[str, Any]:
    return scan_project(Project(raw.parents[1]), dataset)


def test_digest_is_of_sorted_paths_and_sizes(raw):
    found = scan(raw, "street")
    text = "a.jpg\t3\nb/c.jpg\t5\nb/d.jpg\t0\n"
    expected = {"files": 3, "bytes": 8, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert found == {"dataset": "street", **expected}
    assert json.loads((raw / "street.json").read_bytes()) == found


@pytest.mark.parametrize("name", ["street.folders", "street.json"])
def test_what_cannot_be_written_is_one_line(raw, name, monkeypatch):
    monkeypatch.setattr(module, "SETTLED_NS", -(10**9))  # so that there is a record to write
    (raw / name).mkdir()
    said = rf"{name}: cannot be written \(Is a directory\); .* allow writing in {raw}, or make room"
    with pytest.raises(ReidError, match=said):
        scan(raw, "street")


def test_truth_is_covered(raw):
    (raw / "street.truth").mkdir()
    (raw / "street.truth" / "joints.parquet").write_bytes(b"1")
    before = scan(raw, "street")
    assert (before["truth"]["files"], before["truth"]["bytes"]) == (1, 1)
    (raw / "street.truth" / "joints.parquet").write_bytes(b"12")
    after = scan(raw, "street")
    assert after["truth"] != before["truth"]
    assert after["sha256"] == before["sha256"]


def test_no_change_no_write(raw):
    scan(raw, "street")
    digest = raw / "street.json"
    before = digest.read_bytes(), digest.stat().st_ino
    os.utime(raw / "street" / "a.jpg", (1, 1))  # times are no part of it
    (raw / "street" / "b" / "c.jpg").write_bytes(b"54321")  # nor is content
    scan(raw, "street")
    assert (digest.read_bytes(), digest.stat().st_ino) == before
    assert {p.name for p in raw.iterdir()} - {"street.folders"} == {"street", "street.json"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: (d / "a.jpg").write_bytes(b"1234"), id="another size"),
        pytest.param(lambda d: (d / "a.jpg").rename(d / "e.jpg"), id="another name"),
        pytest.param(lambda d: (d / "a.jpg").rename(d / "b" / "a.jpg"), id="another folder"),
        pytest.param(lambda d: (d / "b" / "d.jpg").unlink(), id="an empty file less"),
        pytest.param(lambda d: (d / "e.jpg").symlink_to(d / "none"), id="a link to nothing more"),
    ],
)
def test_any_change_is_seen(raw, change):
    before = scan(raw, "street")["sha256"]
    change(raw / "street")
    assert scan(raw, "street")["sha256"] != before


@pytest.mark.parametrize("name", ["labels.csv", "b/labels.PARQUET", "split.mat", "notes"])
def test_an_edit_at_equal_size_of_what_is_no_image_is_seen(raw, name):
    path = raw / "street" / name
    path.write_bytes(b"a.jpg,1")
    before = scan(raw, "street")
    path.write_bytes(b"a.jpg,5")
    after = scan(raw, "street")
    assert (before["files"], before["bytes"]) == (after["files"], after["bytes"])
    assert before["sha256"] != after["sha256"]


def test_the_truth_s_content_is_seen(raw):
    truth = raw / "street.truth"
    truth.mkdir()
    (truth / "joints.parquet").write_bytes(b"1")
    before = scan(raw, "street")["truth"]["sha256"]
    (truth / "joints.parquet").write_bytes(b"2")
    assert scan(raw, "street")["truth"]["sha256"] != before


def test_a_large_file_is_told_by_its_time(raw, monkeypatch):
    monkeypatch.setattr(module, "HASHED_BYTES", 4)
    path = raw / "street" / "frames.oni"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1))
    before = scan(raw, "street")["sha256"]
    os.utime(path, ns=(1, 2))
    assert scan(raw, "street")["sha256"] != before


def test_a_pipe_is_not_waited_for(raw):
    os.mkfifo(raw / "street" / "pipe")
    assert scan(raw, "street")["files"] == 4


def test_a_link_whose_target_is_gone_is_one_line(raw, tmp_path):
    (raw / "mall").symlink_to(tmp_path / "gone")
    with pytest.raises(ReidError, match=r"mall: links to .*gone, which is gone; bring it back"):
        scan(raw, "mall")


def test_place_and_order_of_creation_do_not_matter(raw, tmp_path):
    copy = tmp_path / "elsewhere" / "data" / "0-raw" / "street"
    (copy / "b").mkdir(parents=True)
    for path in ("b/d.jpg", "b/c.jpg", "a.jpg"):
        (copy / path).write_bytes((raw / "street" / path).read_bytes())
    assert scan(copy.parent, "street") == scan(raw, "street")


def test_a_linked_data_set_is_followed(raw, tmp_path):
    expected = scan(raw, "street")
    linked = tmp_path / "other" / "data" / "0-raw"
    linked.mkdir(parents=True)
    (linked / "street").symlink_to(raw / "street")
    assert scan(linked, "street") == expected


def test_loops_end_and_count_nothing_twice(raw):
    before = scan(raw, "street")
    (raw / "street" / "b" / "up").symlink_to("..")
    (raw / "street" / "here").symlink_to(".")
    (raw / "street" / "self").symlink_to("self")
    (raw / "street" / "b" / "again").symlink_to(raw / "street" / "b")
    found = scan(raw, "street")
    assert (found["files"], found["bytes"]) == (before["files"], before["bytes"])
    assert found["sha256"] != before["sha256"]


def test_many_crossing_links_take_no_time(raw):
    folders = [raw / "street" / f"x{i}" for i in range(12)]
    for folder in folders:
        folder.mkdir()
        for other in folders:
            (folder / other.name).symlink_to(other)  # 12! ways through
    assert scan(raw, "street")["files"] == 3


def test_a_name_that_is_no_text(raw):
    (raw / "street" / os.fsdecode(b"\xff\n.jpg")).touch()
    assert scan(raw, "street")["files"] == 4


@pytest.mark.parametrize("name", ["", "..", "a/b", "Street", "street.truth", "-x", "a b", "a\n"])
def test_bad_names_are_refused(raw, name):
    with pytest.raises(ReidError, match="cannot name a data set"):
        scan(raw, name)


def test_a_missing_folder_is_one_line(raw):
    with pytest.raises(ReidError, match="mall: no such folder; `reid add`"):
        scan(raw, "mall")
    assert not (raw / "mall.json").exists()


def test_an_unreadable_folder_is_one_line(raw, monkeypatch):
    real = os.open

    def refuse(place, *given, **named):
        if os.fsencode(place).endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        return real(place, *given, **named)

    monkeypatch.setattr(module.os, "open", refuse)
    with pytest.raises(ReidError, match=r"street/b: cannot be read \(Permission denied\)"):
        scan(raw, "street")
    assert not (raw / "street.json").exists()
