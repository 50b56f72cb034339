# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""One row of a data set: a dict whose columns have types, and what stands for a null in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pyarrow as pa

from reid.project.errors import ReidError
from reid.project.names import unknown
from reid.shards.schema import IMAGE

# A null image by its column, as its decoder would give one of no pixels.
EMPTY = {
    "depth": np.empty((0, 0), np.uint16),
    "mask": np.empty((0, 0), bool),
    "region": np.empty((0, 0), bool),
    "flow": np.empty((0, 0, 2), np.float32),
}
NO_PIXELS = np.empty((0, 0, 3), np.uint8)


class NoColumn(ReidError, KeyError):
    """A column that a row, or a data set as it was opened, does not have."""


class Row(dict[str, Any]):
    """Labels and the columns asked for, by name.

    Images are (H, W, 3) uint8 RGB, `depth` (H, W) uint16 millimetres, `mask` and `region` (H, W)
    bool, `flow` (H, W, 2) float32 pixels, `joints` (18, 3), `parts` (5, 4) float32. A derived
    column is None where its stage rejected the row; `Data.complete` leaves such rows out. A name
    that the row does not have is a `NoColumn`, which is a `ReidError` and a `KeyError`.
    """

    def __missing__(self, name: str) -> Any:
        raise NoColumn(unknown("column", name, self))

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, name: Literal["image_id"], /) -> str: ...
        @overload
        def __getitem__(self, name: Literal["person", "camera", "height", "width"], /) -> int: ...
        @overload
        def __getitem__(self, name: Literal["train", "query", "gallery"], /) -> bool: ...
        @overload
        def __getitem__(self, name: Literal["tracklet", "frame", "viewpoint"], /) -> int | None: ...
        @overload
        def __getitem__(self, name: Literal["image"], /) -> np.ndarray: ...
        @overload
        def __getitem__(
            self,
            name: Literal[
                "depth", "joints", "parts", "mask", "background", "region", "jet", "flow"
            ],
            /,
        ) -> np.ndarray | None: ...
        @overload
        def __getitem__(self, name: str, /) -> Any: ...
        def __getitem__(self, name: str, /) -> Any: ...


@dataclass(frozen=True)
class Filled:
    """A row without nulls, as torch's own collating takes it."""

    blanks: Mapping[str, Any]  # by column, what stands for a null

    def __call__(self, row: Row) -> Row:
        return Row({n: self.blanks[n] if value is None else value for n, value in row.items()})


def blank_of(name: str, kind: pa.DataType) -> Any:
    """What stands for a null of a column: -1, False, '' or an image of no pixels.

    A fixed-size list, such as joints, is an array of its own shape that is -1 throughout.
    """
    if kind == IMAGE:
        return EMPTY.get(name, NO_PIXELS)
    if pa.types.is_fixed_size_list(kind):
        return np.full(shape_of(kind), -1, np.float32)
    if pa.types.is_list(kind):
        return []
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_floating(kind):
        return -1.0
    return -1 if pa.types.is_integer(kind) else ""


def shape_of(kind: pa.DataType) -> list[int]:
    """The shape of nested fixed-size lists; [] of any other type."""
    shape: list[int] = []
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    return shape
