"""The digest of a raw folder: the one small file that DVC watches instead of 120,000.

Reads   0-raw/<dataset> and, where there is one, 0-raw/<dataset>.truth: of images names and sizes,
        of all other files, which hold labels, the content. A file of more than `HASHED_BYTES` is
        told by its name, size and time of change: hundreds of gigabytes would take too long
Writes  0-raw/<dataset>.json: no absolute paths, and times of such large files alone, so the same
        files give the same bytes

An image that is edited and keeps its size is not seen: `UNSEEN` says so to the user.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.datasets.base import check_target
from reid.project.errors import ReidError
from reid.project.layout import as_json, write_atomically
from reid.project.progress import Meter, advance

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
IMAGES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm",
)  # fmt: skip
HASHED_BYTES = 2**30
UNSEEN = "images edited at equal size are not seen: `dvc repro -f` of their ingest reads them again"


def check_name(dataset: str) -> str:
    """`dataset` where it may name files, folders and DVC stages; `ReidError` otherwise."""
    if not NAME.fullmatch(dataset):
        raise ReidError(
            f"{dataset!r} cannot name a data set; it takes a to z, 0 to 9, _ and -, and begins "
            "with a letter or a digit"
        )
    return dataset


def scan(raw_root: Path, dataset: str) -> dict[str, Any]:
    """Write `<raw_root>/<dataset>.json` and return what it holds; an equal file is left alone.

    `files`, `bytes` and `sha256` of the data set, and the same of its `truth`. Raises `ReidError`
    where there is no such folder, or where something in it cannot be read.
    """
    folder = raw_root / check_name(dataset)
    if not folder.is_dir():
        check_target(folder)
        raise ReidError(
            f"{folder}: no such folder; `reid add` links a downloaded data set there, `reid world` "
            "renders one"
        )
    with Meter(f"scan {dataset}", unit="files"):
        found = {"dataset": dataset, **digest(folder)}
        truth = raw_root / f"{dataset}.truth"
        if truth.is_dir():
            found["truth"] = digest(truth)
    path, data = raw_root / f"{dataset}.json", as_json(found)
    if not (path.is_file() and path.read_bytes() == data):
        write_atomically(path, data)
    return found


def digest(folder: Path) -> dict[str, Any]:
    """Number of files below `folder`, their bytes, and SHA-256 of the sorted path<TAB>size lines.

    The line of a file that is no image goes on with a tab and what `_content` says of it. Links are
    followed; a folder that was met before, such as by a link upwards, is not entered again: its
    line says `seen` for a size, and a link to nothing says `missing`.
    """
    lines = sorted((os.fsencode(path), size, content) for path, size, content in _walk(folder))
    text = b"".join(
        b"%s\t%s\n" % (path, f"{size}\t{content}".rstrip("\t").encode())
        for path, size, content in lines
    )
    sizes = [size for _, size, _ in lines if isinstance(size, int)]
    return {"files": len(sizes), "bytes": sum(sizes), "sha256": hashlib.sha256(text).hexdigest()}


def _content(path: str, size: int | str) -> str:
    """SHA-256 of a file that is no image, its time of change where it is large; '' for images."""
    if not isinstance(size, int) or path.lower().endswith(IMAGES):
        return ""
    status = os.stat(path)  # noqa: PTH116
    if size > HASHED_BYTES:
        return f"{status.st_mtime_ns} ns"
    if not stat.S_ISREG(status.st_mode):  # a pipe would never end
        return ""
    with open(path, "rb") as file:  # noqa: PTH123  (names may be no text)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path) -> Iterator[tuple[str, int | str, str]]:
    """(path below `folder`, size in bytes, content) of each file, in a fixed order."""
    waiting = [(str(folder), "")]
    seen: set[tuple[int, int]] = set()
    while waiting:
        place, below = waiting.pop()
        try:
            here = os.stat(place)  # noqa: PTH116  (plain strings: three times faster than Path)
            if (here.st_dev, here.st_ino) in seen:
                yield below.rstrip("/"), "seen", ""
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name, reverse=True)
            for entry in found:
                if _is_folder(entry):
                    waiting.append((entry.path, f"{below}{entry.name}/"))
                else:
                    size = _size(entry)
                    yield below + entry.name, size, _content(entry.path, size)
                    advance()
        except OSError as error:
            raise ReidError(f"{place}: cannot be read ({error.strerror})") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _size(entry: os.DirEntry[str]) -> int | str:
    try:
        return entry.stat().st_size
    except OSError:
        if entry.is_symlink():
            return "missing"
        raise
