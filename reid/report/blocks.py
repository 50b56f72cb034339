"""The pieces of a section: plain text and pictures. The page's templates escape all of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from reid.arrays import images
from reid.project.names import heading

if TYPE_CHECKING:
    from reid.results.built import BuiltData, Runs

NONE = "–"  # a cell without a value
NUMBER = re.compile(
    r"[-+]?[0-9][0-9,]*(\.[0-9]+)?( to [0-9.,]+)?( ?[%×])?( of [0-9,]+)?( ± [0-9.]+)?"
)
NO_NUMBER = {"", NONE, "not printed"}  # may stand in a column of numbers
# control characters but tab and line feed, half characters, and marks of writing direction
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
SVG_SIZE = re.compile(rb'<svg [^>]*?width="([0-9.]+)pt" height="([0-9.]+)pt"')
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
    best: bool = False  # of its column
    link: str = ""  # to what stands elsewhere on the page, by its name
    name: str = ""  # by which others link to this cell


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; columns of numbers stand to the right. Readers sort it."""

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

    @property
    def size(self) -> tuple[str, str] | None:
        """Width and height of a plot in CSS units, so that its place is kept before it is drawn."""
        start = base64.b64decode(self.source.partition(",")[2][:1600])
        found = SVG_SIZE.search(start)
        return (found[1].decode(), found[2].decode()) if found else None


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
    width_px: int | None = None  # of its pictures on the page, where it is not their own
    kind: str = "sheet"


@dataclass(frozen=True)
class Gallery:
    """Ranked lists that the page's script shows and filters."""

    lists: dict[str, Any]  # see `reid.report.sections.failures`
    thumbnails: str  # base64 of all pictures, one after another
    caption: str
    kind: str = "gallery"

    @property
    def data(self) -> str:
        """`lists` as JSON that cannot end the element that it stands in."""
        text = json.dumps(self.lists, separators=(",", ":"))
        return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Text | Table | Figure | Sheet | Gallery]
    link: str = ""  # back to where it is named
    name: str = ""  # by which others link to it


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
    """A table of dictionaries; its columns are all keys as readers say them, in order."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    rows = [[text_of(line.get(name)) for name in names] for line in lines]
    numeric = [_numeric([row[i] for row in rows]) for i in range(len(names))]
    cells = [[Cell(t, n) for t, n in zip(row, numeric, strict=True)] for row in rows]
    head = [Cell(heading(t), n) for t, n in zip(names, numeric, strict=True)]
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


def anchor(name: str) -> str:
    """The fragment by which links find what has this name: letters and digits, whatever it is."""
    return f"a{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"


def printable(text: str) -> str:
    """`text` in which control characters, and those that turn its direction, can be read."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def _numeric(texts: list[str]) -> bool:
    shown = [t for t in texts if t not in NO_NUMBER]
    return bool(shown) and all(NUMBER.fullmatch(t) for t in shown)


def percent(share: float | None) -> str:
    """A share as a percentage, two digits after the point."""
    return NONE if share is None or np.isnan(share) else f"{100 * share:.2f}"


def jpeg(image: np.ndarray, quality: int = 85) -> str:
    """(H, W, 3) uint8 RGB as a data: address."""
    return _address("image/jpeg", images.encode_jpeg(image, quality))


def webp(image: np.ndarray, quality: int = 60) -> bytes:
    """(H, W, 3) uint8 RGB in less than half of the bytes of a JPEG, in thirty times its time."""
    return cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


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
