"""Small JSON files that may come from anybody: read once, checked against a type, or one line."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from reid.project.errors import ReidError
from reid.shards.footer import which_command
from reid.shards.remote import Remote, text_of

T = TypeVar("T")
NEWER = "newer"  # the type of the error of what a newer program wrote; its message is all


def read_checked(path: Path | Remote, kind: TypeAdapter[T]) -> T | None:
    """What the JSON file `path` of a built folder holds, None where there is no such file.

    Raises `ReidError` with the file, the first entry that is not as `kind` has it, what it should
    be, and the command that builds the folder again.
    """
    text = text_of(path)
    if text is None:
        return None
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    if first["type"] == NEWER:
        raise ReidError(f"{path}: {first['msg']}")
    raise ReidError(f"{path}: {_wrong(first)}{_builder(path)}")


def _wrong(error: Any) -> str:
    if error["type"] == "json_invalid":
        return f"not JSON: {error['ctx']['error']}"
    where = ".".join(str(part) for part in error["loc"]) or "the whole"
    if error["type"] == "missing":
        return f"no `{where}`"
    return f"`{where}`: {error['msg']}, not {shown(error['input'])}"


def shown(value: Any) -> str:
    """A value of any size and depth in a few words, on one line."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 1, 60, 60, 40
    try:
        return " ".join(short.repr(value).split())[:160]
    except ValueError:  # a whole number of thousands of digits
        return "such a large number"


def _builder(path: Path | Remote) -> str:
    return "" if isinstance(path, Remote) else which_command(path.parent / "rows" / "any")
