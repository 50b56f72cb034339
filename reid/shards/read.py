# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
"""Read one shard file: rows at random by their byte offsets, in order, or as tables.

A file is on this machine, or anywhere that fsspec reads (`reid.shards.remote`): the same offsets
are then byte ranges, neighbours go in one, and all ranges of a call are asked for together.

The encoded images of a row group lie in one uncompressed page, one after the other, each behind
its length in 4 bytes; the column `<name>_size` holds the same lengths. So the values end where the
column chunk ends, they begin their total length before that, and a row's offset is a running sum:
a row is one `pread`, and the 4 bytes before it tell at every read whether the offset is right.

Files laid out otherwise (compressed, dictionaries, several pages, no sizes) are read by row groups
with a small cache.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import os
import pickle
import struct
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reid.project.errors import ReidError
from reid.shards.footer import (
    BROKEN,
    VERSION_KEY,
    changed,
    diagnosis,
    extent,
    is_one_plain_chunk,
    metadata_of,
    read_footer,
    which_command,
)
from reid.shards.remote import (
    Range,
    RangeFile,
    RangeReader,
    Remote,
    merged,
    open_range,
    read_ranges,
    size_of,
    state_of,
)

__all__ = ["VERSION_KEY", "Shard", "bytes_of", "int64_of", "lengths_of", "running", "which_command"]

MAX_OPEN_FILES = 256  # per process; the shard opened longest ago gives its file back first
MAX_SPAN = 128 * 1024  # bytes that `read_many` reads in one call; more falls out of CPU caches
ROWS_AHEAD = 64  # that `in_order` reads at once where it knows no offsets, or over a network
REMOTE_SPAN = 4 * 1024 * 1024  # the same over a network, where a call costs more than its bytes
REMOTE_GAP = 32 * 1024  # bytes between two rows that are rather read than left out

# First byte, end, and (position in the asked-for rows, row, offset, size) of each row within.
Span = tuple[int, int, list[tuple[int, int, int, int]]]

_prefix_of = struct.Struct("<I").unpack_from  # the length in front of each value


class Shard:
    """One shard file. Opening reads the footer; offsets are made at a column's first read.

    Threads may share it. A forked process shares the file (reads carry their own offset); a
    pickled one opens it again. At most `MAX_OPEN_FILES` files stay open in a process. A local file
    that is replaced, edited or removed meanwhile is a `ReidError` wherever its path is read again;
    a descriptor that is still open has the old file's bytes. `tail` are the last bytes of a remote
    file, where they are read already.
    """

    def __init__(self, path: Path | Remote | str, tail: bytes | None = None) -> None:
        self.path = Path(path) if isinstance(path, str) else path
        self._state = state_of(self.path)
        self._footer = read_footer(self.path, tail)
        self.num_rows: int = self._footer.num_rows
        self.metadata = metadata_of(self.path, self._footer)
        self._groups: list[Any] = self._guard(
            lambda: [self._footer.row_group(g) for g in range(self._footer.num_row_groups)]
        )
        self._firsts = running([g.num_rows for g in self._groups])
        self._layouts: dict[str, tuple[memoryview, memoryview] | None] = {}
        self._range: RangeReader | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.path, self.footer_digest)

    def __len__(self) -> int:
        return self.num_rows

    @property
    def footer_digest(self) -> str:
        """The SHA-256 of what the footer says, the same on any machine."""
        return hashlib.sha256(pickle.dumps(self._footer, 5)).hexdigest()

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
        spans = self.spans(column, rows)
        if spans is None:
            return [self._from_group(column, row) for row in rows]
        if isinstance(self.path, Remote):
            pieces: Iterable[bytes] = read_ranges([(self.path, a, b) for a, b, _ in spans])
        else:
            read = self._range or self._open()
            pieces = (read(stop - start, start) for start, stop, _ in spans)
        return self.cut(column, len(rows), spans, pieces)

    def in_order(
        self, column: str, start: int = 0, stop: int | None = None
    ) -> Iterator[bytes | None]:
        """The encoded images of rows `start` to `stop`, each cut out when it is asked for.

        The bytes of a page are read once, into a buffer that stays in the CPU's caches.
        """
        stop = self.num_rows if stop is None else stop
        layout = self._layouts[column] if column in self._layouts else self._measure(column)
        if layout is None or isinstance(self.path, Remote):
            for first in range(start, stop, ROWS_AHEAD):
                yield from self.read_many(column, range(first, min(first + ROWS_AHEAD, stop)))
            return
        starts, sizes = layout
        # Another reader may close `_range`, not the descriptor that this one holds.
        read = cast("functools.partial[bytes]", self._range or self._open())
        buffer, begin, held = memoryview(bytearray(MAX_SPAN)), 0, 0
        for row in range(start, stop):
            size = sizes[row]
            if size < 0:
                yield None
                continue
            at = starts[row] - begin
            if at < 0 or at + 4 + size > held:  # another writer's row groups have any order
                begin, at = starts[row], 0
                if size + 4 > len(buffer):
                    buffer = memoryview(bytearray(size + 4))
                held = os.preadv(read.args[0], [buffer], begin)
            if held < at + 4 + size or _prefix_of(buffer, at)[0] != size:
                yield self._settle(column, row)
            else:
                yield bytes(buffer[at + 4 : at + 4 + size])

    def spans(self, column: str, rows: Sequence[int]) -> list[Span] | None:
        """The byte ranges that hold the images of `rows`; None for another layout."""
        layout = self._layouts[column] if column in self._layouts else self._measure(column)
        if layout is None:
            return None
        remote = isinstance(self.path, Remote)
        gap, most = (REMOTE_GAP, REMOTE_SPAN) if remote else (0, MAX_SPAN)
        return list(_spans(*layout, rows, gap, most))

    def cut(
        self, column: str, count: int, spans: Iterable[Span], pieces: Iterable[bytes]
    ) -> list[bytes | None]:
        """The encoded images of the `count` rows of `spans`, whose bytes are `pieces`."""
        values: list[bytes | None] = [None] * count
        for (start, _, span), data in zip(spans, pieces, strict=True):
            for position, row, offset, size in span:
                at = offset - start
                if len(data) < at + 4 + size or _prefix_of(data, at)[0] != size:
                    values[position] = self._settle(column, row)
                else:
                    values[position] = data[at + 4 : at + 4 + size]
        return values

    def table(
        self,
        columns: Sequence[str] | None = None,
        start: int = 0,
        stop: int | None = None,
        pieces: dict[int, bytes] | None = None,
    ) -> pa.Table:
        """Rows `start` to `stop` of `columns`, by default of all, images included.

        `pieces` are a remote file's bytes by their first, such as `extents`, read already.
        """
        names = self._known(columns)
        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        first = bisect.bisect_right(self._firsts, start) - 1
        groups = [g for g in range(first, len(self._firsts) - 1) if self._firsts[g] < stop]
        read = self.read_groups(groups, names, pieces)
        return read.slice(start - self._firsts[first], max(0, stop - start))

    def extents(self, names: Sequence[str], groups: Iterable[int] | None = None) -> list[Range]:
        """The byte ranges of columns in row groups, by default in all."""
        paths = [self._footer.schema.column(i).path for i in range(self._footer.num_columns)]
        leaves = [i for i, p in enumerate(paths) if any(f"{p}.".startswith(f"{n}.") for n in names)]
        chosen = self._groups if groups is None else [self._groups[g] for g in groups]
        return merged([extent(g.column(leaf)) for g in chosen for leaf in leaves], REMOTE_GAP)

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        names = self.columns if columns is None else list(columns)
        for name in names:
            if name not in self.columns:
                have = ", ".join(self.columns)
                raise ReidError(f"{self.path}: no column `{name}` (it has {have})")
        return names

    def read_groups(
        self, groups: list[int], names: list[str], pieces: dict[int, bytes] | None = None
    ) -> pa.Table:
        source: Any = self.path
        if isinstance(self.path, Remote):
            if pieces is None:
                wanted = [(self.path, start, end) for start, end in self.extents(names, groups)]
                starts = [start for _, start, _ in wanted]
                pieces = dict(zip(starts, read_ranges(wanted), strict=True))
            source = RangeFile(self.path, pieces)

        def read() -> pa.Table:
            with pq.ParquetFile(source, metadata=self._footer) as file:
                table = file.read_row_groups(groups, columns=names, use_threads=False)
            return table.select(names).replace_schema_metadata(None)

        table = self._guard(read)
        self._check_unchanged()
        return table

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except BROKEN as error:
            self._check_unchanged()
            raise ReidError(diagnosis(self.path, f"damaged: {error}")) from None

    def _check_unchanged(self) -> None:
        """Raises `ReidError` where the path leads to another file than the one that was opened.

        Called after the path was read, so that a file that is replaced meanwhile is told, too.
        """
        if state_of(self.path) != self._state:
            raise ReidError(changed(self.path))

    def _open(self) -> RangeReader:
        read = self._guard(lambda: open_range(self.path))
        self._check_unchanged()
        self._range = read
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
        if not all(map(is_one_plain_chunk, chunks)):
            return None
        column_sizes = self.table([name]).column(0)
        if (pc.min(column_sizes).as_py() or 0) < 0:  # type: ignore[attr-defined]
            return self._not_ours(f"damaged: `{name}` has negative sizes")
        sizes = int64_of(column_sizes)
        lengths = np.where(sizes < 0, 0, sizes + 4)
        starts = np.zeros(self.num_rows, np.int64)
        file_size = size_of(self.path)
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
            stored = int64_of(lengths_of(_group(self, column, group)))
        except ReidError:
            return False
        return np.array_equal(stored, sizes[self._firsts[group] : self._firsts[group + 1]])

    def _not_ours(self, what: str) -> None:
        """Raise if the footer says that this project wrote the file; else it is merely foreign."""
        self._check_unchanged()
        if VERSION_KEY in self.metadata:
            raise ReidError(diagnosis(self.path, what))


def _again(path: Path | Remote, footer_digest: str) -> Shard:
    """A pickled shard, opened again; `ReidError` where its footer is another one by now."""
    shard = Shard(path)
    if shard.footer_digest != footer_digest:
        raise ReidError(changed(path))
    return shard


_opened: deque[weakref.ref[Shard]] = deque()


@functools.lru_cache(maxsize=8)
def _group(shard: Shard, column: str, group: int) -> pa.ChunkedArray:
    """The bytes of one row group of a file that is laid out otherwise."""
    return bytes_of(shard.read_groups([group], [column]).column(0))


def _spans(
    starts: memoryview, sizes: memoryview, rows: Sequence[int], gap: int, most: int
) -> Iterator[Span]:
    """Runs of rows at most `gap` bytes apart, of at most `most` bytes where they are several."""
    span: list[tuple[int, int, int, int]] = []
    begin = end = -1
    for position in sorted(range(len(rows)), key=rows.__getitem__):
        row = rows[position]
        size, start = sizes[row], starts[row]
        if size < 0:
            continue
        if not span or start > end + gap or start + size - begin > most:
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
