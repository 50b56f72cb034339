"""Labels that are there already: how they are matched to images by name, and read from files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reid.project.errors import ReidError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


class Names:
    """The names of labels, and which of them belongs to an image."""

    def __init__(self, keys: Iterable[str], where: Path):
        """`keys` are those of `label_key`; `where` is what the labels come from, for errors."""
        self.where = where
        self._keys = set(keys)
        self._by_stem: dict[str, str] = {}
        for key in sorted(self._keys):  # a stem that two labels share says nothing
            stem = PurePosixPath(key).name
            self._by_stem[stem] = "" if stem in self._by_stem else key
        self._claimed: dict[str, str] = {}

    def key_of(self, image_id: str) -> str:
        """The label of an image by its image_id, else by its file name if unique; '' for none.

        Raises `ReidError` if another image claimed it.
        """
        key = label_key(image_id)
        if key not in self._keys:
            key = self._by_stem.get(PurePosixPath(key).name, "")
        if key and self._claimed.setdefault(key, image_id) != image_id:
            raise ReidError(
                f"{self.where}: the label {key} fits both {self._claimed[key]} and {image_id}; "
                "name labels by their whole image_id"
            )
        return key

    def unmatched(self, image_ids: Iterable[str]) -> list[str]:
        """The labels that belong to none of the images, sorted."""
        return sorted(self._keys - {self.key_of(image_id) for image_id in image_ids})


def label_key(name: str) -> str:
    """A name as it is compared: POSIX, without a leading ./ and an image's ending."""
    key = name.replace("\\", "/").removeprefix("./")
    ending = PurePosixPath(key).suffix
    return key.removesuffix(ending) if ending.lower() in ENDINGS else key


def read_parquet(path: Path, *columns: str) -> pa.Table | None:
    """image_id and those of `columns` that a file has, all of its columns where it has none.

    None where there is no image_id: in a folder a file may be about something else.
    """
    try:
        names = pq.read_schema(path).names
        if "image_id" not in names:
            return None
        present = [name for name in columns if name in names]
        return pq.read_table(path, columns=["image_id", *present] if present else None)
    except (pa.ArrowException, OSError) as error:
        raise ReidError(f"{path}: not readable as Parquet: {error}") from None


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ReidError(f"{path}: not readable as JSON: {error}") from None
