"""Open a built data set: rows, images, and columns of several stages side by side.

data = reid.open("data", "street", columns=["image", "parts"])
data[0]                      {"image_id": ..., "image": (H, W, 3) uint8, "parts": (5, 4), ...}
data.role("query")           the query rows alone
data.torch(transform=...)    a torch data set with `__getitems__`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core import images
from pipeline.core.errors import ReidError
from pipeline.core.shards import Shards, side_by_side

ROLES = ("train", "query", "gallery")


def open(root: str | Path, dataset: str, columns: Sequence[str] = ("image",)) -> Data:
    """Open `dataset` below the data folder `root`, with `columns` beside the labels.

    A column of a derived stage is found by its name, `parts`, or in full, `parts.parts`.
    Raises `ReidError` where the data set or a column is not built.
    """
    base_folder = Path(root) / "1-shards" / dataset
    if not (base_folder / "manifest.json").is_file():
        raise ReidError(f"{base_folder}: not built; run `reid ingest {dataset}`")
    base = Shards(base_folder)
    names = set(base.columns)
    sources: dict[str, tuple[Shards, str]] = {}
    opened: dict[str, Shards] = {}
    for column in columns:
        if column in names:
            sources[column] = (base, column)
            continue
        stage, name = _stage_of(Path(root), dataset, column)
        if stage not in opened:
            opened[stage] = Shards(Path(root) / "2-derived" / stage / dataset)
            side_by_side(base, opened[stage])
        sources[column] = (opened[stage], name)
    return Data(base, sources, np.arange(len(base)), json.loads(_protocol(base_folder)))


def _stage_of(root: Path, dataset: str, column: str) -> tuple[str, str]:
    """Which derived stage holds a column, and the column's own name."""
    wanted, _, name = column.rpartition(".")
    found = []
    for manifest in sorted((root / "2-derived").glob(f"*/{dataset}/manifest.json")):
        stage = manifest.parent.parent.name
        if wanted in ("", stage) and name in json.loads(manifest.read_text("utf-8"))["columns"]:
            found.append(stage)
    if len(found) == 1:
        return found[0], name
    if not found:
        raise ReidError(
            f"{dataset} has no column `{column}` in {root}/1-shards or {root}/2-derived; "
            f"run the stage that makes it, such as `reid {column} {dataset}`"
        )
    choices = ", ".join(f"{stage}.{name}" for stage in found)
    raise ReidError(f"column `{column}` of {dataset} is in several stages; say which: {choices}")


def _protocol(folder: Path) -> str:
    path = folder / "protocol.json"
    return path.read_text("utf-8") if path.is_file() else "{}"


class Data:
    """Rows of one data set, or a choice of them. Cheap to copy and to pickle."""

    def __init__(
        self,
        base: Shards,
        sources: dict[str, tuple[Shards, str]],
        index: np.ndarray,
        protocol: dict[str, Any],
    ):
        self.base, self.sources, self.index, self.protocol = base, sources, index, protocol
        self._labels: pa.Table | None = None
        self._arrays: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.index)

    @property
    def rows(self) -> pa.Table:
        """The labels of the chosen rows: every base column but the bytes."""
        if self._labels is None:
            self._labels = self.base.scalars().take(pa.array(self.index))
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
        return Data(self.base, self.sources, self.index[chosen], self.protocol)

    def role(self, role: str) -> Data:
        """The rows of one role under the default rule: train, query or gallery."""
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
        """One cell: images decoded to RGB (`depth` to millimetres), lists as arrays, else as is."""
        return self.values(column, [position])[0]

    def values(self, column: str, positions: Sequence[int] | np.ndarray) -> list[Any]:
        """Cells of one column, read in one go."""
        shards, name = self.sources[column]
        chosen = self.index[np.asarray(positions)]
        if f"{name}_size" not in shards.columns:
            cells = self._scalars(column)
            return [cells[i] for i in chosen]
        decode = images.decode_depth if name == "depth" else images.decode
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
        return TorchData(self, transform)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_labels": None, "_arrays": {}}


class TorchData:
    """A map-style data set: batches are read in one go through `__getitems__`."""

    def __init__(self, data: Data, transform: Callable[[dict[str, Any]], Any] | None):
        self.data, self.transform = data, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> Any:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        rows = self.data.__getitems__(positions)
        return rows if self.transform is None else [self.transform(row) for row in rows]


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
