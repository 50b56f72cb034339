"""The pieces of a section: plain text and pictures. The page's template escapes all of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reid.arrays import images

if TYPE_CHECKING:
    from reid.results.built import BuiltData, Runs

NONE = "–"  # a cell without a value
NUMBER = re.compile(r"[-+]?[0-9][0-9,]*(\.[0-9]+)?( ?[%×])?( ± [0-9.]+)?")
NO_NUMBER = {"", NONE, "not printed"}  # may stand in a column of numbers
PICTURE_PX = 160  # pictures are not higher


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Cell:
    """One cell of a table, ready to show."""

    text: str
    number: bool


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; columns of numbers stand to the right."""

    columns: list[Cell]
    rows: list[list[Cell]]
    caption: str
    folded: bool = False  # shown only when asked for
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """One plot or picture."""

    source: str  # a data: address
    alt: str
    caption: str
    kind: str = "figure"


@dataclass(frozen=True)
class Shot:
    """One small picture in a sheet; None as its source is an empty place."""

    source: str | None
    alt: str = ""
    label: str = ""
    match: bool | None = None  # right, wrong, or neither


@dataclass(frozen=True)
class Row:
    """One line of a sheet."""

    title: str
    shots: list[Shot]
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """Rows of small pictures under optional headings."""

    rows: list[Row]
    caption: str
    headings: list[str] = field(default_factory=list)
    legend: Mapping[str, str] = field(default_factory=dict)  # colour by name
    kind: str = "sheet"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Text | Table | Figure | Sheet]


@dataclass(frozen=True)
class Sections:
    """What a paper adds to the page: to each data set, and to the experiments on one."""

    data_set: tuple[Callable[[BuiltData], Section | None], ...] = ()
    scores: tuple[Callable[[Runs], Section | None], ...] = ()  # below everyone's scores
    looks: tuple[Callable[[Runs], Section | None], ...] = ()  # below the ranked lists


@dataclass(frozen=True)
class Chapter:
    """A part of the page: sections under a heading of their own."""

    title: str
    sections: list[Section]


def table(lines: Sequence[Mapping[str, Any]], caption: str, *, folded: bool = False) -> Table:
    """A table of dictionaries; its columns are all keys in the order they come up."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    rows = [[text_of(line.get(name)) for name in names] for line in lines]
    numeric = [_numeric([row[i] for row in rows]) for i in range(len(names))]
    cells = [[Cell(t, n) for t, n in zip(row, numeric, strict=True)] for row in rows]
    head = [Cell(t, n) for t, n in zip(names, numeric, strict=True)]
    return Table(head, cells, caption, folded)


def text_of(value: Any) -> str:
    """A value as a table shows it; of a path that holds on one machine alone its last part."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return NONE if np.isnan(value) else f"{value:g}"
    return Path(value).name if str(value).startswith("/") else str(value)


def _numeric(texts: list[str]) -> bool:
    shown = [t for t in texts if t not in NO_NUMBER]
    return bool(shown) and all(NUMBER.fullmatch(t) for t in shown)


def percent(share: float | None) -> str:
    """A share as a percentage, two digits after the point."""
    return NONE if share is None or np.isnan(share) else f"{100 * share:.2f}"


def jpeg(image: np.ndarray, quality: int = 85) -> str:
    """(H, W, 3) uint8 RGB as a data: address."""
    return _address("image/jpeg", images.encode_jpeg(image, quality))


def svg(plot: bytes) -> str:
    """A plot as a data: address."""
    return _address("image/svg+xml", plot)


def small(image: np.ndarray, height: int = PICTURE_PX) -> np.ndarray:
    """The image no higher than `height` pixels and no wider than twice that."""
    scale = min(1.0, height / image.shape[0], 2 * height / image.shape[1])
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    return images.resize(image, *size)


def colour(rgb: tuple[int, int, int]) -> str:
    """A colour as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _address(media: str, data: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"
