# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Open a built data set: rows, images, and columns of several stages side by side.

data = reid.open("data", "street", columns=["image", "parts"])  # or https://..., s3://...
data[0]                      {"image_id": ..., "image": (H, W, 3) uint8, "parts": (5, 4), ...}
data.role("query")           the query rows alone
data.torch(transform=...)    a torch data set with `__getitems__`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reid.arrays import images
from reid.arrays.flow import decode_flow
from reid.project.errors import ReidError
from reid.project.layout import builder_of
from reid.shards.folder import Shards, side_by_side
from reid.shards.manifest import listed_of, read_manifest
from reid.shards.protocol import read_protocols
from reid.shards.remote import Remote, place_of
from reid.shards.schema import check_rows

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from reid.data.torch import TorchData

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
    columns: Sequence[str] = ("image",),
    builds: Mapping[str, str] | None = None,
    *,
    filesystem: AbstractFileSystem | None = None,
    verify: bool = True,
) -> Data:
    """Open `dataset` below the data folder `root`, with `columns` beside the labels.

    `root` is a folder, any address that fsspec opens (`https://...`, `s3://...`, `gs://...`), or a
    path on `filesystem`, such as a `dvc.api.DVCFileSystem`; there byte ranges are read, no files.
    A data set that a stage made of another one is called `<stage>/<build>`, such as `swaps/mall`.
    A column of a derived stage is found by its name, `parts`, or in full, `parts.parts`. `builds`
    names the build of a stage that is meant where it is not the one named after the data set.
    With `verify` each local file is read once and compared with the digest of when it was built.
    Raises `ReidError` where the data set or a column is not built, or a file is damaged.
    """
    home = place_of(root, filesystem)
    base_folder = _base(home, dataset)
    base, protocol = Shards(base_folder), read_protocols(base_folder)
    check_rows(base_folder, base.shards[0].schema)
    names = set(base.columns)
    sources: dict[str, tuple[Shards, str]] = {}
    opened: dict[str, Shards] = {}
    for column in columns:
        if column in names:
            sources[column] = (base, column)
            continue
        stage, name = _stage_of(home, dataset, builds or {}, column)
        if stage not in opened:
            opened[stage] = Shards(_derived(home, dataset, builds or {}, stage))
            side_by_side(base, opened[stage])
        sources[column] = (opened[stage], name)
    if verify:
        for shards in (base, *opened.values()):
            shards.check()
    return Data(base, sources, np.arange(len(base)), protocol)


def _base(home: Path | Remote, dataset: str) -> Path | Remote:
    """The folder of a data set's own rows: ingested, or made by a stage, such as swaps/mall."""
    folders = home / "1-shards" / dataset, home / "2-derived" / dataset
    for folder in folders:
        if listed_of(folder) is not None:
            return folder
    if isinstance(home, Remote):
        raise ReidError(f"{folders[0]}: no manifest.json; no data set `{dataset}` is built there")
    raise ReidError(f"{folders[0]}: not built; run `{builder_of(dataset)}`")


def _derived(home: Any, dataset: str, builds: Mapping[str, str], stage: str) -> Any:
    return home / "2-derived" / stage / builds.get(stage, dataset)


def _stage_of(
    home: Path | Remote, dataset: str, builds: Mapping[str, str], column: str
) -> tuple[str, str]:
    """Which derived stage holds a column, and the column's own name."""
    wanted, _, name = column.rpartition(".")
    found = []
    for stage in [wanted] if wanted else _stages(home, name):
        described = read_manifest(_derived(home, dataset, builds, stage))
        if described is None:
            continue
        own = described["dataset"] == dataset and not described.get("new_rows")
        if own and name in described["columns"]:
            found.append(stage)
    if len(found) == 1:
        return found[0], name
    if not found:
        hint = f"run the stage that makes it, such as `reid {column} {dataset}`"
        if isinstance(home, Remote):
            hint = f"where folders cannot be listed, name the stage too: `<stage>.{name}`"
        raise ReidError(
            f"{dataset} has no column `{column}` in {home}/1-shards or {home}/2-derived; {hint}"
        )
    choices = ", ".join(f"{stage}.{name}" for stage in found)
    raise ReidError(f"column `{column}` of {dataset} is in several stages; say which: {choices}")


