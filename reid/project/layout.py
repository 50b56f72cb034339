"""Where things lie below a project's root, and the small file habits that all stages share."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.project.errors import ReidError


@dataclass(frozen=True)
class Project:
    """The folders of one project. `root` holds params.yaml, dvc.yaml and data/."""

    root: Path

    @property
    def work(self) -> Path:
        """Unpublished work: finished shards by key, locks, logs. Never tracked, safe to delete."""
        return self.root / ".work"

    def raw(self, dataset: str) -> Path:
        return self.root / "data" / "0-raw" / dataset

    def digest(self, dataset: str) -> Path:
        return self.root / "data" / "0-raw" / f"{dataset}.json"

    def folders(self, dataset: str) -> Path:
        """What the folders of a raw data set held when they were last scanned."""
        return self.root / "data" / "0-raw" / f"{dataset}.folders"

    def shards(self, dataset: str) -> Path:
        """The folder of a data set's own rows.

        `crops/topview` is the data set that the stage crops made, in its build topview.
        """
        folder = "2-derived" if "/" in dataset else "1-shards"
        return self.root / "data" / folder / dataset

    def derived(self, stage: str, dataset: str) -> Path:
        return self.root / "data" / "2-derived" / stage / dataset

    def built(self, stage: str, dataset: str) -> Path:
        """The published folder of a stage: `ingest` writes the base shards, others derive."""
        return self.shards(dataset) if stage == "ingest" else self.derived(stage, dataset)

    def run(self, experiment: str) -> Path:
        return self.root / "data" / "3-runs" / experiment

    @property
    def code(self) -> Path:
        """What is kept of source files, to tell fast what code a result is of."""
        return self.work / "code"

    @property
    def publishing(self) -> Path:
        """Where what goes below data/ is written first, to be moved there as a whole."""
        return self.work / "publish"

    @property
    def reports(self) -> Path:
        return self.root / "data" / "4-reports"


def builder_of(dataset: str) -> str:
    """The command that builds a data set's own rows."""
    stage, _, build = dataset.rpartition("/")
    return f"reid {stage or 'ingest'} {build}"


def key_of(parts: Any) -> str:
    """A stable name for whatever JSON can hold: equal content, equal key."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content, read in pieces."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_regular(path: Path) -> None:
    """Raises `ReidError` where `path` is no file, such as a pipe, whose reading has no end."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise ReidError(f"{path}: is {what}, not a file; remove it")


def this_host() -> str:
    """This machine's name without dots."""
    return socket.gethostname().replace(".", "_")


def this_process() -> str:
    """Host and process, as temporary files carry them: `host-1234`, no dot in it."""
    return f"{this_host()}-{os.getpid()}"


def write_atomically(path: Path, data: bytes, work: Path | None = None) -> None:
    """Write a whole file or nothing: temporary name, fsync, rename.

    The temporary file lies beside it, or in `work`, a folder of the same file system: below data/
    what a killed process leaves would count as content of a folder that DVC watches.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = work or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{path.name}.{this_process()}.tmp"
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_object(path: Path, entries: Mapping[str, type], hint: str) -> dict[str, Any] | None:
    """The object in a JSON file that this project wrote; None where there is no file.

    Raises `ReidError` where it cannot be read, or lacks one of the `entries` with its type; `hint`
    is the command that writes it.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ReidError(f"{path}: cannot be read ({error}); run `{hint}`") from None
    if not isinstance(value, dict):
        raise ReidError(f"{path}: holds no object; run `{hint}`")
    wrong = [name for name, kind in entries.items() if not isinstance(value.get(name), kind)]
    if wrong:
        raise ReidError(f"{path}: has no `{wrong[0]}` as this project writes it; run `{hint}`")
    return value


def as_json(value: Mapping[str, Any] | list[Any]) -> bytes:
    """JSON as all files of this project have it: sorted, indented, newline at the end."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def link(source: Path, target: Path) -> None:
    """One copy on disk where the file system can: a hard link, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
