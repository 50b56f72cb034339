"""A new folder that exists whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.project.errors import ReidError
from reid.project.publish import publishing


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `out` at the end, or is removed where something went wrong.

    Raises `ReidError` where `out` holds something already or cannot be written.
    """
    if not out.name:
        raise ReidError(f"{out}: is no new folder; write into a new folder, such as {out}/tree")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ReidError(f"{out}: exists and is not empty; write into a new folder")
        with publishing(out, out.with_name(f".{out.name}.partial")) as folder:
            yield folder
    except OSError as error:
        raise ReidError(f"{out}: cannot be written ({error.strerror})") from None
