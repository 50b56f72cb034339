"""Verification finds whatever differs from what was built."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from reid.arrays import images
from reid.project.layout import sha256_of
from reid.shards import schema
from reid.shards.folder import Shard, with_sizes, write_shard
from reid.shards.verify import Problem, verify

NAME = "train-00000-of-00001.parquet"
HEIGHT, WIDTH = 24, 12


def picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return images.encode_jpeg(noise)


def base_table(count: int = 6) -> pa.Table:
    depth = images.encode_png(np.full((HEIGHT, WIDTH), 1500, np.uint16))
    rows = [
        {
            "image_id": f"a/{i:04d}",
            "image": {"bytes": picture(i)},
            "depth": {"bytes": depth} if i % 2 else None,
            "person": i // 2,
            "train": True,
            "query": False,
            "gallery": False,
            "camera": i % 2,
            "height": HEIGHT,
            "width": WIDTH,
        }
        for i in range(count)
    ]
    return with_sizes(pa.Table.from_pylist(rows, schema.ROW)).cast(schema.ROW)


def publish(folder, table, name=NAME):
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    path = folder / "rows" / name
    write_shard(path, table, {})
    entry = {
        "name": name,
        "rows": table.num_rows,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }
    (folder / "manifest.json").write_text(json.dumps({"shards": [entry]}))
    return path


def replace(table, column, values):
    field = table.schema.field(column)
    table = table.set_column(
        table.column_names.index(column), field, [pa.array(values, field.type)]
    )
    return with_sizes(table)


@pytest.fixture
def folder(tmp_path):
    publish(tmp_path / "1-shards/toy", base_table())
    return tmp_path / "1-shards/toy"


def test_a_sound_folder_has_no_problems(folder):
    assert verify(folder) == []


def test_missing_and_extra_files(folder):
    (folder / "rows" / NAME).rename(folder / "rows/other.parquet")
    assert verify(folder) == [
        Problem("other.parquet", None, "in rows/, not in the manifest"),
        Problem(NAME, None, "in the manifest, not in rows/"),
    ]


def test_not_built(tmp_path):
    assert "not built yet" in verify(tmp_path)[0].what


@pytest.mark.parametrize("text", ["{", "{}", '{"shards": [1]}'])
def test_a_broken_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    assert [problem.file for problem in verify(folder)] == ["manifest.json"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("manifest.json", '"stage": 5', id="a stage without a name"),
        pytest.param("manifest.json", '"stage": "ingest"', id="a stage's manifest cut short"),
        pytest.param("protocol.json", "", id="an empty protocol"),
        pytest.param("protocol.json", '{"protocols": 5}', id="protocols that are no list"),
    ],
)
def test_files_beside_the_rows_that_others_refuse(folder, name, text):
    path = folder / name
    if name == "manifest.json":
        text = path.read_text().removesuffix("}") + f", {text}}}"
    path.write_text(text)
    (problem,) = verify(folder)
    assert problem.file == name
    assert problem.row is None


def test_every_flipped_byte_is_found(folder):
    path = folder / "rows" / NAME
    sound = path.read_bytes()
    for at in range(0, len(sound), 97):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        assert any("sha256" in problem.what for problem in verify(folder)), at


def test_every_truncation_is_found(folder):
    path = folder / "rows" / NAME
    sound = path.read_bytes()
    for length in range(0, len(sound), 997):
        path.write_bytes(sound[:length])
        found = " ".join(problem.what for problem in verify(folder))
        assert "sha256" in found
        assert "empty file" in found or f"truncated at byte {length:,}" in found


def test_a_wrong_row_count_in_the_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["rows"] = 7
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert verify(folder) == [Problem(NAME, None, "6 rows, the manifest has 7")]


@pytest.mark.parametrize(
    ("column", "values", "row", "what"),
    [
        pytest.param("person", [0, 0, 1, 3, 2, 2], 4, "not sorted by person, camera", id="order"),
        pytest.param("camera", [0, 1, 0, 1, 0, -1], 5, "not sorted by person, camera", id="camera"),
        pytest.param("height", [24, 24, 24, 25, 24, 24], 3, "(24, 12) pixels", id="height"),
        pytest.param(
            "image", [{"bytes": picture(0)}] * 5 + [{"bytes": b"no"}], 5, "neither JPEG nor PNG",
            id="no image",
        ),
        pytest.param(
            "image", [{"bytes": picture(0)[:-200]}] + [{"bytes": picture(0)}] * 5, 0, "broken JPEG",
            id="cut image",
        ),
        pytest.param(
            "depth", [None] * 5 + [{"bytes": images.encode_png(np.zeros((4, 4), np.uint8))}], 5,
            "depth must be one 16-bit channel", id="8-bit depth",
        ),
    ],
)  # fmt: skip
def test_bad_rows(tmp_path, column, values, row, what):
    publish(tmp_path / "toy", replace(base_table(), column, values))
    (problem,) = verify(tmp_path / "toy")
    assert (problem.file, problem.row) == (NAME, row)
    assert what in problem.what
    assert str(problem).startswith(f"{NAME}, row {row}: ")


def test_equal_rows_are_not_sorted(tmp_path):
    table = base_table(2)
    publish(tmp_path / "toy", pa.concat_tables([table.slice(0, 1), table.slice(0, 1)]))
    assert [problem.row for problem in verify(tmp_path / "toy")] == [1]


def test_column_types(tmp_path):
    table = base_table()
    at = table.column_names.index("camera")
    table = table.set_column(at, "camera", table["camera"].cast(pa.int64()))
    publish(tmp_path / "toy", table)
    assert verify(tmp_path / "toy") == [Problem(NAME, None, "`camera` is int64, not int16")]


def test_a_derived_folder_keeps_the_rows_of_its_base(folder, tmp_path):
    derived = tmp_path / "2-derived/masks/toy"
    mask = {"bytes": images.encode_png(np.ones((4, 4), bool)), "path": None}
    table = pa.table(
        {
            "image_id": [f"a/{i:04d}" for i in range(6)],
            "mask": pa.array([mask, None] * 3, schema.IMAGE),
        }
    )
    publish(derived, with_sizes(table))
    assert verify(derived, base=folder) == []
    publish(derived, with_sizes(table).take([0, 1, 3, 2, 4, 5]))
    (problem,) = verify(derived, base=folder)
    assert "row 2 is 'a/0003'" in problem.what
    assert Shard(derived / "rows" / NAME).num_rows == 6
