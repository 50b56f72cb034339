"""The table that says where OPR's frames lie; its columns are said in `opr`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.datasets.base import Reject
from pipeline.datasets.layouts import names
from reid.project.errors import ReidError

VIEWS = ("enter", "leave")  # cameras 1 and 2
TABLE, COLUMNS = "opr.csv", ("rgb", "depth", "person", "view", "pair")


class Frame(NamedTuple):
    """A colour frame with its depth; paths below the root."""

    person: int
    camera: int
    frame: int
    path: str
    depth_path: str


def from_table(root: Path, rejects: list[Reject]) -> Iterator[Frame]:
    path = root / TABLE
    text = names.read_labels(path).decode("utf-8-sig", "backslashreplace")
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    first: dict[tuple[int, int, int] | str, int] = {}  # frames and files, and where they are named
    try:
        header = [name.strip() for name in next(table, [])]
        if sorted(header) != sorted(COLUMNS):
            raise ReidError(f"{path}: the first line must name {', '.join(COLUMNS)}")
        for cells in table:
            line, values = table.line_num, dict(zip(header, cells, strict=False))
            frame = _labelled(root, values) if len(cells) == len(header) else (
                f"{len(cells)} cells in place of {len(header)}")  # fmt: skip
            if isinstance(frame, Frame):
                keys = (frame[:3], frame.path, frame.depth_path)
                again = [first[key] for key in keys if key in first]
                first.update(dict.fromkeys(keys, line) if not again else {})
                frame = f"named on line {again[0]} already" if again else frame
            if isinstance(frame, str):
                rejects.append(Reject(f"{TABLE}#{line}", frame))
            else:
                yield frame
    except csv.Error as error:
        raise ReidError(f"{path}: line {table.line_num}: {error}") from None


def _labelled(root: Path, values: dict[str, str]) -> Frame | str:
    """A row's frame, or why it is none."""
    labels = {name: value.strip() for name, value in values.items()}
    if labels["view"] not in VIEWS:
        return f"view `{names.printable(labels['view'][:40])}` ({' or '.join(VIEWS)})"
    for name, most in (("person", 6), ("pair", 9)):
        if not re.fullmatch(f"[0-9]{{1,{most}}}", labels[name]):
            return f"{name} `{names.printable(labels[name][:40])}`: not a whole number"
    if int(labels["person"]) < 1:
        return "person 0; number people from 1"
    paths = []
    for name, endings in (("rgb", (".png", ".jpg")), ("depth", (".png",))):
        path = labels[name]
        odd = path.startswith("/") or ".." in path.split("/") or "#" in path or "\0" in path
        if odd or names.printable(path) != path or not path.endswith(endings):
            return f"{name} `{names.printable(path[:80])}`: not a path below this folder, with " + (
                f"{' or '.join(endings)}")  # fmt: skip
        if not names.is_file(root / path):
            return f"{name}: no file {path[:200]}"
        paths.append(str(PurePosixPath(path)))
    camera = VIEWS.index(labels["view"]) + 1
    return Frame(int(labels["person"]), camera, int(labels["pair"]), paths[0], paths[1])
