"""Shard files: what is written is read back, at random, in order, by others, and from others."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.arrays import poses
from reid.project.errors import ReidError
from reid.shards import folder as shards
from reid.shards import read as shard_reader
from reid.shards import schema
from reid.shards.folder import Shard, Shards, side_by_side, with_sizes, write_shard


def bytes_table(values: list[bytes | None], first: int = 0) -> pa.Table:
    """image_id, image, an all-null depth and a number per row."""
    count = len(values)
    packed = [None if v is None else {"bytes": v, "path": None} for v in values]
    return with_sizes(
        pa.table(
            {
                "image_id": pa.array([f"a/{i + first:05d}" for i in range(count)], pa.string()),
                "image": pa.array(packed, schema.IMAGE),
                "depth": pa.nulls(count, schema.IMAGE),
                "number": pa.array(range(count), pa.int32()),
            }
        )
    )


def values_of(count: int, seed: int = 0, largest: int = 300) -> list[bytes | None]:
    """Random bytes of 0 to `largest`, every seventh row null."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, largest, count)
    return [None if i % 7 == 3 else rng.bytes(int(size)) for i, size in enumerate(sizes)]


def read_plainly(path: Path) -> list[bytes | None]:
    """The independent reader: pyarrow, all rows."""
    rows = pq.read_table(path).column("image").to_pylist()
    return [None if row is None else row["bytes"] for row in rows]


@pytest.fixture
def shard_path(tmp_path):
    path = tmp_path / "data/1-shards/market/rows/train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    write_shard(path, bytes_table(values_of(600)), {"reid.stage": "ingest"})
    return path


def uses_offsets(shard: Shard, column: str = "image") -> bool:
    return shard._layouts[column] is not None


class TestRoundTrip:
    def test_every_row_at_random(self, shard_path):
        shard, values = Shard(shard_path), values_of(600)
        order = np.random.default_rng(1).permutation(600).tolist()
        assert [shard.read("image", row) for row in order] == [values[row] for row in order]
        assert uses_offsets(shard)

    def test_read_many_keeps_the_order_asked_for_and_repeats(self, shard_path):
        rows = [599, 0, 3, 300, 300, 1, 2, 255, 256, 257]
        assert Shard(shard_path).read_many("image", rows) == [values_of(600)[row] for row in rows]

    def test_a_column_of_nulls(self, shard_path):
        shard = Shard(shard_path)
        assert shard.read("depth", 599) is None
        assert shard.read_many("depth", range(600)) == [None] * 600

    def test_table_in_parts(self, shard_path):
        shard = Shard(shard_path)
        assert shard.table(["number"], 250, 520)["number"].to_pylist() == list(range(250, 520))
        assert shard.table(["number"], 600).num_rows == 0
        assert shard.table().drop_columns(["number"]).column_names[:3] == [
            "image_id", "image", "image_size",
        ]  # fmt: skip

    def test_no_rows(self, tmp_path):
        write_shard(tmp_path / "e.parquet", bytes_table([]), {})
        shard = Shard(tmp_path / "e.parquet")
        assert (len(shard), shard.table().num_rows, shard.read_many("image", [])) == (0, 0, [])
        assert list(shard.in_order("image")) == []

    def test_metadata_and_schema(self, shard_path):
        shard = Shard(shard_path)
        assert shard.metadata["reid.stage"] == "ingest"
        assert shard.metadata["reid.schema_version"] == str(schema.SCHEMA_VERSION)
        assert set(shard.metadata) == {"reid.stage", "reid.schema_version", "huggingface"}
        assert shard.scalar_columns == ["image_id", "image_size", "depth_size", "number"]

    def test_nested_columns_are_scalars_too(self, tmp_path):
        joints = pa.array([[[1.0, 2.0, 0.5]] * 18, None], poses.JOINTS)
        table = bytes_table([b"x", b"y"]).append_column("joints", joints)
        write_shard(tmp_path / "j.parquet", table, {})
        assert Shard(tmp_path / "j.parquet").table(["joints"])["joints"].to_pylist()[1] is None
        assert Shard(tmp_path / "j.parquet").read("image", 1) == b"y"

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(
        sizes=st.lists(st.none() | st.integers(0, 40), max_size=700),
        large=st.lists(st.integers(0, 2**21), max_size=3),
    )
    def test_offsets_equal_a_plain_read(self, sizes, large, tmp_path_factory):
        path = tmp_path_factory.mktemp("shard") / "a.parquet"
        rng = np.random.default_rng(len(sizes))
        values = [None if n is None else rng.bytes(n) for n in [*sizes, *large, *sizes]]
        write_shard(path, bytes_table(values), {})
        shard = Shard(path)
        assert [shard.read("image", i) for i in range(len(values))] == read_plainly(path) == values
        assert shard.read_many("image", range(len(values))) == values
        assert list(shard.in_order("image")) == values
        assert list(shard.in_order("image", 3, len(values) - 2)) == values[3:-2]
        assert not values or uses_offsets(shard)


