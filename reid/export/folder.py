"""A new folder that exists whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.project.errors import ReidError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `out` at the end, or is removed where something went wrong.

    Raises `ReidError` where `out` holds something already or cannot be written.
    """
    if not out.name:
        raise ReidError(f"{out}: is no new folder; write into a new folder, such as {out}/tree")
    temporary = out.with_name(f".{out.name}.partial")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ReidError(f"{out}: exists and is not empty; write into a new folder")
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(out)
    except OSError as error:
        raise ReidError(f"{out}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