def _stages(home: Path | Remote, name: str) -> list[str]:
    """The stages that may hold a column: those built; the one of its name where none are listed."""
    folder = home / "2-derived"
    if isinstance(folder, Remote):
        return folder.names() or [name]
    return sorted(path.name for path in folder.glob("*"))


class Data:
    """Rows of one data set, or a choice of them. Cheap to copy and to pickle."""

    def __init__(
        self,
        base: Shards,
        sources: dict[str, tuple[Shards, str]],
        index: np.ndarray,
        protocol: dict[str, Any],
        rule: str = "",
    ):
        self.base, self.sources, self.index, self.protocol = base, sources, index, protocol
        self.rule = rule  # the name of the rule in force; '' = the data set's first
        self._labels: pa.Table | None = None
        self._arrays: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.index)

    @property
    def rows(self) -> pa.Table:
        """The labels of the chosen rows: every base column but the bytes."""
        if self._labels is None:
            rows = self.base.scalars().take(pa.array(self.index))
            self._labels = with_roles(rows, self.protocol_in_force().get("members", "columns"))
        return self._labels

    def labels(self, column: str) -> np.ndarray:
        """One label column as an array; nulls become -1."""
        values = self.rows[column].combine_chunks()
        return values.fill_null(-1).to_numpy(zero_copy_only=False) if values.null_count else (
            values.to_numpy(zero_copy_only=False)
        )  # fmt: skip

    def choose(self, rows: np.ndarray) -> Data:
        """The rows given by positions or by a mask, in that order."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Data(self.base, self.sources, self.index[chosen], self.protocol, self.rule)

    def under(self, rule: str) -> Data:
        """The same rows with their roles under another rule of the data set, by its name."""
        known = [protocol["name"] for protocol in self.protocol.get("protocols", [])]
        if rule and rule not in known:
            raise ReidError(f"no protocol `{rule}` (there are {', '.join(known) or 'none'})")
        return Data(self.base, self.sources, self.index, self.protocol, rule)

    def protocol_in_force(self) -> dict[str, Any]:
        """The rule that roles and metrics follow, as protocol.json has it, or {}."""
        protocols = self.protocol.get("protocols", [])
        named = [p for p in protocols if p["name"] == self.rule] if self.rule else protocols
        return named[0] if named else {}

    def role(self, role: str) -> Data:
        """The rows of one role under the rule in force: train, query or gallery."""
        if role not in ROLES:
            raise ReidError(f"no role `{role}` (there are {', '.join(ROLES)})")
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
        shards, name = self.sources[column]
        chosen = self.index[np.asarray(positions)]
        if f"{name}_size" not in shards.columns:
            cells = self._scalars(column)
            return [cells[i] for i in chosen]
        decode = DECODERS.get(name, images.decode)
        return [None if d is None else decode(d) for d in shards.read_many(name, chosen.tolist())]

    def _scalars(self, column: str) -> list[Any]:
        """A scalar or list column of all rows, converted once."""
        if column not in self._arrays:
            shards, name = self.sources[column]
            values = shards.scalars([name])[name].combine_chunks()
            self._arrays[column] = _cells(values)
        return self._arrays[column]

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Rows with labels and the asked-for columns, decoded."""
        labels = self.rows.take(pa.array(np.asarray(positions))).to_pylist()
        for column in self.sources:
            for row, value in zip(labels, self.values(column, positions), strict=True):
                row[column] = value
        return labels

    def batches(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.__getitems__(range(start, min(start + size, len(self))))

    def torch(self, transform: Callable[[dict[str, Any]], Any] | None = None) -> TorchData:
        """For a `torch.utils.data.DataLoader`; `transform` takes one row."""
        from reid.data.torch import TorchData

        return TorchData(self, transform)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_labels": None, "_arrays": {}}


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


def _cells(values: pa.Array) -> list[Any]:
    """Python values of an array; nested fixed-size lists become float arrays of their shape."""
    shape: list[int] = []
    kind = values.type
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    if not shape:
        return values.to_pylist()
    return [
        None if v is None else np.asarray(v, np.float32).reshape(shape) for v in values.to_pylist()
    ]