class TestLayout:
    def test_one_uncompressed_page_per_row_group(self, shard_path):
        footer = pq.read_metadata(shard_path)
        assert [footer.row_group(g).num_rows for g in range(3)] == [256, 256, 88]
        chunk = footer.row_group(0).column(1)
        assert (chunk.path_in_schema, chunk.compression) == ("image.bytes", "UNCOMPRESSED")
        assert not chunk.is_stats_set
        assert not chunk.has_dictionary_page
        assert footer.row_group(0).column(0).compression == "SNAPPY"

    def test_chunks_of_a_column_do_not_show(self, tmp_path):
        parts = [bytes_table(values_of(50, seed), 50 * seed) for seed in range(8)]
        write_shard(tmp_path / "chunks.parquet", pa.concat_tables(parts), {})
        write_shard(tmp_path / "one.parquet", pa.concat_tables(parts).combine_chunks(), {})
        assert (tmp_path / "chunks.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()

    def test_large_images_stay_in_one_page(self, tmp_path):
        values = [bytes([i]) * 300_000 for i in range(60)]
        write_shard(tmp_path / "a.parquet", bytes_table(values), {})
        shard = Shard(tmp_path / "a.parquet")
        assert shard.read_many("image", range(60)) == values
        assert uses_offsets(shard)

    def test_the_order_of_the_metadata_does_not_show(self, tmp_path):
        table = bytes_table(values_of(10))
        write_shard(tmp_path / "a.parquet", table, {"a": "1", "b": "2"})
        write_shard(tmp_path / "b.parquet", table, {"b": "2", "a": "1"})
        assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()

    def test_another_process_writes_the_same_bytes(self, shard_path, tmp_path):
        code = (
            "import sys; from pathlib import Path; from tests.reid.shards.test_folder import *;"
            "write_shard(Path(sys.argv[1]), bytes_table(values_of(600)), {'reid.stage': 'ingest'})"
        )
        other = tmp_path / "other.parquet"
        env = {**os.environ, "PYTHONHASHSEED": "7"}
        root = Path(__file__).parents[3]
        subprocess.run([sys.executable, "-c", code, str(other)], check=True, cwd=root, env=env)
        assert other.read_bytes() == shard_path.read_bytes()

    def test_sizes_must_be_there(self, tmp_path):
        table = bytes_table([b"a"]).drop_columns(["image_size"])
        with pytest.raises(ValueError, match="`image` needs `image_size`"):
            write_shard(tmp_path / "a.parquet", table, {})

    def test_sizes_must_be_true(self, tmp_path):
        table = bytes_table([b"a"]).set_column(2, "image_size", pa.array([2], pa.int32()))
        with pytest.raises(ValueError, match="does not hold the lengths"):
            write_shard(tmp_path / "a.parquet", table, {})
        assert with_sizes(table)["image_size"].to_pylist() == [1]

    def test_more_than_a_page_holds_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(shards, "MAX_PAGE", 5)
        with pytest.raises(ReidError, match="exceed 2 GiB"):
            write_shard(tmp_path / "a.parquet", bytes_table([b"abc", b"def"]), {})


class TestOthersReadOurs:
    def test_hugging_face_features(self, shard_path):
        stored = json.loads(pq.read_schema(shard_path).metadata[b"huggingface"])
        features = stored["info"]["features"]
        assert features["image"] == {"_type": "Image"}
        assert features["number"] == {"_type": "Value", "dtype": "int32"}
        assert list(features) == Shard(shard_path).columns

    def test_pandas(self, shard_path):
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_parquet(shard_path)
        assert frame["image"][5]["bytes"] == values_of(600)[5]
        assert frame["number"].tolist() == list(range(600))


OTHER_LAYOUTS = [
    pytest.param({"compression": "zstd"}, id="compressed"),
    pytest.param({"compression": None, "use_dictionary": True}, id="dictionary"),
    pytest.param(
        {"compression": None, "use_dictionary": False, "data_page_size": 500,
         "write_batch_size": 16}, id="several pages",
    ),
    pytest.param(
        {"compression": None, "use_dictionary": False, "data_page_version": "2.0"}, id="pages v2"
    ),
    pytest.param(
        {"compression": None, "use_dictionary": False, "column_encoding":
         {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY"}}, id="delta lengths",
    ),
]  # fmt: skip


class TestWeReadOthers:
    @pytest.mark.parametrize("kept_metadata", [False, True], ids=["theirs", "our metadata kept"])
    @pytest.mark.parametrize("options", OTHER_LAYOUTS)
    def test_other_layouts(self, tmp_path, options, kept_metadata):
        values = values_of(600)
        table = bytes_table(values)
        if kept_metadata:  # a tool that reads our file and writes it again keeps the footer's keys
            table = table.replace_schema_metadata({"reid.schema_version": "1"})
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=200, **options)
        shard = Shard(tmp_path / "a.parquet")
        assert [shard.read("image", i) for i in range(600)] == values
        assert Shard(tmp_path / "a.parquet").read_many("image", range(600)) == values
        assert list(Shard(tmp_path / "a.parquet").in_order("image")) == values

    def test_row_groups_in_any_order(self, shard_path):
        shard = Shard(shard_path)
        values = [shard.read("image", row) for row in range(len(shard))]
        layout = shard._layouts["image"]
        assert layout is not None
        starts, sizes = (np.asarray(of)[::-1].copy().data for of in layout)
        shard._layouts["image"] = starts, sizes
        assert list(shard.in_order("image")) == values[::-1]

    def test_no_sizes(self, tmp_path):
        values = values_of(40)
        pq.write_table(bytes_table(values).drop_columns(["image_size"]), tmp_path / "a.parquet")
        assert Shard(tmp_path / "a.parquet").read_many("image", range(40)) == values

    def test_stale_sizes_of_a_foreign_file_are_not_believed(self, tmp_path):
        table = bytes_table([b"abc", b"de"]).set_column(
            2, "image_size", pa.array([2, 3], pa.int32())
        )
        pq.write_table(table, tmp_path / "a.parquet", compression=None, use_dictionary=False)
        assert Shard(tmp_path / "a.parquet").read_many("image", [0, 1]) == [b"abc", b"de"]

    def test_plain_binary_column_written_by_pandas(self, tmp_path):
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"image": [b"one", None, b""], "x": [1, 2, 3]})
        frame.to_parquet(tmp_path / "p.parquet")
        shard = Shard(tmp_path / "p.parquet")
        assert [shard.read("image", i) for i in range(3)] == [b"one", None, b""]

    def test_unknown_and_scalar_columns_are_named(self, shard_path):
        with pytest.raises(ReidError, match=r"no column `mask` \(it has image_id, image"):
            Shard(shard_path).read("mask", 0)
        with pytest.raises(ReidError, match="`number` holds no encoded images"):
            Shard(shard_path).read("number", 0)


