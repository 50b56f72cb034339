"""Shards read from elsewhere: the same rows, few bytes, few calls, and one clear error."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from reid.arrays import images
from reid.data.dataset import Data
from reid.project.errors import ReidError
from reid.project.layout import sha256_of
from reid.shards.folder import Shard, Shards, side_by_side, write_shard
from reid.shards.remote import RangeFile, merged, place_of
from tests.conftest import contents
from tests.reid.shards.test_folder import bytes_table, values_of
from tests.served import served

COUNTS = (300, 5, 340)  # rows of the shards
ROWS = sum(COUNTS)
LARGE = 20_000  # bytes of the largest image
VALUES = [v for n, count in enumerate(COUNTS) for v in values_of(count, n, LARGE)]
SOME = [0, 3, 299, 300, 304, 305, 400, 644, 400, 17]


class Counting(MemoryFileSystem):
    """Files in memory at counting://, with the ranges that were asked for, call by call."""

    protocol = "counting"
    store: dict[str, Any] = {}  # noqa: RUF012 - as the class above has it
    calls: list[list[tuple[str, int, int]]] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("counting://", "memory://"))

    def cat_ranges(self, paths, starts, ends, **options):
        self.calls.append(list(zip(paths, starts, ends, strict=True)))
        return super().cat_ranges(paths, starts, ends, **options)


