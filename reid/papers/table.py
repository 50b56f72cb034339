"""Printed tables of a paper as named rows: its numbers, and the parameters that make the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Printed = Mapping[str, Mapping[str, float]]  # data set -> metric -> the number as printed


@dataclass(frozen=True)
class Row:
    """One row of a table. Without `overrides` it is shown, never trained."""

    name: str
    printed: Printed = field(default_factory=dict[str, Mapping[str, float]])
    overrides: Mapping[str, Any] | None = None  # of the paper's Params
    same_as: str | None = None  # the row of another table that is one and the same training
    # Data that the row needs built otherwise: parameters by stage.
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    of_source: bool = False  # of the data set that the table's data set was made of: full frames
    # Further parameters on a data set, by its reader, such as another lambda on CUHK03.
    on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def parameters(self, reader: str) -> dict[str, Any]:
        """The paper's parameters that the row names, on data sets of a reader."""
        return {**(self.overrides or {}), **self.on.get(reader, {})}


@dataclass(frozen=True)
class Table:
    """A printed table or figure."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""
    metrics: tuple[str, ...] = ()  # shown of ours though no number of the paper's is printed

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)


def printed(columns: Iterable[tuple[str, str]], numbers: str) -> dict[str, dict[str, float]]:
    """A line of numbers under (data set, metric) headings; `-` is a number that is not printed."""
    found: dict[str, dict[str, float]] = {}
    for (dataset, metric), number in zip(columns, numbers.split(), strict=True):
        if number != "-":
            found.setdefault(dataset, {})[metric] = (
                int(number) if number.isdigit() else float(number)
            )
    return found


def columns(**metrics: str) -> list[tuple[str, str]]:
    """Headings of a table: `columns(market1501="r1 mAP", dukemtmc_reid="r1")`."""
    return [(dataset, metric) for dataset, names in metrics.items() for metric in names.split()]


def others(headings: list[tuple[str, str]], text: str) -> tuple[Row, ...]:
    """Rows of other authors' methods, one a line: the name, a colon, the numbers."""
    lines = [line.split(":") for line in text.strip().splitlines()]
    return tuple(Row(name.strip(), printed(headings, numbers)) for name, numbers in lines)
