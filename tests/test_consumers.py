"""Every built data set is read by the tools that people have: same rows, same bytes, no adapter.

What is not installed here is left out: duckdb, datasets and ray are no dependency of this project.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

import reid
from pipeline.stages import STAGES
from reid.shards.schema import is_bytes_column
from tests.tiny import build_tiny, built_folders

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("consumers") / "project").root / "data"


@pytest.fixture(scope="module")
def folders(data: Path) -> list[Path]:
    from reid.project.layout import Project

    built = built_folders(Project(data.parent))
    assert {folder.parent.name for folder in built} == {"1-shards", *STAGES}
    return built


def plain(folder: Path) -> pa.Table:
    """The independent reader: each file in the order of names, one after the other."""
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / "rows").iterdir())])


def images_of(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if is_bytes_column(field)]


def bytes_in(cells: list[Any]) -> list[bytes | None]:
    return [None if cell is None else cell["bytes"] for cell in cells]


def same(expected: pa.Table, cells: dict[str, list[Any]], where: Path) -> None:
    """Each column's values are those of the plain reader."""
    assert list(cells) == expected.column_names, where
    for name, built_values in cells.items():
        values = expected[name].to_pylist()
        if name in images_of(expected):
            assert bytes_in(built_values) == bytes_in(values), (where, name)
        else:
            assert built_values == values, (where, name)


def test_pyarrow_s_dataset(folders: list[Path]):
    for folder in folders:
        opened = pyarrow.dataset.dataset(folder / "rows")
        assert opened.to_table().equals(plain(folder)), folder
        ids = opened.to_table(columns=["image_id"], filter=pa.compute.field("image_id") > "")
        assert ids.num_rows == plain(folder).num_rows


def test_pandas(folders: list[Path]):
    pandas = pytest.importorskip("pandas")
    for folder in folders:
        frame, expected = pandas.read_parquet(folder / "rows"), plain(folder)
        assert list(frame.columns) == expected.column_names
        assert frame["image_id"].tolist() == expected["image_id"].to_pylist()
        for name in images_of(expected):
            cells = [None if pandas.isna(cell) else cell for cell in frame[name]]
            assert bytes_in(cells) == bytes_in(expected[name].to_pylist()), (folder, name)


def test_polars(folders: list[Path]):
    polars = pytest.importorskip("polars")
    for folder in folders:
        frame = polars.scan_parquet(folder / "rows/*.parquet").collect()
        expected = plain(folder)
        assert frame["image_id"].to_list() == expected["image_id"].to_pylist()
        for name in images_of(expected):
            column = frame.select(polars.col(name).struct.field("bytes")).to_series().to_list()
            assert column == bytes_in(expected[name].to_pylist()), (folder, name)
        scalars = [name for name in frame.columns if name not in images_of(expected)]
        for name in scalars:
            assert frame[name].to_list() == expected[name].to_pylist(), (folder, name)


def test_duckdb(folders: list[Path], data: Path):
    duckdb = pytest.importorskip("duckdb")
    for folder in folders:
        expected = plain(folder)
        rows = duckdb.sql(f"SELECT * FROM '{folder}/rows/*.parquet' ORDER BY image_id").fetchall()
        names = expected.column_names
        cells = {name: [row[i] for row in rows] for i, name in enumerate(names)}
        for name in set(names) - set(images_of(expected)):
            cells[name] = [list(c) if isinstance(c, tuple) else c for c in cells[name]]
            if pa.types.is_fixed_size_list(expected[name].type):
                cells[name] = [_lists(cell) for cell in cells[name]]
        same(expected.sort_by("image_id"), cells, folder)
    joined = duckdb.sql(
        f"SELECT count(*) FROM '{data}/1-shards/street/rows/*.parquet' "
        f"JOIN '{data}/2-derived/parts/street/rows/*.parquet' USING (image_id)"
    ).fetchall()
    assert joined == [(plain(data / "1-shards/street").num_rows,)]


def _lists(cell: Any) -> Any:
    return [_lists(c) for c in cell] if isinstance(cell, (list, tuple)) else cell


def test_the_card_names_every_part(folders: list[Path]):
    kept: set[tuple[str, str, str]] = set()
    for folder in folders:
        header = (folder / "README.md").read_text().split("---\n")[1]
        (config,) = YAML(typ="safe").load(header)["configs"]
        matched = {p for part in config["data_files"] for p in folder.glob(part["path"])}
        assert matched == set((folder / "rows").iterdir()), folder
        splits = {part["split"] for part in config["data_files"]}
        assert "all" not in splits, f"{folder}: `datasets` keeps this name for all splits together"
        kept.add((folder.name, config["config_name"], config.get("version", "")))
    assert len(kept) == len(folders), "`datasets` keeps what it loaded under these three"


@pytest.mark.filterwarnings("ignore")  # its own libraries'
@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_hugging_face_datasets(folders: list[Path], tmp_path: Path, streaming: bool):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    for folder in folders:
        opened = datasets.load_dataset(str(folder), streaming=streaming, cache_dir=str(tmp_path))
        header = YAML(typ="safe").load((folder / "README.md").read_text().split("---\n")[1])
        parts = {p["split"]: p["path"] for p in header["configs"][0]["data_files"]}
        assert set(opened) == set(parts), folder
        for part, pattern in parts.items():
            expected = pa.concat_tables(map(pq.read_table, sorted(folder.glob(pattern))))
            for loaded_row, row in zip(opened[part], expected.to_pylist(), strict=True):
                assert loaded_row["image_id"] == row["image_id"]
                for name in images_of(plain(folder)):
                    _same_picture(loaded_row[name], row[name])


def _same_picture(picture: Any, cell: dict[str, Any] | None) -> None:
    """A decoded PIL image and encoded bytes show the same pixels."""
    from PIL import Image

    if cell is None:
        assert picture is None
        return
    np.testing.assert_array_equal(
        np.asarray(picture), np.asarray(Image.open(io.BytesIO(cell["bytes"])))
    )
    assert cv2.imdecode(np.frombuffer(cell["bytes"], np.uint8), -1).shape[:2] == picture.size[::-1]


@pytest.mark.filterwarnings("ignore")  # its own libraries'
def test_ray_data(folders: list[Path]):
    ray = pytest.importorskip("ray")
    ray_data = pytest.importorskip("ray.data")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        for folder in folders:
            expected = {row["image_id"]: row for row in plain(folder).to_pylist()}
            for row in ray_data.read_parquet(str(folder / "rows")).iter_rows():
                wanted = expected.pop(row["image_id"])
                for name in images_of(plain(folder)):
                    assert bytes_in([row[name]]) == bytes_in([wanted[name]]), (folder, name)
            assert not expected, folder
    finally:
        ray.shutdown()


def test_this_project_s_own_reader(folders: list[Path], data: Path):
    for folder in folders:
        if not (folder / "protocol.json").is_file():
            continue  # its columns are opened beside its base rows
        name = "/".join(folder.relative_to(data).parts[1:])
        opened = reid.open(data, name)
        expected = plain(folder)
        assert opened.rows["image_id"].to_pylist() == expected["image_id"].to_pylist()
        encoded = opened.base.read_many("image", range(len(opened)))
        assert encoded == bytes_in(expected["image"].to_pylist()), folder
