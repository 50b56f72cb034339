"""Chapters that are drawn again only where their inputs, or the code that draws them, changed.

Reads   .work/report/<key>.json
Writes  .work/report/<key>.json; those that were not asked for are removed
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from reid.project.layout import Project, as_json, key_of, sha256_of, write_atomically
from reid.report.render import Drawn

CODE = Path(__file__).parents[1]
DRAWING = ("numpy", "matplotlib", "opencv-contrib-python", "torch", "jinja2")


class Cache:
    """What was drawn before, by the state of the files that it was drawn from."""

    def __init__(self, project: Project):
        self.folder, self.publishing = project.work / "report", project.publishing
        self.code = [_code(), *map(_version, DRAWING)]
        self.used: set[Path] = set()

    def drawn(self, title: str, inputs: Iterable[Path], draw: Callable[[], Drawn]) -> Drawn:
        """The chapter `title`: as it was drawn of the same inputs, else drawn now."""
        key = key_of([title, self.code, state(inputs)])
        path = self.folder / f"{key}.json"
        self.used.add(path)
        try:
            return Drawn(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):  # none, or not whole: it can always be drawn
            drawn = draw()
            write_atomically(path, as_json(vars(drawn)), self.publishing)
            return drawn

    def prune(self) -> None:
        """Remove what this page does not consist of."""
        for path in set(self.folder.glob("*.json")) - self.used:
            path.unlink(missing_ok=True)


def _code() -> list[list[str]]:
    """The content of the library: its files may have the times of a package's build."""
    files = sorted(p for p in CODE.rglob("*") if p.suffix != ".pyc" and p.is_file())
    return [[str(file.relative_to(CODE)), sha256_of(file)] for file in files]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # another build of it, or none
        return ""


def state(paths: Iterable[Path]) -> list[list[object]]:
    """Name, size and time of change of all files at or below some paths."""
    out: list[list[object]] = []
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.suffix != ".pyc" and file.is_file():
                told = file.stat()
                out.append([str(file), told.st_size, told.st_mtime_ns])
    return out
