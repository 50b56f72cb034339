"""Labels that are there already: how they are matched to images by name, and read from files.

A label is an image's own where one of the two names ends with the other, folder by folder: the
label 0001.png or person_3/0001.png is that of the image train/person_3/0001, as is the label
/home/me/train/person_3/0001.png; person_9/0001.png is not. Of several the one counts that has most
folders in common with the image. Names are compared in Unicode's composed form, without an image's
ending.

A label that cannot be used is a `BadLabel` with the reason: the image is rejected with it, unless
another label of the image can be used.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.datasets.layouts.names import is_clutter
from reid.arrays.images import ENDINGS, BadImage
from reid.project.errors import ReidError
from reid.shards.folder import Shards


class BadLabel(NamedTuple):
    """A label that cannot be used, and why."""

    name: str  # of its image, as the file writes it
    reason: str


Label = TypeVar("Label")
NULLS = ["", "NA", "N/A", "NULL", "n/a", "null"]  # empty cells of a CSV file
IDS = {"rows": ["image_id"]}  # what a stage reads anywhere, so that it knows all images


def reads_anywhere(params: Any) -> dict[str, list[str]]:
    """All image_ids with backend `given`: which label is whose depends on all images."""
    return IDS if params.backend == "given" else {}


def good_and_bad(labels: Iterable[Label | BadLabel]) -> tuple[list[Label], list[BadLabel]]:
    """Labels that can be used, and those that cannot."""
    labels = list(labels)
    good = [label for label in labels if not isinstance(label, BadLabel)]
    return good, [label for label in labels if isinstance(label, BadLabel)]


def no_labels(where: Path, what: str, bad: Sequence[BadLabel]) -> ReidError:
    """The error where no label can be used, with the first that cannot."""
    first = f"; {': '.join(bad[0])}" if bad else ""
    return ReidError(f"{where}: no {what} in it{first}")


class Names:
    """The names of labels, and which of them belongs to an image."""

    def __init__(self, keys: Iterable[str], where: Path, bad: Iterable[BadLabel] = ()):
        """`keys` are those of `label_key`; `where` is what the labels come from, for errors."""
        self.where = where
        self.bad: dict[str, str] = {}  # the first reason by key
        for label in bad:
            self.bad.setdefault(label_key(label.name), label.reason)
        self._keys = {*keys, *self.bad}
        self._longer: dict[str, str] = {}  # by what a label ends with; "" where several do
        for key in self._keys:
            for end in _ends(key):
                self._longer[end] = "" if end in self._longer else key
        self._own: dict[str, str] = {}  # by label the image that has its very name
        self._fits: dict[str, str] = {}  # by label the first image whose name ends with it

    def among(self, image_ids: Iterable[str]) -> None:
        """Make all images known, so that what is asked of one does not depend on the order.

        Raises `ReidError` where a label fits two images equally well and one of them needs it.
        """
        image_ids = list(image_ids)
        for image_id in image_ids:
            key = label_key(image_id)
            if key in self._keys:
                self._own[key] = image_id
        best: dict[str, str] = {}  # of labels that are longer than an image's name
        for image_id in image_ids:
            label = self._longer.get(label_key(image_id), "")
            if label and len(image_id) > len(best.get(label, "")):
                best[label] = image_id
        self._own = {**best, **self._own}
        for image_id in image_ids:
            self.key_of(image_id)

    def among_rows(self, anywhere: Mapping[str, Shards]) -> None:
        """The same of the `rows` that a stage reads anywhere; without any nothing is known."""
        if anywhere:
            self.among(anywhere["rows"].scalars(["image_id"])["image_id"].to_pylist())

    def key_of(self, image_id: str) -> str:
        """The label of an image by the rule above; '' for none.

        Raises `ReidError` where the label fits another image as well.
        """
        key = label_key(image_id)
        if key in self._keys:
            return key
        label = self._longer.get(key, "")
        if label:
            return label if self._own.setdefault(label, image_id) == image_id else ""
        label = next((end for end in _ends(key) if end in self._keys), "")
        if not label or label in self._own:
            return ""
        other = self._fits.setdefault(label, image_id)
        if other != image_id:
            raise ReidError(
                f"{self.where}: the label {label} fits both {other} and {image_id}; name labels by "
                "their whole image_id"
            )
        return label

    def check(self, key: str) -> None:
        """Raises `BadImage` where the label `key` cannot be used."""
        if key in self.bad:
            raise BadImage(self.bad[key])

    def add_bad(self, digest: Any) -> None:
        """Add the labels that cannot be used to a hash; without any it stays as it is."""
        for key in sorted(self.bad):
            digest.update(f"{key}\0{self.bad[key]}\0".encode())

    def passed_over(self, used: Iterable[str]) -> list[str]:
        """A line where labels cannot be used of images that have others, which are `used`."""
        bad = sorted(set(self.bad) & set(used))
        few = "; ".join(f"{key}: {self.bad[key]}" for key in bad[:3])
        return [f"{len(bad)} images have labels that are passed over: {few}"] if bad else []

    def unmatched(self, image_ids: Iterable[str]) -> list[str]:
        """The labels that belong to none of the images, sorted."""
        image_ids = list(image_ids)
        self.among(image_ids)
        return sorted(self._keys - {self.key_of(image_id) for image_id in image_ids})


def label_key(name: str) -> str:
    """A name as it is compared: NFC, POSIX, without a leading ./ and an image's ending."""
    key = unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")
    ending = PurePosixPath(key).suffix
    return key.removesuffix(ending) if ending.lower() in ENDINGS else key


def _ends(key: str) -> Iterator[str]:
    """What is left of a name without its first folder, its first two, and so on."""
    while "/" in key:
        key = key.partition("/")[2]
        yield key


def files_below(folder: Path, *endings: str) -> list[Path]:
    """Sorted files with one of the `endings`; what a desktop left behind is passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(endings) and not is_clutter(path.name) and path.is_file()
    )


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


def read_csv(path: Path) -> pa.Table:
    """A table with a header; image_id is text, also where it looks like a number; NaN stays one."""
    options = pyarrow.csv.ConvertOptions(column_types={"image_id": pa.string()}, null_values=NULLS)
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise ReidError(f"{path}: not readable as CSV: {error}") from None


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise ReidError(f"{path}: not readable as JSON: {error}") from None
