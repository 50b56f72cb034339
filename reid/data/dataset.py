# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Open a built data set: rows, images, and columns of several stages side by side.

data = reid.open("data", "street", columns=["image", "parts"])  # or https://..., s3://...
data[0], data[-1], data[:9]  {"image_id": ..., "image": (H, W, 3) uint8, "parts": (5, 4), ...}
data.role("query")           the query rows alone
data.torch(transform=...)    a torch data set with `__getitems__`
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reid.arrays import images
from reid.arrays.flow import decode_flow
from reid.data.locate import base_of, check_builds, derived_of, stage_of
from reid.data.row import Filled, NoColumn, Row, blank_of, shape_of
from reid.project.errors import ReidError
from reid.project.names import unknown
from reid.shards.folder import Shards, side_by_side
from reid.shards.protocol import read_protocols
from reid.shards.remote import Remote, place_of
from reid.shards.schema import check_rows

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from reid.data.torch import TorchData

ROWS_AHEAD = 64  # of all rows in order, that are read at once
ROLES = ("train", "query", "gallery")
DECODERS = {
    "depth": images.decode_depth,
    "mask": images.decode_mask,
    "region": images.decode_mask,
    "flow": decode_flow,
}


def open(
    root: str | Path,
    dataset: str,
    columns: str | Sequence[str] = ("image",),
    builds: Mapping[str, str] | None = None,
    *,
    filesystem: AbstractFileSystem | None = None,
    verify: bool = True,
) -> Data:
    """Open `dataset` below the data folder `root`, with `columns`, or one, beside the labels.

    `root` is a folder, any address that fsspec opens (`https://...`, `s3://...`, `gs://...`), or a
    path on `filesystem`, such as a `dvc.api.DVCFileSystem`; there byte ranges are read, no files.
    A data set that a stage made of another one is called `<stage>/<build>`, such as `swaps/mall`.
    A column of a derived stage is found by its name, `parts`, or in full, `parts.parts`. `builds`
    names the build of a stage that is meant where it is not the one named after the data set.
    With `verify` each local file is read once and compared with the digest of when it was built.
    Raises `ReidError` where the data set, a column or a build is not there, or a file is damaged.
    """
    home, builds = place_of(root, filesystem), builds or {}
    base_folder = base_of(home, dataset)
    check_builds(home, dataset, builds)
    base, protocol = Shards(base_folder), read_protocols(base_folder)
    check_rows(base_folder, base.shards[0].schema)
    names = set(base.columns)
    sources: dict[str, tuple[Shards, str]] = {}
    opened: dict[str, Shards] = {}
    for column in [columns] if isinstance(columns, str) else columns:
        if column in names:
            sources[column] = (base, column)
            continue
        stage, name = stage_of(home, dataset, builds, column, base.columns)
        if stage not in opened:
            opened[stage] = Shards(derived_of(home, dataset, builds, stage))
            side_by_side(base, opened[stage])
        sources[column] = (opened[stage], name)
    if verify:
        for shards in (base, *opened.values()):
            shards.check()
    return Data(base, sources, np.arange(len(base)), protocol, name=dataset)


class NoRow(ReidError, IndexError):
    """A row number that the data set does not have."""


