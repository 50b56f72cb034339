"""The digest of a raw folder: the one small file that DVC watches instead of 120,000.

Reads   0-raw/<dataset> and, where there is one, 0-raw/<dataset>.truth: of images names and sizes,
        of all other files, which hold labels, the content. A file of more than
        `folders.HASHED_BYTES` is told by its name, size and time of change: hundreds of gigabytes
        would take too long
Writes  0-raw/<dataset>.json: no absolute paths, and times of such large files alone, so the same
        files give the same bytes; <dataset>.folders and <dataset>.truth.folders, see `folders`

An image that is edited and keeps its size is not seen: `UNSEEN` says so to the user.
"""

from __future__ import annotations

import re
from typing import Any

from pipeline.builds.folders import digest, write_beside
from pipeline.datasets.base import check_target
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json
from reid.project.locks import lock
from reid.project.progress import Meter

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
UNSEEN = "images edited at equal size are not seen: `dvc repro -f` of their ingest reads them again"


def check_name(dataset: str) -> str:
    """`dataset` where it may name files, folders and DVC stages; `ReidError` otherwise."""
    if not NAME.fullmatch(dataset):
        raise ReidError(
            f"{dataset!r} cannot name a data set; it takes a to z, 0 to 9, _ and -, and begins "
            "with a letter or a digit"
        )
    return dataset


def scan(project: Project, dataset: str, *, quick: bool = False) -> dict[str, Any]:
    """Write `0-raw/<dataset>.json` and return what it holds; an equal file is left alone.

    `files`, `bytes` and `sha256` of the data set, and the same of its `truth`. A `quick` pass does
    not see an image that was rewritten in place, see `folders`. Raises `ReidError` where there is
    no such folder, something in it cannot be read, or `0-raw` cannot be written.
    """
    folder = project.raw(check_name(dataset))
    if not folder.is_dir():
        check_target(folder)
        raise ReidError(
            f"{folder}: no such folder; `reid add` links a downloaded data set there, `reid world` "
            "renders one"
        )
    found: dict[str, Any] = {"dataset": dataset}
    truth = project.raw(f"{dataset}.truth")
    title = f"scan {dataset}"
    with lock(project.work / "locks" / f"scan-{dataset}", title), Meter(title, unit="files"):
        found |= digest(folder, project.folders(dataset), quick=quick)
        if truth.is_dir():
            found["truth"] = digest(truth, project.folders(truth.name), quick=quick)
        path, data = project.digest(dataset), as_json(found)
        if not (path.is_file() and path.read_bytes() == data):
            write_beside(path, data)
    return found