fsspec.register_implementation("counting", Counting, clobber=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of some 6 MB in all, with a manifest."""
    made = tmp_path_factory.mktemp("served") / "base"
    (made / "rows").mkdir(parents=True)
    first, entries = 0, []
    for n, count in enumerate(COUNTS):
        path = made / "rows" / f"train-{n:05d}-of-00003.parquet"
        write_shard(path, bytes_table(values_of(count, n, LARGE), first), {})
        entries.append(
            {
                "name": path.name,
                "bytes": path.stat().st_size,
                "rows": count,
                "sha256": sha256_of(path),
            }
        )
        first += count
    (made / "manifest.json").write_text(json.dumps({"shards": entries}))
    return made


@pytest.fixture
def counting(folder: Path) -> Iterator[str]:
    files = fsspec.filesystem("counting")
    for name, data in contents(folder).items():
        files.pipe_file(f"/base/{name}", data)
    Counting.calls.clear()
    yield "counting://base"
    files.store.clear()


@pytest.fixture(params=["counting", "http"])
def address(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "counting":
        yield request.getfixturevalue("counting")
        return
    pytest.importorskip("aiohttp")
    with served(folder.parent) as server:
        yield f"{server.url}/base"


def test_the_same_rows_come_from_anywhere(address: str, folder: Path):
    remote, local = Shards(place_of(address)), Shards(folder)
    assert len(remote) == ROWS
    assert remote.columns == local.columns
    assert remote.read_many("image", SOME) == [VALUES[row] for row in SOME]
    assert list(remote.in_order("image")) == VALUES
    assert [remote.read("image", row) for row in SOME] == [VALUES[row] for row in SOME]
    assert remote.scalars().equals(local.scalars())
    assert remote.read_many("depth", SOME) == [None] * len(SOME)
    assert remote.shards[2].table().equals(local.shards[2].table()), "images included"
    side_by_side(remote, local)


def test_all_rows_in_any_order(address: str):
    order = np.random.default_rng(0).permutation(ROWS).tolist()
    assert Shards(place_of(address)).read_many("image", order) == [VALUES[row] for row in order]


def test_ten_rows_move_a_small_share_of_a_shard(folder: Path):
    pytest.importorskip("aiohttp")
    path = folder / "rows/train-00002-of-00003.parquet"
    with served(folder) as server:
        shard = Shard(place_of(f"{server.url}/rows/{path.name}"))
        rows = list(range(0, 340, 34))
        assert shard.read_many("image", rows) == [values_of(340, 2, LARGE)[row] for row in rows]
        images = sum(len(values_of(340, 2, LARGE)[row] or b"") for row in rows)
        assert images <= server.sent < images + 100_000 < path.stat().st_size / 10


def test_a_batch_over_all_shards_is_one_call_after_the_sizes(counting: str):
    remote = Shards(place_of(counting))
    assert [len(call) for call in Counting.calls] == [1, 2], "the first footer, then the others"
    remote.read_many("image", SOME)
    Counting.calls.clear()
    remote.read_many("image", SOME)
    assert len(Counting.calls) == 1
    moved = sum(end - start for _, start, end in Counting.calls[0])
    assert moved < 2 * sum(len(VALUES[row] or b"") + 4 for row in SOME)
    Counting.calls.clear()
    remote.read_many("image", range(100, 150))
    assert len(Counting.calls[0]) == 1, "neighbours are one range"


def test_neighbours_over_all_shards_are_one_call_too(counting: str, monkeypatch):
    remote = Shards(place_of(counting))
    data = Data(remote, {"image": (remote, "image")}, np.arange(ROWS), {})
    monkeypatch.setattr(images, "decode", bytes)  # as they are
    remote.read_many("image", SOME)
    Counting.calls.clear()
    assert data.values("image", range(200, 400)) == VALUES[200:400]
    assert len(Counting.calls) == 1


def test_labels_of_all_shards_are_one_call(counting: str):
    remote = Shards(place_of(counting))
    Counting.calls.clear()
    assert remote.scalars()["number"].to_pylist()[:300] == list(range(300))
    assert len(Counting.calls) == 1
    assert sum(end - start for _, start, end in Counting.calls[0]) < 40_000


def test_a_server_without_ranges_is_refused_after_one_file(folder: Path):
    pytest.importorskip("aiohttp")
    with served(folder.parent, ranges=False) as server:
        with pytest.raises(ReidError, match=r"train-00000.*does not serve byte ranges"):
            Shards(place_of(f"{server.url}/base"))
        assert sum("parquet" in line for line in server.requests) == 1


def test_absent_files_are_said(address: str):
    with pytest.raises(ReidError, match=r"absent: no manifest.json; this is not a built folder"):
        Shards(place_of(address) / "absent")
    with pytest.raises(ReidError, match=r"a\.parquet: no such file"):
        Shard(place_of(address) / "a.parquet")


def test_a_file_cut_short_is_said(counting: str):
    remote = Shards(place_of(counting))
    remote.read_many("image", [0, 299])
    path = "/base/rows/train-00000-of-00003.parquet"
    files = fsspec.filesystem("counting")
    files.pipe_file(path, files.cat_file(path)[:1000])
    with pytest.raises(ReidError, match=r"counting:///base/rows/train-00000.*got 0 bytes.*shorter"):
        remote.read("image", 299)
    with pytest.raises(ReidError, match=r"train-00000.*got 0 bytes; the file is shorter than its"):
        Shards(place_of(counting))


def test_a_file_of_another_kind_is_said():
    fsspec.filesystem("counting").pipe_file("/text.parquet", b"no table " * 100)
    with pytest.raises(ReidError, match=r"counting:///text.parquet: damaged: .*[Mm]agic"):
        Shard(place_of("counting://text.parquet"))


def test_a_manifest_that_is_not_json_is_said():
    fsspec.filesystem("counting").pipe_file("/page/manifest.json", b"<html>")
    with pytest.raises(ReidError, match=r"page/manifest.json: not JSON"):
        Shards(place_of("counting://page"))


@pytest.mark.parametrize(
    ("address", "package"), [("s3://bucket/data", "s3fs"), ("gs://bucket/data", "gcsfs")]
)
def test_a_missing_library_is_named(address: str, package: str):
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(ReidError, match=rf"{address}: .*; run `pip install {package}`"):
        place_of(address)


def test_an_unknown_protocol_is_said():
    with pytest.raises(ReidError, match=r"nowhere://x: cannot be opened: .*nowhere"):
        place_of("nowhere://x")


def test_this_machine_s_files_stay_paths(tmp_path: Path):
    for root in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        assert place_of(root) == tmp_path
    assert place_of(str(tmp_path), fsspec.filesystem("file")) == tmp_path
    assert place_of("data") == Path("data")


def test_foreign_layouts_are_read_too():
    table, values = bytes_table(values_of(200)), values_of(200)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=64)
    fsspec.filesystem("counting").pipe_file("/foreign.parquet", sink.getvalue().to_pybytes())
    shard = Shard(place_of("counting://foreign.parquet"))
    assert shard.read_many("image", range(200)) == values
    assert shard.read("image", 199) == values[199]


def test_merged_ranges_are_in_order_and_apart():
    ranges = [(50, 60), (0, 10), (12, 20), (61, 70), (5, 8)]
    assert merged(ranges, 2) == [(0, 20), (50, 70)]
    assert merged(ranges, 0) == [(0, 10), (12, 20), (50, 60), (61, 70)]
    assert merged([], 5) == []


def test_a_range_file_reads_held_and_further_bytes(counting: str):
    place = place_of(counting) / "manifest.json"
    text = place.read_text().encode()  # type: ignore[union-attr]
    Counting.calls.clear()
    file = RangeFile(place, {10: text[10:20]})  # type: ignore[arg-type]
    file.seek(12)
    assert (file.read(5), file.tell(), Counting.calls) == (text[12:17], 17, [])
    assert file.read(30) == text[17:47]
    assert len(Counting.calls) == 1
    file.seek(-4, os.SEEK_END)
    assert file.read() == text[-4:]
    assert file.read(3) == b""


def _some(shards: Shards) -> list[bytes | None]:
    return shards.read_many("image", SOME)


class TestSharing:
    @pytest.fixture
    def remote(self, folder: Path) -> Iterator[Shards]:
        pytest.importorskip("aiohttp")
        with served(folder.parent) as server:
            yield Shards(place_of(f"{server.url}/base"))

    def test_threads(self, remote: Shards):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda row: remote.read("image", row), range(0, ROWS, 9)))
        assert found == VALUES[::9]

    def test_pickled(self, remote: Shards):
        assert _some(pickle.loads(pickle.dumps(remote))) == _some(remote)

    def test_spawned_process(self, remote: Shards):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_some, (remote,)) == [VALUES[row] for row in SOME]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_forked_process_opens_connections_of_its_own(self, remote: Shards):
        assert remote.read("image", 0) == VALUES[0]
        child = os.fork()
        if child == 0:
            right = False
            try:
                right = _some(remote) == [VALUES[row] for row in SOME]
            finally:
                os._exit(0 if right else 1)
        assert remote.read("image", 299) == VALUES[299]
        assert os.waitpid(child, 0)[1] == 0
