"""What every reader writes: equal bytes into a new folder; what does not fit is refused."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from reid.project.errors import ReidError
from tests.conftest import contents
from tests.contracts.readers.layouts import (
    FRAMES,
    LIMITS,
    NOBODY,
    READERS,
    SPLIT_IN_TWO,
    WITH_DEPTH,
    copy,
    read,
    read_or_refused,
    samples_of,
    write,
)


def test_equal_samples_give_equal_bytes_whenever_they_are_written(
    name, written, tmp_path, monkeypatch
):
    monkeypatch.setattr("time.asctime", lambda *_: "Tue Jan  1 00:00:00 1980")
    write(name, tmp_path / "new")
    assert contents(tmp_path / "new") == contents(written[name])


@pytest.mark.parametrize("name", ["mars", "dukemtmc_video", "ilids_vid", "prid2011", "opr", "tvpr"])
def test_the_order_of_samples_does_not_matter(name, written, tmp_path):
    write(name, tmp_path / "new", samples_of(name)[::-1])
    assert contents(tmp_path / "new") == contents(written[name])


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
    with pytest.raises(ReidError, match=r"role `?probe"):
        write(name, tmp_path / "new", samples_of(name, role="probe"))


@pytest.mark.parametrize(
    ("name", "label", "value"),
    [
        (name, label, value)
        for name, limits in LIMITS.items()
        for label, (least, most) in limits.items()
        for value in (least - 1, most + 1)
    ],
)
def test_a_label_beyond_its_limits_is_refused(name, label, value, tmp_path):
    sample = replace(samples_of(name)[-1], **{label: value})
    with pytest.raises(ReidError, match=f"{label} {value} (does not fit|is not in)"):
        write(name, tmp_path / "new", [sample])
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".png")]


@pytest.mark.parametrize(
    ("name", "person"), [(n, one) for n, all_ in NOBODY.items() for one in all_]
)
def test_nobody_is_trained_on_or_searched(name, person, tmp_path):
    for role in ("train", "query"):
        with pytest.raises(ReidError, match=f"person {person} .*may be in the gallery"):
            write(name, tmp_path / role, samples_of(name, person=person, role=role))


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_not_written_twice(name, tmp_path):
    first = samples_of(name)[0]
    with pytest.raises(ReidError, match=r"twice|two (frames|images) |frame \d+ after \d+"):
        write(name, tmp_path / "new", [first, first])


@pytest.mark.parametrize("name", WITH_DEPTH)
def test_an_image_without_its_depth_is_refused(name, tmp_path):
    with pytest.raises(ReidError, match=r"depth must be .* none"):
        write(name, tmp_path / "new", samples_of(name, depth_mm=None))


@pytest.mark.parametrize("name", ["rap", "tvpr", "ilids_vid", "prid2011", "folder"])
def test_bytes_that_are_no_image_are_refused(name, tmp_path):
    with pytest.raises(ReidError, match=r"neither JPEG nor PNG|must be PNG, not neither"):
        write(name, tmp_path / "new", samples_of(name, encoded=b"GIF89a"))


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
