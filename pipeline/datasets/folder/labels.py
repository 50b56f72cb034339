"""A row of labels of one's own images, as text or numbers, checked and made one of `LISTED`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.datasets.layouts import names
from reid.arrays.images import ENDINGS
from reid.project.errors import ReidError
from reid.project.names import did_you_mean

ROLES = ("train", "query", "gallery")
JUNK, DISTRACTOR = -1, 0
INTEGERS = {  # column: smallest and largest value
    "person": (JUNK, 2**31 - 1),
    "camera": (0, 2**15 - 1),
    "tracklet": (0, 2**31 - 1),
    "frame": (0, 2**31 - 1),
    "viewpoint": (-(2**7), 2**7 - 1),
}
REQUIRED = ("path", "person", "camera")
INTEGER = re.compile(r"[+-]?[0-9]{1,18}(\.0+)?")  # pandas writes 3 as 3.0 beside an empty cell
YES, NO = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no", ""}
NAMED = ("person", "camera")  # may be names in place of numbers
KEPT = {"-1", "0"}  # persons that mean what they do beside numbers
LONGEST = 512  # characters of a path, and of a pattern


class Unfit(ValueError):
    """Why a row is left out."""


class Row(NamedTuple):
    """Labels before they are checked, and where they stand."""

    position: str  # such as labels.csv:7, for a row without a path
    values: dict[str, Any]


def parse(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `LISTED` from labels as text or numbers. Raises `Unfit` with the reason."""
    path = path_of(values)
    numbers = {name: _integer(name, values.get(name)) for name in INTEGERS}
    roles = _roles(values)
    person = numbers["person"]
    if person is not None and person <= DISTRACTOR and roles != ("gallery",):
        kind = "junk" if person == JUNK else "a distractor"
        raise Unfit(f"person {person} is {kind}, which may be in the gallery alone; "
                    "number people from 1")  # fmt: skip
    depth = values.get("depth_path")
    return {
        "path": path,
        "part": "train" if "train" in roles else "test",
        "image_id": image_id_of(path),
        **numbers,
        **{role: role in roles for role in ROLES},
        "depth_path": None if depth in (None, "") else _path(depth, (".png",), "depth: "),
    }


def path_of(values: Mapping[str, Any]) -> str:
    """The path of a row's image, written plainly. Raises `Unfit` with the reason."""
    return _path(values.get("path"), ENDINGS)


def image_id_of(path: str) -> str:
    """The same without its ending."""
    return path.rpartition(".")[0]


def numbers_of_names(labels: Collection[str], column: str) -> dict[str, int]:
    """1, 2, ... for the different labels of a column, in natural order; {} where it holds numbers.

    One whole number among them, beside -1 and 0 of persons, makes a column one of numbers: whatever
    else is in it is then a reject.
    """
    found = set(labels) - {"", *(KEPT if column == "person" else ())}
    if any(INTEGER.fullmatch(name) for name in found):
        return {}
    return {name: number for number, name in enumerate(sorted(found, key=natural), 1)}


def name_of(value: Any) -> str:
    """A label as a name, in Unicode's composed form; '' where it is no text."""
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else ""


def natural(name: str) -> tuple[list[str | int], str]:
    """A key to sort names by: numbers in them as numbers, so that 10 is behind 9."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def _path(value: Any, endings: tuple[str, ...], label: str = "") -> str:
    if not isinstance(value, str) or not value:
        raise Unfit(f"{label}no path")
    if len(value) > LONGEST:
        raise Unfit(f"{label}a path of {len(value):,} characters; at most {LONGEST}")
    if names.printable(value) != value:
        raise Unfit(f"{label}a path that is not printable text")
    if value.startswith("/") or ".." in value.split("/"):
        raise Unfit(f"{label}leads out of the data set's folder; write the path below it")
    if "#" in value:  # it parts a container file from what is inside
        raise Unfit(f"{label}`#` in a path; rename the file")
    path = "/".join(name for name in value.split("/") if name not in ("", "."))
    if not path.lower().endswith(endings) or path.rpartition("/")[2].lower() in endings:
        raise Unfit(f"{label}not a file such as name{endings[0]} ({', '.join(endings)} are read)")
    return path


def _integer(name: str, value: Any) -> int | None:
    text = "" if value is None or value != value else str(value).strip()  # NaN is no value
    if not text:
        if name in REQUIRED:
            raise Unfit(f"no {name}")
        return None
    if isinstance(value, bool) or INTEGER.fullmatch(text) is None:
        shown = names.printable(text[:40])
        raise Unfit(f"{name} `{shown}`: not a whole number of at most 18 digits")
    number, (low, high) = int(text.partition(".")[0]), INTEGERS[name]
    if not low <= number <= high:
        raise Unfit(f"{name} {number} is not in {low} to {high}")
    return number


def _roles(values: Mapping[str, Any]) -> tuple[str, ...]:
    if "roles" in values:
        roles = tuple(values["roles"])
    elif set(ROLES) & set(values):
        roles = tuple(role for role in ROLES if _boolean(role, values.get(role)))
    else:
        value = values.get("role", values.get("part"))
        roles = () if value is None or not str(value).strip() else (str(value).strip(),)
    for role in roles:
        if role not in ROLES:
            shown = names.printable(role[:40])
            raise Unfit(f"role `{shown}`{did_you_mean(role, ROLES)} (there are {', '.join(ROLES)})")
    if not roles:
        raise Unfit(f"no role (there are {', '.join(ROLES)})")
    return roles


def _boolean(name: str, value: Any) -> bool:
    text = "" if value is None or value != value else str(value).strip()
    if text.lower() not in YES | NO:
        raise Unfit(f"{name} `{names.printable(text[:40])}`: not true or false")
    return text.lower() in YES


def content(path: Path) -> str:
    """The text of a file of labels. Raises `ReidError`."""
    try:
        return names.read_file(path).decode("utf-8-sig")
    except OSError as error:
        raise ReidError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ReidError(f"{path}: not UTF-8 at byte {error.start:,}; save it as UTF-8") from None
