"""Shard files: write them, open them, read rows in order and at random.

A shard is a Parquet file that any tool reads. The encoded images of a row group lie in one
uncompressed page, one after the other, each behind its length in 4 bytes; the column `<name>_size`
holds the same lengths. So the values end where the column chunk ends, they begin their total
length before that, and a row's offset is a running sum: a row is one `pread`, and the 4 bytes
before it tell at every read whether the place is right.

Files laid out otherwise (compressed, dictionaries, several pages, no sizes) are read by row groups
with a small cache.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import itertools
import os
import struct
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core import schema
from pipeline.core.errors import ReidError

ROW_GROUP_ROWS = 256
VERSION_KEY = "reid.schema_version"
MAX_OPEN_FILES = 256  # per process; the shard opened longest ago gives its file back first
MAX_SPAN = 128 * 1024  # bytes that `read_many` reads in one call; more falls out of CPU caches
MAX_PAGE = 2**31 - 2**16  # a page's length is a signed 32-bit number

RangeReader = Callable[[int, int], bytes]

_prefix_of = struct.Struct("<I").unpack_from  # the length in front of each value
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}  # the latter two are the null levels' encodings
_BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


def open_range(path: Path) -> RangeReader:
    """A function `read(length, offset) -> bytes` on the file, which threads and forks may share.

    The file closes when nobody refers to the function, so never under a thread that still reads.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    read = functools.partial(os.pread, descriptor)
    weakref.finalize(read, os.close, descriptor)
    return read


def with_sizes(table: pa.Table) -> pa.Table:
    """The table with a fresh int32 `<name>_size` for each image column, right behind a new one."""
    for field in [f for f in table.schema if schema.is_bytes_column(f)]:
        name = f"{field.name}_size"
        sizes = _lengths(_bytes_of(table.column(field.name)))
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, sizes)
        else:
            table = table.add_column(table.column_names.index(field.name) + 1, name, sizes)
    return table


def write_shard(path: Path, table: pa.Table, metadata: Mapping[str, str]) -> None:
    """Write and fsync one shard; the same table and metadata give the same bytes anywhere.

    Each image column needs its `<name>_size` (see `with_sizes`), else `ValueError`. `metadata`
    goes to the footer beside the schema version and the Hugging Face features.
    """
    _check_sizes(table)
    footer = {
        **metadata,
        VERSION_KEY: str(schema.SCHEMA_VERSION),
        "huggingface": schema.hugging_face(table.schema),
    }
    table = table.replace_schema_metadata(dict(sorted(footer.items())))
    with pa.OSFile(str(path), "wb") as sink, path.open("rb") as file:
        with _writer(sink, table.schema) as writer:
            for first in range(0, table.num_rows, ROW_GROUP_ROWS):
                # Chunks of a column would become batches of their own, which may end a page.
                writer.write_table(table.slice(first, ROW_GROUP_ROWS).combine_chunks())
                _start_flushing(file.fileno())
        os.fsync(file.fileno())


def _start_flushing(descriptor: int) -> None:
    """Let the kernel write to disk while the next row group is encoded: a third faster in all."""
    if hasattr(_libc, "sync_file_range"):  # Linux; a hint, so its result does not matter
        _libc.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _FLUSH_WRITE)


_libc = ctypes.CDLL(None)
_FLUSH_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start, do not wait


def _writer(sink: Any, columns: pa.Schema) -> pq.ParquetWriter:
    leaves = {leaf: schema.is_bytes_column(f) for f in columns for leaf in _leaves(f.name, f.type)}
    options: dict[str, Any] = {
        "compression": {leaf: "NONE" if image else "ZSTD" for leaf, image in leaves.items()},
        "use_dictionary": False,
        "write_statistics": [leaf for leaf, image in leaves.items() if not image],
        "data_page_size": 2**31 - 1,  # never end a page before its row group
        "data_page_version": "1.0",
    }
    return pq.ParquetWriter(sink, columns, **options)


