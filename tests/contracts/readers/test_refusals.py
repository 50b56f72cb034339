"""What every reader refuses, in one line that names it: whole folders and files of labels."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.io import savemat

from pipeline import datasets
from reid.project.errors import ReidError
from tests.contracts.readers.layouts import (
    CUHK03,
    LABELS,
    NEEDED,
    copy,
    read,
    read_or_refused,
    refusal,
    rows_of,
    samples_of,
    write,
)

VARIABLES = (  # of the MATLAB 5 files
    ("rap", "RAP_annotation/RAP_annotation.mat", "RAP_annotation"),
    ("mars", "info/tracks_train_info.mat", "track_train_info"),
    ("mars", "info/query_IDX.mat", "query_IDX"),
    ("ilids_vid", "train-test people splits/train_test_splits_ilidsvid.mat", "ls_set"),
)
KINDS = {
    "text": "0001", "a cell": np.array([["a", 1]], object), "sparse": sparse.csc_matrix(np.eye(4)),
    "complex numbers": np.ones((3, 4)) * 1j,
    "two structs": np.array([(1,), (2,)], [("name", "O")]),
}  # fmt: skip


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "path", "variable"), VARIABLES)
def test_a_variable_of_another_kind_is_one_line(name, path, variable, kind, written, tmp_path):
    root = copy(written, name, tmp_path)
    savemat(root / path, {variable: KINDS[kind]})
    message = refusal(name, root)
    assert message.startswith(f"{root / path}: `{variable}` is ")
    assert "expected " in message


@pytest.mark.parametrize(("name", "path", "variable"), VARIABLES)
def test_another_variable_is_one_line(name, path, variable, written, tmp_path):
    root = copy(written, name, tmp_path)
    savemat(root / path, {"another": np.ones((3, 4))})
    assert f"{Path(path).name}: no variable `{variable}`" in refusal(name, root)


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
            write(name, tmp_path / "new", [s for s in samples_of(name) if s.role == "train"])
        return
    for row in queries:
        (root / row["path"]).unlink()
    listing = read_or_refused(name, root)
    if listing is None:
        return
    gone = {row["image_id"] for row in queries}
    assert not gone & set(rows_of(listing))
    assert any(listing.files["train"].to_pylist())


def test_an_unknown_reader_names_the_nearest():
    with pytest.raises(ReidError, match="no reader `Market-1501`; did you mean `market1501`"):
        datasets.reader("Market-1501")
    with pytest.raises(ReidError, match=r"no reader `os` \(there are .*market1501"):
        datasets.reader("os")
