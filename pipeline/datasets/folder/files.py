"""The files of a folder of one's own: inside it, and as the disk spells their names."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

from pipeline.datasets.folder.labels import Unfit


class Files:
    """Tells files below a root from all else; each folder is resolved once."""

    def __init__(self, root: Path) -> None:
        self.real = os.path.realpath(root).rstrip("/")
        self.folders: dict[str, bool] = {}  # whether a folder lies inside
        self.composed: dict[str, dict[str, str]] = {}  # by folder: names by their composed form

    def check(self, path: str, label: str = "") -> str:
        """The path of a file as the disk spells it: canonically equal in Unicode.

        Raises `Unfit` where `path` is no file, or one that lies outside the root.
        """
        if not path.isascii() and not os.path.lexists(f"{self.real}/{path}"):
            path = self._spelt(path)
        self._check(path, label)
        return path

    def _spelt(self, path: str) -> str:
        """A path with each name as it is on disk, where one of its composed form is there."""
        spelt = ""
        for name in path.split("/"):
            if spelt not in self.composed:
                try:
                    present = sorted(os.listdir(f"{self.real}/{spelt}"))  # noqa: PTH208
                except OSError:
                    present = []
                self.composed[spelt] = {unicodedata.normalize("NFC", n): n for n in present}
            name = self.composed[spelt].get(unicodedata.normalize("NFC", name), name)
            spelt = f"{spelt}/{name}" if spelt else name
        return spelt

    def _check(self, path: str, label: str) -> None:
        full, folder = f"{self.real}/{path}", path.rpartition("/")[0]
        try:
            if folder not in self.folders:
                self.folders[folder] = self._inside(f"{self.real}/{folder}")
            inside = self.folders[folder]
            mode = os.lstat(full).st_mode if inside else 0
            if stat.S_ISLNK(mode):
                inside = self._inside(full)
                mode = Path(full).stat().st_mode if inside else 0
        except (FileNotFoundError, NotADirectoryError):
            hint = "; write / between folders" if "\\" in path else ""
            raise Unfit(f"{label}no such file{hint}") from None
        except OSError as error:
            raise Unfit(f"{label}cannot be looked at: {error.strerror}") from None
        if not inside:
            raise Unfit(f"{label}a link that leads out of the data set's folder")
        if not stat.S_ISREG(mode):
            raise Unfit(f"{label}{'a folder' if stat.S_ISDIR(mode) else 'neither file nor folder'}")

    def _inside(self, full: str) -> bool:
        return f"{os.path.realpath(full)}/".startswith(f"{self.real}/")