def _leaves(name: str, kind: pa.DataType) -> list[str]:
    """The names under which Parquet stores a column: `image.bytes`, `joints.list.element` ..."""
    if pa.types.is_struct(kind):
        return [leaf for f in kind for leaf in _leaves(f"{name}.{f.name}", f.type)]
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        return _leaves(f"{name}.list.element", kind.value_type)
    return [name]


def _check_sizes(table: pa.Table) -> None:
    for name in [f.name for f in table.schema if schema.is_bytes_column(f)]:
        if f"{name}_size" not in table.column_names:
            raise ValueError(f"column `{name}` needs `{name}_size`; use with_sizes(table)")
        sizes = _lengths(_bytes_of(table.column(name)))
        if not table.column(f"{name}_size").equals(sizes):
            raise ValueError(f"`{name}_size` does not hold the lengths of `{name}`")
        lengths = _int64(sizes).clip(0)
        for first in range(0, len(lengths), ROW_GROUP_ROWS):
            if lengths[first : first + ROW_GROUP_ROWS].sum() > MAX_PAGE:
                raise ReidError(f"`{name}`: rows {first:,} to {first + 255:,} exceed 2 GiB")


def _bytes_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_struct(column.type):  # a null struct has null bytes
        return column.flatten()[column.type.get_field_index("bytes")]
    return column