class TestDamage:
    def test_truncated(self, shard_path):
        with shard_path.open("r+b") as file:
            file.truncate(41_203)
        expected = (
            r"train-00000-of-00001.parquet: truncated at byte 41,203; "
            r"run `reid ingest market --repair`"
        )
        with pytest.raises(ReidError, match=expected):
            Shard(shard_path)

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            pytest.param(b"", "empty file", id="empty"),
            pytest.param(b"hello, this is text", "not a Parquet file", id="text"),
            pytest.param(b"PAR1PAR1", "truncated at byte 8", id="magic alone"),
            pytest.param(b"PAR1" + b"\xff" * 40 + b"PAR1", "damaged", id="no footer"),
        ],
    )
    def test_not_parquet(self, tmp_path, content, what):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(ReidError, match=what):
            Shard(tmp_path / "a.parquet")

    def test_absent(self, tmp_path):
        with pytest.raises(ReidError, match="no such file"):
            Shard(tmp_path / "a.parquet")

    def test_a_derived_file_names_its_stage(self, tmp_path):
        path = tmp_path / "2-derived/masks/mall/rows/all-00000-of-00001.parquet"
        with pytest.raises(ReidError, match="run `reid masks mall --repair`"):
            Shard(path)

    @pytest.mark.parametrize(
        "read",
        [
            pytest.param(lambda shard: shard.read("image", 300), id="read"),
            pytest.param(lambda shard: shard.read_many("image", range(600)), id="read_many"),
            pytest.param(lambda shard: list(shard.in_order("image")), id="in_order"),
        ],
    )
    def test_a_wrong_prefix_names_its_byte(self, shard_path, read):
        shard = Shard(shard_path)
        assert shard.read("image", 299) is not None
        offset = shard._layouts["image"][0][300]  # type: ignore[index]
        with shard_path.open("r+b") as file:
            file.seek(offset)
            file.write(b"\xee\xee")
        wrong = (
            rf"damaged at byte {offset:,} \(row 300 of `image`\); run `reid ingest market --repair`"
        )
        with pytest.raises(ReidError, match=wrong):
            read(Shard(shard_path))

    def test_newer_schema(self, tmp_path):
        table = bytes_table([b"a"]).replace_schema_metadata({"reid.schema_version": "99"})
        pq.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(ReidError, match="schema version 99, this program reads up to 1"):
            Shard(tmp_path / "a.parquet")

    def test_no_flipped_byte_passes_as_another_image_length(self, tmp_path):
        """Each read gives the right length or a `ReidError`; what is inside, a hash must tell."""
        path, values = tmp_path / "a.parquet", values_of(20, largest=60)
        write_shard(path, bytes_table(values), {})
        sound = path.read_bytes()
        for at in range(0, len(sound), 97):
            path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
            try:
                found = Shard(path).read_many("image", range(20))
            except ReidError:
                continue
            assert [v and len(v) for v in found] == [v and len(v) for v in values]


