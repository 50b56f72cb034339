"""Read one shard file: rows at random by their byte offsets, in order, or as tables.

The encoded images of a row group lie in one uncompressed page, one after the other, each behind
its length in 4 bytes; the column `<name>_size` holds the same lengths. So the values end where the
column chunk ends, they begin their total length before that, and a row's offset is a running sum:
a row is one `pread`, and the 4 bytes before it tell at every read whether the place is right.

Files laid out otherwise (compressed, dictionaries, several pages, no sizes) are read by row groups
with a small cache.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import os
import struct
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core import schema
from pipeline.core.errors import ReidError

VERSION_KEY = "reid.schema_version"
MAX_OPEN_FILES = 256  # per process; the shard opened longest ago gives its file back first
MAX_SPAN = 128 * 1024  # bytes that `read_many` reads in one call; more falls out of CPU caches

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
    weakref.finalize(read, os.close, descriptor).atexit = False  # a thread may still read then
    return read


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
        self._firsts = running([g.num_rows for g in self._groups])
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
        sizes = int64_of(self.table([name]).column(0))
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
            found = int64_of(lengths_of(_group(self, column, group)))
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
    return bytes_of(shard._read_groups([group], [column]).column(0))


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


def bytes_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_struct(column.type):  # a null struct has null bytes
        return column.flatten()[column.type.get_field_index("bytes")]
    return column


def lengths_of(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.call_function("binary_length", [values]).cast(pa.int32())


def int64_of(sizes: pa.ChunkedArray) -> np.ndarray:
    """Sizes as int64, null as -1."""
    return sizes.fill_null(-1).to_numpy().astype(np.int64)


def running(counts: list[int]) -> list[int]:
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
        raise ReidError(f"{path}: no such file{which_command(path)}") from None
    except _BROKEN as error:
        raise ReidError(_diagnosis(path, f"damaged: {error}")) from None


def _metadata_of(path: Path, footer: pq.FileMetaData) -> dict[str, str]:
    pairs = {k.decode(errors="replace"): v for k, v in (footer.metadata or {}).items()}
    pairs.pop("ARROW:schema", None)
    found = {k: v.decode(errors="replace") for k, v in pairs.items()}
    version = found.get(VERSION_KEY, "0")
    if not version.isdecimal():
        raise ReidError(f"{path}: damaged footer: schema version {version!r}{which_command(path)}")
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
    return f"{path}: {what}{which_command(path)}"


def which_command(path: Path) -> str:
    """Which command writes the file again, by its place in the tree."""
    parts = path.parts
    if path.parent.name == "rows" and len(parts) >= 4 and parts[-4] == "1-shards":
        return f"; run `reid ingest {parts[-3]}` again"
    if path.parent.name == "rows" and len(parts) >= 5 and parts[-5] == "2-derived":
        return f"; run `reid {parts[-4]} {parts[-3]}` again"
    return ""
