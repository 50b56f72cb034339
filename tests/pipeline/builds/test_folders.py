"""What each pass over a raw folder sees, against a plain walk; and what it need not list again."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.builds import folders
from pipeline.builds.folders import digest

Change = Callable[[Path], object]


def plain(root: Path) -> dict[str, Any]:
    """The digest by `os.walk` alone, of a tree that leads to no folder twice."""
    lines = []
    for place, _, files in os.walk(root, followlinks=True):
        for path in (Path(place, name) for name in files):
            told = str(path.stat().st_size) if path.exists() else "missing"
            if path.suffix != ".jpg" and path.exists():
                told += "\t" + hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append((os.fsencode(path.relative_to(root)), told))
    text = b"".join(b"%s\t%s\n" % (path, told.encode()) for path, told in sorted(lines))
    sizes = [int(told.split()[0]) for _, told in lines if told != "missing"]
    return {"files": len(sizes), "bytes": sum(sizes), "sha256": hashlib.sha256(text).hexdigest()}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders whose names sort otherwise as paths; a link out of the tree; labels."""
    root = tmp_path / "raw"
    for name in ("a", "a-b", "a/deep/er", "b"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            (root / name / f"{i}.jpg").write_bytes(b"1" * i)
    (root / "a.jpg").write_bytes(b"12")
    (root / "b/labels.csv").write_bytes(b"a.jpg,1")
    (root / os.fsdecode(b"\xff\n\t.jpg")).touch()
    (tmp_path / "else/where").mkdir(parents=True)
    (tmp_path / "else/where/0.jpg").touch()
    (tmp_path / "other").mkdir()
    (root / "link").symlink_to(tmp_path / "else")
    monkeypatch.setattr(folders, "SETTLED_NS", 20_000_000)
    time.sleep(0.05)  # longer than so, and than a tick of the file system's clock
    return root


def set_back(folder: Path, change: Change) -> None:
    """Change a folder and give it the time of before, as rsync does."""
    before = folder.stat()
    change(folder)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def relabel(root: Path) -> None:
    """Another content of equal size and time."""
    path = root / "b/labels.csv"
    before = path.stat()
    path.write_bytes(b"a.jpg,2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def relink(root: Path, target: str) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to(target)


CHANGES = {
    "added": lambda r: (r / "b/9.jpg").touch(),
    "added below": lambda r: (r / "a/deep/er/9.jpg").touch(),
    "a folder added": lambda r: shutil.copytree(r / "b", r / "c"),
    "removed": lambda r: (r / "a-b/1.jpg").unlink(),
    "a folder removed": lambda r: shutil.rmtree(r / "a/deep"),
    "renamed": lambda r: (r / "a/1.jpg").rename(r / "a/4.jpg"),
    "moved": lambda r: (r / "a/1.jpg").rename(r / "a/deep/4.jpg"),
    "a folder moved": lambda r: (r / "a/deep").rename(r / "b/deep"),
    "folders swapped": lambda r: swap(r / "a", r / "a-b"),
    "replaced by another": lambda r: (r / "b/1.jpg").rename(r / "b/2.jpg"),
    "a link retargeted": lambda r: relink(r, "../other"),
    "a link to nothing": lambda r: relink(r, "none"),
    "behind a link": lambda r: (r / "link/where/1.jpg").touch(),
    "what a link leads to": lambda r: swap(r.parent / "else", r.parent / "other"),
    "a file in place of a link's folder": lambda r: (
        shutil.rmtree(r.parent / "else"), (r.parent / "else").touch()
    ),
    "a folder's time set back": lambda r: set_back(r / "b", lambda f: (f / "9.jpg").touch()),
    "labels of equal size and time": relabel,
}  # fmt: skip
REWRITTEN = {
    "rewritten": lambda r: (r / "a/1.jpg").write_bytes(b"12345"),
    "behind a link, rewritten": lambda r: (r / "link/where/0.jpg").write_bytes(b"1"),
}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_each_pass_sees_each_change(tree, tmp_path, change, quick):
    record = tmp_path / "record"
    before = digest(tree, record)
    assert before == plain(tree)
    CHANGES[change](tree)
    expected = plain(tree)
    assert expected["sha256"] != before["sha256"]
    assert digest(tree, record, quick=quick) == expected
    assert digest(tree, record, quick=quick) == expected


@pytest.mark.parametrize("change", REWRITTEN)
def test_a_quick_pass_alone_passes_over_what_was_rewritten(tree, tmp_path, change):
    record = tmp_path / "record"
    before = digest(tree, record)
    REWRITTEN[change](tree)
    assert digest(tree, record, quick=True) == before
    expected = plain(tree)
    assert digest(tree, record) == expected
    assert digest(tree, record, quick=True) == expected  # the record was made anew


def listed(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> list[list[str]]:
    """The names in the folders that a call lists."""
    seen: list[list[str]] = []
    real = folders._list

    def spy(opened, here):
        seen.append(sorted(os.listdir(opened)))  # noqa: PTH208
        return real(opened, here)

    with monkeypatch.context() as patch:
        patch.setattr(folders, "_list", spy)
        call()
    return seen


def test_a_changed_folder_alone_is_listed_again(tree, tmp_path, monkeypatch):
    record = tmp_path / "record"
    (tree / "link").unlink()  # a folder with a link in it is always listed
    time.sleep(0.05)
    assert len(listed(monkeypatch, lambda: digest(tree, record))) == 6
    assert listed(monkeypatch, lambda: digest(tree, record, quick=True)) == []
    (tree / "a/deep/1.jpg").touch()
    assert listed(monkeypatch, lambda: digest(tree, record, quick=True)) == [["1.jpg", "er"]]


def test_what_changed_just_now_is_listed_again(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "SETTLED_NS", 60 * 10**9)
    record = tmp_path / "record"
    digest(tree, record)
    assert len(listed(monkeypatch, lambda: digest(tree, record, quick=True))) == 8


@pytest.mark.parametrize("at", [0, 31, 32, 300, -9, -1])
def test_a_damaged_record_is_not_used(tree, tmp_path, at):
    record = tmp_path / "record"
    before = digest(tree, record)
    data = bytearray(record.read_bytes())
    data[at] ^= 1
    for damaged in (data, data[:at]):
        record.write_bytes(damaged)
        assert folders._read(record) == {}
        assert digest(tree, record, quick=True) == before


def test_an_unchanged_record_is_left_alone(tree, tmp_path):
    record = tmp_path / "record"
    digest(tree, record)
    before = record.stat().st_ino
    digest(tree, record)
    digest(tree, record, quick=True)
    assert record.stat().st_ino == before
