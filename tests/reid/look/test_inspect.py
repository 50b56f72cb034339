"""Rows as values and contact sheets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from reid.arrays import images
from reid.look.inspect import CAPTION_HEIGHT, MARGIN, contact_sheet, pictured, rows_table
from reid.project.errors import ReidError
from reid.shards import schema
from reid.shards.folder import Shard, Shards, with_sizes, write_shard

RED = np.full((16, 8, 3), (255, 0, 0), np.uint8)
DEPTH = np.array([[0, 1000], [2000, 3000]], np.uint16).repeat(4, 0).repeat(4, 1)  # (8, 8)
MASK = np.array([[True, False]] * 2).repeat(8, 0).repeat(4, 1)  # (16, 8)


def column(arrays):
    encoded = [None if a is None else {"bytes": images.encode_png(a)} for a in arrays]
    return pa.array(encoded, schema.IMAGE)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows").mkdir()
    table = pa.table(
        {
            "image_id": ["a/0", "a/1", "a/2"],
            "image": column([RED, None, RED]),
            "depth": column([DEPTH, DEPTH, None]),
            "mask": column([MASK, MASK, MASK]),
            "person": pa.array([3, 4, 5], pa.int32()),
            "camera": pa.array([1, 2, 1], pa.int16()),
        }
    )
    for n in range(2):
        write_shard(tmp_path / f"rows/all-{n:05d}-of-00002.parquet", with_sizes(table), {})
    return tmp_path


def cell_of(sheet, row, column, cell=(16, 8)):
    top, left = row * (cell[0] + CAPTION_HEIGHT + MARGIN), column * (cell[1] + MARGIN)
    return sheet[top : top + cell[0], left : left + cell[1]]


def test_rows_hold_no_bytes(folder):
    rows = rows_table(Shards(folder), 4)
    assert [row["person"] for row in rows] == [3, 4, 5, 3]
    assert rows[1]["image_size"] is None
    assert "image" not in rows[0]
    assert len(rows_table(Shards(folder).shards[0], 9)) == 3


def test_rows_without_a_picture_are_passed_over(folder):
    assert pictured(Shards(folder), 3) == [0, 2, 3]
    assert pictured(Shards(folder), 9) == [0, 2, 3, 5]
    assert pictured(Shards(folder).shards[0], 9) == [0, 2]


def test_pictures_stand_in_a_grid(folder):
    sheet = contact_sheet(Shards(folder), [0, 1, 2, 5], columns=3, cell=(16, 8))
    assert sheet.shape == (2 * (16 + CAPTION_HEIGHT + MARGIN), 3 * (8 + MARGIN), 3)
    assert sheet.dtype == np.uint8
    assert (cell_of(sheet, 0, 0) == (255, 0, 0)).all()
    assert (cell_of(sheet, 0, 1) == 200).all()  # null
    assert (cell_of(sheet, 1, 0) == (255, 0, 0)).all()
    assert (cell_of(sheet, 1, 1) == 255).all()  # no row


def test_the_caption_is_drawn_below(folder):
    sheet = contact_sheet(Shards(folder), [0], columns=1, cell=(32, 32))
    assert (sheet[33:44] < 128).any()
    other = contact_sheet(Shards(folder), [2], columns=1, cell=(32, 32))
    assert (sheet[32:] != other[32:]).any()  # p3 c1, p5 c1


def test_depth_is_scaled_and_no_reading_is_black(folder):
    sheet = contact_sheet(Shards(folder), [0], columns=1, cell=(8, 8), column="depth")
    cell = cell_of(sheet, 0, 0, (8, 8))
    assert [int(cell[y, x, 0]) for y, x in ((0, 0), (0, 7), (7, 0), (7, 7))] == [0, 32, 143, 255]


def test_masks_are_black_and_white(folder):
    sheet = contact_sheet(Shards(folder), [0], columns=1, cell=(16, 8), column="mask")
    assert (cell_of(sheet, 0, 0) == (MASK * 255)[..., None]).all()


def test_proportions_are_kept(folder):
    sheet = contact_sheet(Shards(folder), [0], columns=1, cell=(16, 16))
    cell = cell_of(sheet, 0, 0, (16, 16))
    assert (cell[:, 4:12] == (255, 0, 0)).all()
    assert (cell[:, :4] == 255).all()


def test_sources(folder):
    paths = sorted((folder / "rows").glob("*.parquet"))
    expected = contact_sheet(Shards(folder), [0, 2], columns=2)
    for source in (folder, paths, paths[0], Shard(paths[0])):
        assert (contact_sheet(source, [0, 2], columns=2) == expected).all()


def test_errors_are_named(folder, tmp_path):
    with pytest.raises(ReidError, match="no row 6; there are 6 rows"):
        contact_sheet(folder, [6])
    write_shard(tmp_path / "n.parquet", pa.table({"image_id": ["a"]}), {})
    with pytest.raises(ReidError, match="no image column"):
        contact_sheet(tmp_path / "n.parquet", [0])