class Data:
    """Rows of one data set, or a choice of them. Cheap to copy and to pickle."""

    def __init__(
        self,
        base: Shards,
        sources: dict[str, tuple[Shards, str]],
        index: np.ndarray,
        protocol: dict[str, Any],
        rule: str = "",
        name: str = "",
    ):
        self.base, self.sources, self.index, self.protocol = base, sources, index, protocol
        self.rule = rule  # the name of the rule in force; '' = the data set's first
        self.name = name  # the data set's; '' where its folder was opened by itself
        self._labels: pa.Table | None = None
        self._cell_of: dict[str, Callable[[int], Any]] = {}  # by label
        self._arrays: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        person = self.base.scalars(["person"])["person"].to_numpy()[self.index]
        rule = self.protocol_in_force().get("rule", {})
        nobody = [*rule.get("junk", [-1]), *rule.get("distractors", [])]
        persons = len(np.setdiff1d(person, nobody))
        columns = ", ".join(self.sources) or "labels alone"
        return f"<reid.Data {self.name}: {len(self):,} rows, {persons:,} persons, {columns}>"

    @property
    def columns(self) -> list[str]:
        """The names of what a row has: labels, then the columns that were asked for."""
        labels = self.base.shards[0].scalar_columns
        return [*labels, *(name for name in self.sources if name not in labels)]

    @property
    def rows(self) -> pa.Table:
        """The labels of the chosen rows: every base column but the bytes."""
        if self._labels is None:
            rows = self.base.scalars().take(pa.array(self.index))
            self._labels = with_roles(rows, self.protocol_in_force().get("members", "columns"))
        return self._labels

    def labels(self, column: str) -> np.ndarray:
        """One label column as an array; nulls become -1, False or ''."""
        if column not in self.rows.column_names:
            hint = "; it is read by `values`" if column in self.sources else ""
            raise NoColumn(unknown("label", column, self.rows.column_names) + hint)
        values = self.rows[column].combine_chunks()
        if values.null_count and not pa.types.is_nested(values.type):
            values = values.fill_null(blank_of(column, values.type))
        return values.to_numpy(zero_copy_only=False)

    def choose(self, rows: np.ndarray | Sequence[int] | Sequence[bool]) -> Data:
        """The rows given by positions or by a mask of all rows, in that order."""
        given = _as_index(rows)
        if given.dtype == bool:
            if given.shape != self.index.shape:
                raise ReidError(
                    f"{self.name}: a mask of shape {given.shape}; it must have a value for each "
                    f"of the {len(self):,} rows"
                )
            given = np.flatnonzero(given)
        return self._with(self.index[self._positions(given)], self.rule)

    def _positions(self, rows: Any) -> np.ndarray:
        """Row numbers as an array, each within the rows; the last one is also -1."""
        given = np.asarray(rows)
        if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
            raise ReidError(
                f"{self.name}: rows are chosen by whole numbers or a mask, not by {given.dtype} of "
                f"shape {given.shape}"
            )
        count = len(self)
        outside = given[(given < -count) | (given >= count)]
        if len(outside):
            raise NoRow(f"{self.name}: no row {outside[0]:,} (there are {count:,})")
        return given % count if len(given) else given

    def _with(self, index: np.ndarray, rule: str) -> Data:
        return Data(self.base, self.sources, index, self.protocol, rule, self.name)

    def under(self, rule: str) -> Data:
        """The same rows with their roles under another rule of the data set, by its name."""
        known = [protocol["name"] for protocol in self.protocol.get("protocols", [])]
        if rule and rule not in known:
            raise ReidError(unknown("protocol", rule, known))
        return self._with(self.index, rule)

    def protocol_in_force(self) -> dict[str, Any]:
        """The rule that roles and metrics follow, as protocol.json has it, or {}."""
        protocols = self.protocol.get("protocols", [])
        named = [p for p in protocols if p["name"] == self.rule] if self.rule else protocols
        return named[0] if named else {}

    def role(self, role: str) -> Data:
        """The rows of one role under the rule in force: train, query or gallery."""
        if role not in ROLES:
            raise ReidError(unknown("role", role, ROLES))
        return self.choose(self.labels(role).astype(bool))

    def complete(self) -> Data:
        """The rows in which no asked-for column is null (a stage rejected them)."""
        whole = np.ones(len(self), bool)
        for shards, name in self.sources.values():
            key = f"{name}_size" if f"{name}_size" in shards.columns else name
            whole &= shards.scalars([key])[key].is_valid().to_numpy()[self.index]
        return self if whole.all() else self.choose(whole)

    def value(self, column: str, position: int) -> Any:
        """One cell: RGB images, depth in millimetres, bool masks, flow in pixels; else as it is."""
        return self.values(column, [position])[0]

    def values(self, column: str, positions: Sequence[int] | np.ndarray) -> list[Any]:
        """Cells of one column, read in one go."""
        return list(self._cells(column, _as_index(positions)))

    def _cells(self, column: str, positions: np.ndarray) -> Iterator[Any]:
        """Cells of one column, each decoded when it is asked for."""
        if column not in self.sources:
            hint = "; it is a label, read by `labels`" if column in self.columns else ""
            raise NoColumn(unknown("column", column, self.sources) + hint)
        shards, name = self.sources[column]
        chosen = self.index[positions]
        if f"{name}_size" not in shards.columns:
            cells = self._scalars(column)
            return (cells[i] for i in chosen)
        decode = DECODERS.get(name, images.decode)
        return (None if data is None else decode(data) for data in _encoded(shards, name, chosen))

    def _scalars(self, column: str) -> list[Any]:
        """A scalar or list column of all rows, converted once."""
        if column not in self._arrays:
            shards, name = self.sources[column]
            values = shards.scalars([name])[name].combine_chunks()
            self._arrays[column] = _cells(values)
        return self._arrays[column]

    @overload
    def __getitem__(self, position: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, position: slice) -> Data: ...
    def __getitem__(self, position: SupportsIndex | slice) -> Row | Data:
        """The row of a number, the last one's is also -1; or the rows of a slice, undecoded."""
        if isinstance(position, slice):
            return self.choose(np.arange(len(self))[position])
        try:
            at, count = _whole(position), len(self)
        except TypeError:
            raise ReidError(
                f"{self.name}: {position!r:.40} is no row: give a number or a slice, to `choose` "
                "whole numbers or a mask, to `labels` the name of a column"
            ) from None
        if not -count <= at < count:
            raise NoRow(f"{self.name}: no row {at:,} (there are {count:,})")
        return next(self.each([at % count]))

    def __iter__(self) -> Iterator[Row]:
        """All rows in order, each decoded when it is asked for."""
        for start in range(0, len(self), ROWS_AHEAD):
            yield from self.each(np.arange(start, min(start + ROWS_AHEAD, len(self))))

    def __getitems__(self, positions: Sequence[int] | np.ndarray) -> list[Row]:
        """Rows with labels and the asked-for columns, decoded."""
        return list(self.each(positions))

    def each(self, positions: Sequence[int] | np.ndarray) -> Iterator[Row]:
        """The same rows, read in one go, each decoded when it is asked for.

        Who drops a row before the next one decodes into memory that CPU caches hold.
        """
        positions = _as_index(positions)
        if positions.dtype == bool:  # labels and images would take a mask differently
            positions = np.flatnonzero(positions)
        if not self._cell_of:
            rows = self.rows
            self._cell_of = {name: _cell_of(rows[name]) for name in rows.column_names}
        numbers = positions.tolist()
        cells = {name: map(of, numbers) for name, of in self._cell_of.items()}
        cells |= {column: self._cells(column, positions) for column in self.sources}
        names = tuple(cells)
        return map(lambda *row: Row(zip(names, row, strict=True)), *cells.values())

    def batches(self, size: int) -> Iterator[list[Row]]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.__getitems__(range(start, min(start + size, len(self))))

    def torch(self, transform: Callable[[Row], Any] | None = None) -> TorchData:
        """For a `torch.utils.data.DataLoader`; `transform` takes one row.

        Without one, rows are as torch's own collating takes them: a null is -1, False or '', an
        image that is null one of no pixels, a null of a fixed shape that shape of -1. Images of a
        batch must then have one size; `complete` leaves rows with nulls out.
        """
        from reid.data.torch import TorchData

        return TorchData(self, transform or Filled(self._blanks()))

    def _blanks(self) -> dict[str, Any]:
        """By column, what stands for a null in a batch."""
        kinds = {name: (name, self.rows.schema.field(name).type) for name in self.rows.column_names}
        for column, (shards, name) in self.sources.items():
            kinds[column] = name, shards.shards[0].schema.field(name).type
        return {column: blank_of(name, kind) for column, (name, kind) in kinds.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_labels": None, "_cell_of": {}, "_arrays": {}}


def _as_index(positions: Sequence[int] | Sequence[bool] | np.ndarray) -> np.ndarray:
    """As NumPy's index; an empty list, which has no type of its own, is one of no rows."""
    found = np.asarray(positions)
    return found if found.size or found.dtype == bool else found.astype(np.int64)


def _whole(position: SupportsIndex) -> int:
    """A position as a number; `TypeError` where it is none, as True would be row 1."""
    if isinstance(position, bool):
        raise TypeError
    return operator.index(position)


def _encoded(shards: Shards, column: str, rows: np.ndarray) -> Iterable[bytes | None]:
    """The encoded images of some rows, read in one go."""
    if len(rows) == 1:
        return [shards.read(column, int(rows[0]))]
    remote = isinstance(shards.folder, Remote)  # where one call for all is what counts
    if not remote and len(rows) and (np.diff(rows) == 1).all():
        return shards.in_order(column, int(rows[0]), int(rows[-1]) + 1)
    return shards.read_many(column, rows.tolist())


def with_roles(rows: pa.Table, members: Any) -> pa.Table:
    """Rows with the columns train, query and gallery as a rule's members say.

    Members are the rows' own "columns"; or for each role which rows have it, `test` standing for
    both query and gallery: {"train": {"persons": [...]}, "test": {"persons": [...]}}, also by
    "cameras"; or, as {"columns_and": {<role>: {...}}}, rows that have it beside the columns'.
    """
    if members == "columns":
        return rows
    further = members.get("columns_and")
    for role in ROLES:
        if further is None:
            member = _chosen(rows, members.get(role) or members["test"])
        elif role in further:
            member = pc.or_(rows[role], _chosen(rows, further[role]))  # type: ignore[attr-defined]
        else:
            continue
        rows = rows.set_column(rows.column_names.index(role), role, member)
    return rows


def _chosen(rows: pa.Table, wanted: Mapping[str, Sequence[int]]) -> Any:
    """Which rows have one of the wanted labels, of each kind that is named."""
    chosen = pa.array(np.ones(len(rows), bool))
    for labels, values in wanted.items():
        column = rows[labels.removesuffix("s")]
        member = pc.is_in(column, pa.array(values, column.type))  # type: ignore[attr-defined]
        chosen = pc.and_(chosen, member)  # type: ignore[attr-defined]
    return chosen


def _cell_of(column: pa.ChunkedArray) -> Callable[[int], Any]:
    """A function of a row's number to its cell: a tenth of what Arrow's own scalars cost."""
    values = column.combine_chunks()
    if values.null_count == len(values):
        return lambda _: None
    if not values.null_count and (
        pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)
    ):
        return memoryview(values.to_numpy(zero_copy_only=False)).__getitem__
    return lambda row: values[row].as_py()  # pyright: ignore[reportUnknownLambdaType]


def _cells(values: pa.Array) -> list[Any]:
    """Python values of an array; nested fixed-size lists become float arrays of their shape."""
    shape = shape_of(values.type)
    if not shape:
        return values.to_pylist()
    return [
        None if v is None else np.asarray(v, np.float32).reshape(shape) for v in values.to_pylist()
    ]