def _lengths(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.call_function("binary_length", [values]).cast(pa.int32())


def _int64(sizes: pa.ChunkedArray) -> np.ndarray:
    """Sizes as int64, null as -1."""
    return sizes.fill_null(-1).to_numpy().astype(np.int64)


class Shard:
    """One shard file. Opening reads the footer; offsets are made at a column's first read.

    Threads may share it. A forked process shares the file (reads carry their own offset); a
    pickled one opens it again. At most `MAX_OPEN_FILES` files stay open in a process.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._footer = _read_footer(self.path)
        self.num_rows: int = self._footer.num_rows
        self.metadata = _metadata_of(self.path, self._footer)
        self._groups: list[Any] = self._guard(
            lambda: [self._footer.row_group(g) for g in range(self._footer.num_row_groups)]
        )
        self._firsts = _running([g.num_rows for g in self._groups])
        self._layouts: dict[str, tuple[memoryview, memoryview] | None] = {}
        self._range: RangeReader | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        return self.num_rows

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The columns, without the footer's metadata."""
        return self._guard(lambda: self._footer.schema.to_arrow_schema().remove_metadata())

    @property
    def columns(self) -> list[str]:
        return self.schema.names

    @property
    def scalar_columns(self) -> list[str]:
        """The columns that hold no encoded images."""
        return [f.name for f in self.schema if not _holds_bytes(f.type)]

    def read(self, column: str, row: int) -> bytes | None:
        """The encoded image of one row, None where it is null; one system call."""
        layout = self._layouts.get(column)
        if layout is None:
            return self._read_slowly(column, row)
        starts, sizes = layout
        size = sizes[row]
        if size < 0:
            return None
        data = (self._range or self._open())(size + 4, starts[row])
        if len(data) != size + 4 or _prefix_of(data)[0] != size:
            return self._settle(column, row)
        return data[4:]

    def read_many(self, column: str, rows: Sequence[int]) -> list[bytes | None]:
        """The encoded images of `rows`, in their order; neighbours in the file are read at once."""
        layout = self._layouts[column] if column in self._layouts else self._measure(column)
        if layout is None:
            return [self._from_group(column, row) for row in rows]
        found: list[bytes | None] = [None] * len(rows)
        for start, stop, span in _spans(*layout, rows):
            data = (self._range or self._open())(stop - start, start)
            for position, row, offset, size in span:
                at = offset - start
                if len(data) < at + 4 + size or _prefix_of(data, at)[0] != size:
                    found[position] = self._settle(column, row)
                else:
                    found[position] = data[at + 4 : at + 4 + size]
        return found

    def table(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> pa.Table:
        """Rows `start` to `stop` of `columns`, by default of all, images included."""
        names = self._known(columns)
        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        first = bisect.bisect_right(self._firsts, start) - 1
        groups = [g for g in range(first, len(self._firsts) - 1) if self._firsts[g] < stop]
        read = self._read_groups(groups, names)
        return read.slice(start - self._firsts[first], max(0, stop - start))

    def iter_batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables of `rows` rows in order (the last may be shorter); holds one batch or group."""
        names = self._known(columns)
        pending = self._read_groups([], names)
        for group in range(len(self._firsts) - 1):
            pending = pa.concat_tables([pending, self._read_groups([group], names)])
            while pending.num_rows >= rows:
                yield pending.slice(0, rows)
                pending = pending.slice(rows)
        if pending.num_rows:
            yield pending

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        names = self.columns if columns is None else list(columns)
        for name in names:
            if name not in self.columns:
                have = ", ".join(self.columns)
                raise ReidError(f"{self.path}: no column `{name}` (it has {have})")
        return names

    def _read_groups(self, groups: list[int], names: list[str]) -> pa.Table:
        def read() -> pa.Table:
            with pq.ParquetFile(self.path, metadata=self._footer) as file:
                table = file.read_row_groups(groups, columns=names, use_threads=False)
            return table.select(names).replace_schema_metadata(None)

        return self._guard(read)

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except _BROKEN as error:
            raise ReidError(_diagnosis(self.path, f"damaged: {error}")) from None

    def _open(self) -> RangeReader:
        self._range = read = open_range(self.path)
        _opened.append(weakref.ref(self))
        while len(_opened) > MAX_OPEN_FILES:
            oldest = _opened.popleft()()
            if oldest is not None:
                oldest._range = None
        return read

    def _read_slowly(self, column: str, row: int) -> bytes | None:
        """The first read of a column, and reads of other layouts."""
        known = column in self._layouts or self._measure(column) is None
        return self._from_group(column, row) if known else self.read(column, row)

    def _measure(self, column: str) -> tuple[memoryview, memoryview] | None:
        """(offset of the length prefix, size or -1) per row; None for another layout."""
        self._layouts[column] = layout = self._guard(lambda: self._offsets(column))
        return layout

    def _offsets(self, column: str) -> tuple[memoryview, memoryview] | None:
        if not _holds_bytes(self.schema.field(self._known([column])[0]).type):
            raise ReidError(f"{self.path}: column `{column}` holds no encoded images")
        name, chunks = f"{column}_size", self._chunks(f"{column}.bytes")
        if name not in self.columns or self.schema.field(name).type != pa.int32():
            return None
        if not all(map(_is_one_plain_chunk, chunks)):
            return None
        sizes = _int64(self.table([name]).column(0))
        lengths = np.where(sizes < 0, 0, sizes + 4)
        starts = np.zeros(self.num_rows, np.int64)
        file_size = self.path.stat().st_size
        for first, stop, chunk in zip(self._firsts, self._firsts[1:], chunks, strict=False):
            before = np.cumsum(lengths[first:stop]) - lengths[first:stop]
            end = chunk.data_page_offset + chunk.total_compressed_size
            begin = end - lengths[first:stop].sum()
            starts[first:stop] = begin + before
            if begin <= chunk.data_page_offset or end > file_size:
                return self._not_ours(f"`{name}` does not fit rows {first:,} to {stop - 1:,}")
        return starts.data, sizes.data

    def _chunks(self, leaf: str) -> list[Any]:
        paths = [self._footer.schema.column(i).path for i in range(self._footer.num_columns)]
        return [g.column(paths.index(leaf)) for g in self._groups] if leaf in paths else [None]

    def _from_group(self, column: str, row: int) -> bytes | None:
        group = bisect.bisect_right(self._firsts, row) - 1
        return _group(self, column, group)[row - self._firsts[group]].as_py()

    def _settle(self, column: str, row: int) -> bytes | None:
        """A prefix is wrong: pages of another writer, which are read by row groups, or damage."""
        group = bisect.bisect_right(self._firsts, row) - 1
        layout = self._layouts[column]
        if layout is not None and not self._sizes_hold(column, group, layout[1]):
            self._not_ours(f"damaged at byte {layout[0][row]:,} (row {row:,} of `{column}`)")
        self._layouts[column] = None
        return self._from_group(column, row)

    def _sizes_hold(self, column: str, group: int, sizes: memoryview) -> bool:
        """Whether a row group's values, as Parquet reads them, have the sizes of their rows."""
        try:
            found = _int64(_lengths(_group(self, column, group)))
        except ReidError:
            return False
        return np.array_equal(found, sizes[self._firsts[group] : self._firsts[group + 1]])

    def _not_ours(self, what: str) -> None:
        """Raise if the footer says that this project wrote the file; else it is merely foreign."""
        if VERSION_KEY in self.metadata:
            raise ReidError(_diagnosis(self.path, what))


_opened: deque[weakref.ref[Shard]] = deque()


@functools.lru_cache(maxsize=8)
def _group(shard: Shard, column: str, group: int) -> pa.ChunkedArray:
    """The bytes of one row group of a file that is laid out otherwise."""
    return _bytes_of(shard._read_groups([group], [column]).column(0))


def _spans(
    starts: memoryview, sizes: memoryview, rows: Sequence[int]
) -> Iterator[tuple[int, int, list[tuple[int, int, int, int]]]]:
    """(first byte, end, [(position in `rows`, row, offset, size)]) for runs of adjacent rows."""
    span: list[tuple[int, int, int, int]] = []
    begin = end = -1
    for position in sorted(range(len(rows)), key=rows.__getitem__):
        row = rows[position]
        size, start = sizes[row], starts[row]
        if size < 0:
            continue
        if start != end or start + size - begin > MAX_SPAN:
            if span:
                yield begin, end, span
            begin, span = start, []
        span.append((position, row, start, size))
        end = start + 4 + size
    if span:
        yield begin, end, span


def _running(counts: list[int]) -> list[int]:
    """The first row of each part, and the number of rows."""
    return [0, *itertools.accumulate(counts)]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_one_plain_chunk(chunk: Any) -> bool:
    return (
        chunk is not None
        and chunk.compression == "UNCOMPRESSED"
        and not chunk.has_dictionary_page
        and set(chunk.encodings) <= _PLAIN
    )


def _read_footer(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except FileNotFoundError:
        raise ReidError(f"{path}: no such file{_mend(path)}") from None
    except _BROKEN as error:
        raise ReidError(_diagnosis(path, f"damaged: {error}")) from None


def _metadata_of(path: Path, footer: pq.FileMetaData) -> dict[str, str]:
    pairs = {k.decode(errors="replace"): v for k, v in (footer.metadata or {}).items()}
    pairs.pop("ARROW:schema", None)
    found = {k: v.decode(errors="replace") for k, v in pairs.items()}
    version = found.get(VERSION_KEY, "0")
    if not version.isdecimal():
        raise ReidError(f"{path}: damaged footer: schema version {version!r}{_mend(path)}")
    if int(version) > schema.SCHEMA_VERSION:
        raise ReidError(
            f"{path}: schema version {version}, this program reads up to "
            f"{schema.SCHEMA_VERSION}; install a newer reid-pipeline"
        )
    return found


def _diagnosis(path: Path, damage: str) -> str:
    """What is wrong with a file, in one line: `damage` where both its ends are those of Parquet."""
    size = path.stat().st_size if path.is_file() else -1
    if size < 0:
        return f"{path}: not a file"
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if size == 0:
        what = "empty file"
    elif head != b"PAR1":
        what = "not a Parquet file, or its first bytes are damaged"
    elif tail != b"PAR1" or size < 12:
        what = f"truncated at byte {size:,}"
    else:
        what = " ".join(damage.split())
    return f"{path}: {what}{_mend(path)}"


def _mend(path: Path) -> str:
    """Which command writes the file again, by its place in the tree."""
    parts = path.parts
    if path.parent.name == "rows" and len(parts) >= 4 and parts[-4] == "1-shards":
        return f"; run `reid ingest {parts[-3]}` again"
    if path.parent.name == "rows" and len(parts) >= 5 and parts[-5] == "2-derived":
        return f"; run `reid {parts[-4]} {parts[-3]}` again"
    return ""


class Shards:
    """All shards of a built folder, in the order of their names, as one list of rows."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        rows = self.folder / "rows"
        paths = sorted(p for p in rows.glob("*.parquet") if not p.name.startswith("."))
        if not paths:
            raise ReidError(f"{rows}: no shards{_mend(rows / 'any')}")
        self.shards = [Shard(path) for path in paths]
        self.firsts = _running([s.num_rows for s in self.shards])
        self._scalars: dict[str, pa.ChunkedArray] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder,)

    def __len__(self) -> int:
        return self.firsts[-1]

    @property
    def columns(self) -> list[str]:
        return self.shards[0].columns

    def scalars(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The columns that hold no images, or those named, of all rows; kept once loaded."""
        names = self.shards[0].scalar_columns if columns is None else list(columns)
        missing = [name for name in names if name not in self._scalars]
        if missing:
            loaded = pa.concat_tables([s.table(missing) for s in self.shards]).combine_chunks()
            self._scalars.update(zip(missing, loaded.columns, strict=True))
        return pa.table({name: self._scalars[name] for name in names})

    def read(self, column: str, index: int) -> bytes | None:
        """The encoded image of row `index` of the whole folder, None where it is null."""
        shard = bisect.bisect_right(self.firsts, index) - 1
        return self.shards[shard].read(column, index - self.firsts[shard])

    def read_many(self, column: str, indices: Sequence[int]) -> list[bytes | None]:
        """The encoded images of `indices`, in their order."""
        by_shard: dict[int, list[int]] = {}  # shard to positions in `indices`
        for position, index in enumerate(indices):
            by_shard.setdefault(bisect.bisect_right(self.firsts, index) - 1, []).append(position)
        found: list[bytes | None] = [None] * len(indices)
        for shard, positions in by_shard.items():
            rows = [indices[p] - self.firsts[shard] for p in positions]
            for p, data in zip(positions, self.shards[shard].read_many(column, rows), strict=True):
                found[p] = data
        return found


def side_by_side(base: Shards, other: Shards) -> None:
    """Check that `other` has the shards and rows of `base`, in the same order.

    Raises `ReidError` with the first file, and row, that differs.
    """
    have = [{shard.path.name for shard in shards.shards} for shards in (base, other)]
    for name in sorted(have[0] ^ have[1]):
        full, lacking = (base, other) if name in have[0] else (other, base)
        raise ReidError(f"{lacking.folder}: no rows/{name}, which {full.folder} has")
    for ours, theirs in zip(base.shards, other.shards, strict=True):
        compare_rows(ours, theirs)


def compare_rows(base: Shard, other: Shard) -> None:
    """Check that two shards hold the same `image_id` in each row, else `ReidError`."""
    if base.num_rows != other.num_rows:
        raise ReidError(f"{other.path}: {other.num_rows:,} rows, {base.path} has {base.num_rows:,}")
    ours, theirs = (s.table(["image_id"]).column(0).combine_chunks() for s in (base, other))
    if not ours.equals(theirs):
        row = next(i for i in range(len(ours)) if ours[i].as_py() != theirs[i].as_py())
        raise ReidError(
            f"{other.path}: row {row:,} is {theirs[row].as_py()!r}, "
            f"in {base.path} it is {ours[row].as_py()!r}"
        )