def _replaced(path: Path) -> None:
    write_shard(path.with_name("new"), bytes_table(values_of(600, seed=1)), {})
    path.with_name("new").replace(path)


def _edited(path: Path) -> None:
    write_shard(path, bytes_table(values_of(600, seed=1)), {})


def _cut(path: Path) -> None:
    os.truncate(path, 5_000)


CHANGES = [_replaced, _edited, _cut, Path.unlink]


class TestChangesUnderAReader:
    """A reader has the file that it opened, whole, or says that it is another one by now."""

    READS = (
        lambda shard: shard.read("image", 300),
        lambda shard: shard.read_many("image", range(600)),
        lambda shard: list(shard.in_order("image")),
        lambda shard: shard.table(["number"]),
    )
    SAID = r"train-00000-of-00001.parquet: changed or removed since it was opened; open its data"

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("read", READS)
    @pytest.mark.parametrize("given_back", [False, True])
    def test_a_path_that_is_read_again(self, shard_path, change, read, given_back):
        shard = Shard(shard_path)
        if given_back:
            shard.read("image", 0)
            shard._range = None
        change(shard_path)
        with pytest.raises(ReidError, match=self.SAID):
            read(shard)

    @pytest.mark.parametrize("read", READS[:3])
    def test_an_open_file(self, shard_path, read):
        shard = Shard(shard_path)
        before = read(shard)
        _replaced(shard_path)
        assert read(shard) == before
        shard = Shard(shard_path)
        assert read(shard) != before
        write_shard(shard_path, bytes_table(values_of(600, seed=2)), {})
        with pytest.raises(ReidError, match=self.SAID):
            read(shard)

    @pytest.mark.parametrize("change", CHANGES[:2])
    @pytest.mark.parametrize("of", [Shard, lambda path: Shards(path.parent.parent)])
    def test_another_process(self, shard_path, change, of):
        sent = pickle.dumps(of(shard_path))
        pickle.loads(sent)
        change(shard_path)
        with pytest.raises(ReidError, match=self.SAID):
            pickle.loads(sent)

    def test_another_number_of_files(self, shard_path):
        sent = pickle.dumps(Shards(shard_path.parent.parent))
        write_shard(shard_path.with_name("train-00001.parquet"), bytes_table([b"a"]), {})
        with pytest.raises(ReidError, match=r"train-00001.parquet: changed or removed"):
            pickle.loads(sent)


def _length_of(shard: Shard) -> int:
    return len(shard.read("image", 300) or b"")


class TestSharing:
    def test_threads(self, shard_path):
        shard, values = Shard(shard_path), values_of(600)
        rows = np.random.default_rng(0).integers(0, 600, 4_000).tolist()
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda r: shard.read("image", r), rows)) == [
                values[r] for r in rows
            ]

    def test_pickled(self, shard_path):
        shard = Shard(shard_path)
        assert pickle.loads(pickle.dumps(shard)).read("image", 300) == shard.read("image", 300)

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_spawned_process(self, shard_path):
        shard = Shard(shard_path)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_length_of, (shard,)) == _length_of(shard)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_forked_process_reads_the_same_descriptor(self, shard_path):
        shard, values = Shard(shard_path), values_of(600)
        shard.read("image", 0)
        child = os.fork()
        if child == 0:
            os._exit(0 if shard.read("image", 300) == values[300] else 1)
        assert shard.read("image", 299) == values[299]
        assert os.waitpid(child, 0)[1] == 0

    def test_files_are_given_back(self, tmp_path, monkeypatch):
        monkeypatch.setattr(shard_reader, "MAX_OPEN_FILES", 4)
        for i in range(12):
            write_shard(tmp_path / f"{i}.parquet", bytes_table([bytes([i])]), {})
        opened = [Shard(tmp_path / f"{i}.parquet") for i in range(12)]
        for _ in range(2):
            assert [s.read("image", 0) for s in opened] == [bytes([i]) for i in range(12)]
        assert sum(s._range is not None for s in opened) <= 4

    def test_giving_back_does_not_pull_a_file_from_under_a_thread(self, tmp_path, monkeypatch):
        monkeypatch.setattr(shard_reader, "MAX_OPEN_FILES", 1)
        for i in range(4):
            write_shard(tmp_path / f"{i}.parquet", bytes_table([bytes([i]) * 9]), {})
        opened, wrong = [Shard(tmp_path / f"{i}.parquet") for i in range(4)], []

        def read_all():
            for _ in range(200):
                wrong.extend(i for i in range(4) if opened[i].read("image", 0) != bytes([i]) * 9)

        threads = [threading.Thread(target=read_all) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert wrong == []


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "base/rows").mkdir(parents=True)
        for n, count in enumerate((300, 5, 40)):
            name = f"train-{n:05d}-of-00003.parquet"
            write_shard(
                tmp_path / "base/rows" / name, bytes_table(values_of(count, n), 1000 * n), {}
            )
        (tmp_path / "base/rows/.train-00003.tmp.parquet").write_bytes(b"unfinished")
        return tmp_path / "base"

    def test_rows_of_all_files(self, folder):
        opened = Shards(folder)
        values = [*values_of(300, 0), *values_of(5, 1), *values_of(40, 2)]
        assert len(opened) == 345
        assert [opened.read("image", i) for i in range(345)] == values
        order = np.random.default_rng(0).permutation(345).tolist()
        assert opened.read_many("image", order) == [values[i] for i in order]
        assert list(opened.in_order("image")) == values
        assert list(opened.in_order("image", 5, len(values) - 5)) == values[5:-5]

    def test_scalars(self, folder):
        table = Shards(folder).scalars()
        assert table.column_names == ["image_id", "image_size", "depth_size", "number"]
        assert table["number"].to_pylist() == [*range(300), *range(5), *range(40)]
        assert Shards(folder).scalars(["number"]).column_names == ["number"]

    def test_scalars_are_read_once(self, folder):
        opened = Shards(folder)
        first = opened.scalars(["number"])
        for path in (folder / "rows").glob("*"):
            path.unlink()
        assert opened.scalars(["number"]).equals(first)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(ReidError, match="no shards; run `reid ingest market --repair`"):
            Shards(tmp_path / "1-shards/market")

    def test_side_by_side(self, folder, tmp_path):
        side_by_side(Shards(folder), Shards(folder))
        other = tmp_path / "other"
        (other / "rows").mkdir(parents=True)
        names = [s.path.name for s in Shards(folder).shards]
        for n, count in enumerate((300, 5, 40)):
            write_shard(other / "rows" / names[n], bytes_table([None] * count, 1000 * n), {})
        side_by_side(Shards(folder), Shards(other))
        write_shard(other / "rows" / names[1], bytes_table([None] * 5, 1001), {})
        with pytest.raises(ReidError, match=r"train-00001.*row 0 is 'a/01001'.* it is 'a/01000'"):
            side_by_side(Shards(folder), Shards(other))
        write_shard(other / "rows" / names[1], bytes_table([None] * 4, 1000), {})
        with pytest.raises(ReidError, match=r"train-00001.* 4 rows, .* has 5"):
            side_by_side(Shards(folder), Shards(other))
        (other / "rows" / names[1]).unlink()
        with pytest.raises(ReidError, match=r"other: no rows/train-00001-of-00003.parquet"):
            side_by_side(Shards(folder), Shards(other))
